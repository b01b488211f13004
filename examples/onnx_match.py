"""Match two photographs with exported files alone: python onnx_match.py exported/ a.jpg b.jpg

Needs onnxruntime, numpy and Pillow; made by `xfeat export-model exported/ --with sparse --with matcher`.
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

folder, *photographs = sys.argv[1:]
sparse = onnxruntime.InferenceSession(f"{folder}/xfeat-sparse.onnx")
matcher = onnxruntime.InferenceSession(f"{folder}/xfeat-matcher.onnx")


def features(photograph: str) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.asarray(Image.open(photograph).convert("RGB"), np.float32) / 255
    keypoints, scores, descriptors = sparse.run(None, {"image": pixels.transpose(2, 0, 1)[None]})
    found = scores[0] > 0
    return keypoints[0, found], descriptors[0, found]


(keypoints0, descriptors0), (keypoints1, descriptors1) = map(features, photographs)
matches, cosines = matcher.run(None, {"descriptors0": descriptors0, "descriptors1": descriptors1})
for i in np.flatnonzero(matches >= 0):
    print(*keypoints0[i], *keypoints1[matches[i]], cosines[i])
