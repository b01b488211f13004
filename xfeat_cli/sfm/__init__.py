"""From features and matches to a COLMAP database and a reconstruction. The one owner of pycolmap.

    database        features + matches → cameras, images, rigs, frames, keypoints, matches
    verification    matches of a database → two-view geometries, and their inliers as matches
    reconstruction  a verified database → models

pycolmap comes with the extra `[sfm]` and is imported when it is first needed.
"""
