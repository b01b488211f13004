"""A raw file as a camera with a Bayer sensor writes it, small enough for tests."""

from __future__ import annotations

import struct

import numpy as np

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_FORMATS = {_BYTE: "B", _ASCII: "s", _SHORT: "H", _LONG: "I", _RATIONAL: "II", _SRATIONAL: "ii"}


def encode_dng(mosaic: np.ndarray, orientation: int = 1) -> bytes:
    """A DNG of a mosaic (H, W) uint16 of red, green, green, blue, white at 65535."""
    height, width = mosaic.shape
    unit = [(1, 1) if i % 4 == 0 else (0, 1) for i in range(9)]
    tags = {
        254: (_LONG, [0]),
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [16]),
        259: (_SHORT, [1]),
        262: (_SHORT, [32803]),
        271: (_ASCII, b"Maker\0"),
        272: (_ASCII, b"Model\0"),
        273: (_LONG, [8]),
        274: (_SHORT, [orientation]),
        277: (_SHORT, [1]),
        278: (_LONG, [height]),
        279: (_LONG, [mosaic.nbytes]),
        33421: (_SHORT, [2, 2]),
        33422: (_BYTE, [0, 1, 1, 2]),
        50706: (_BYTE, [1, 4, 0, 0]),
        50708: (_ASCII, b"Maker Model\0"),
        50714: (_SHORT, [0]),
        50717: (_LONG, [65535]),
        50721: (_SRATIONAL, unit),
        50728: (_RATIONAL, [(1, 1)] * 3),
        50778: (_SHORT, [21]),
    }
    start = 8 + mosaic.nbytes
    values_at = start + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, (kind, content) in sorted(tags.items()):
        if isinstance(content, bytes):
            packed, count = content, len(content)
        else:
            flat = [n for item in content for n in (item if isinstance(item, tuple) else (item,))]
            packed, count = struct.pack(f"<{len(flat)}{_FORMATS[kind][0]}", *flat), len(content)
        if len(packed) > 4:
            offset = struct.pack("<I", values_at + len(values))
            values += packed + b"\0" * (len(packed) % 2)
        else:
            offset = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + offset
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, start) + mosaic.astype("<u2").tobytes() + directory + values
