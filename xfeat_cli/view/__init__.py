"""Pictures of what was computed: keypoints, network layers, matches, pairs, models. numpy, OpenCV, Pillow; no display.

    photograph   a stored image, in colour, reduced for a screen
    drawing      captions, bars of colour, files
    keypoints    keypoints and network layers over a photograph
    matches      a pair of photographs and what joins them
    matrix       which images were matched with which
    model        cameras and points of a reconstruction from three sides
    sheet        many pictures on one

A picture is an array (H, W, 3) uint8, RGB.
"""
