"""Matches registered photometrically, so that every image has one precise position for each keypoint.

    geometry      the matches of a pair that obey one epipolar geometry
    affines       how the surroundings of each match map from one image to the other
    pyramid       gray images at the sizes that registration sees
    registration  where windows of one image lie in another (Lucas-Kanade)
    pairwise      the steps above for one pair: what it says about its keypoints
    tracks        groups of keypoints that matches link, gathered into parts of bounded size
    solve         one least-squares problem over all pairs: a shift and an uncertainty for each keypoint
    selection     the matches that are kept, and the keypoints that they use
    pose          a relative pose adjusted to matches of known uncertainty

Everything here is arrays in, arrays out; `jobs.refine` runs it over a collection.
"""
