"""OpenCV's own features, for comparison: RootSIFT (Arandjelović and Zisserman, CVPR 2012) and ORB."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from xfeat_cli.coordinates import rescale
from xfeat_cli.images import Photo
from xfeat_cli.matching.nearest import mutual_nearest
from xfeat_cli.types import Features, FloatArray

_opencv: Any = cv2
"""Its type stubs lack what is used here."""

SIFT_RATIO = 0.85
"""Most that the distance to the nearest descriptor may be of that to the second nearest."""


def sift(photo: Photo, top_k: int) -> Features:
    """Return the `top_k` best keypoints of the photograph as the network would see it, with RootSIFT descriptors (N,
    128).
    """
    # Without precise upscaling OpenCV's keypoints stand 0.25 px to the right of and below what they detect.
    detector = _opencv.SIFT_create(nfeatures=top_k, enable_precise_upscale=True)
    keypoints, descriptors = detector.detectAndCompute(_eight_bits(photo), None)
    raw = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
    share = raw / np.maximum(np.abs(raw).sum(1, keepdims=True), 1e-12)
    return _features(photo, keypoints, np.sqrt(share), top_k)


def match_sift(features0: Features, features1: Features) -> np.ndarray:
    """Return indices (M, 2) of mutual nearest neighbours that pass the ratio test."""
    one, two = (torch.from_numpy(features.descriptors) for features in (features0, features1))
    return mutual_nearest(one, two, ratio=SIFT_RATIO).indices


def orb(photo: Photo, top_k: int) -> Features:
    """Behave as `sift`; descriptors (N, 32) hold bytes."""
    keypoints, descriptors = _opencv.ORB_create(nfeatures=top_k).detectAndCompute(_eight_bits(photo), None)
    return _features(photo, keypoints, np.zeros((0, 32), np.float32) if descriptors is None else descriptors, top_k)


def match_orb(features0: Features, features1: Features) -> np.ndarray:
    """Return indices (M, 2) of mutual nearest neighbours by the number of bits that differ."""
    if 0 in (len(features0), len(features1)):
        return np.zeros((0, 2), np.int32)
    one, two = (features.descriptors.astype(np.uint8) for features in (features0, features1))
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(one, two)
    return np.array([(pair.queryIdx, pair.trainIdx) for pair in pairs], np.int32).reshape(-1, 2)


def _eight_bits(photo: Photo) -> np.ndarray:
    return np.rint(photo.gray * 255).astype(np.uint8)


def _features(photo: Photo, keypoints: Any, descriptors: FloatArray, top_k: int) -> Features:
    """Return the `top_k` strongest, for OpenCV keeps all that are as strong as the last; in stored-image pixels."""
    scores = np.array([point.response for point in keypoints], np.float32)
    best = np.argsort(-scores, kind="stable")[:top_k]
    points = np.array([point.pt for point in keypoints], np.float32).reshape(-1, 2)[best]
    height, width = photo.gray.shape
    stretch = np.array([photo.shown[0] / width, photo.shown[1] / height], np.float32)
    return Features(rescale(points, stretch), scores[best], descriptors[best].astype(np.float32), photo.size)
