from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from xfeat_cli import decoding, photo_names, raster
from xfeat_cli.coordinates import rescale, upright_pixels
from xfeat_cli.decoding import decode, decode_reduced, to_gray
from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.files import warn_once
from xfeat_cli.heif import teach_pillow
from xfeat_cli.images import ImageFile, digest, file_digest, find_images, read_image_list, read_photo

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 9), np.uint8)
RGB = RNG.integers(0, 256, (6, 9, 3), np.uint8)
DEEP_GRAY = RNG.integers(0, 65536, (6, 9), np.uint16)
DEEP_RGB = RNG.integers(0, 65536, (6, 9, 3), np.uint16)
SMOOTH = np.add.outer(np.arange(48) * 2, np.arange(64) * 2).astype(np.uint8)[..., None].repeat(3, 2)
"""What a JPEG keeps, within a few gray values."""


def _encode(image: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def _encode_with_opencv(image: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def _gray_of(data: bytes) -> np.ndarray:
    return to_gray(decode(data, Path("photo")))


def _mean(image: np.ndarray) -> np.ndarray:
    return (image.reshape(*image.shape[:2], -1)[..., :3].mean(-1) / np.iinfo(image.dtype).max).astype(np.float32)


def _huge_png() -> bytes:
    """A valid header of 100,000 x 100,000 pixels, and nothing behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def _tiff(pixels: np.ndarray, *, planar: bool = False, padding: int = 0, alpha: bool = False) -> bytes:
    """An uncompressed little-endian TIFF of (H, W, C), written by hand: `padding` moves its directory."""
    height, width, bands = pixels.shape
    data = (pixels.transpose(2, 0, 1) if planar else pixels).tobytes() + bytes(padding)
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    end = 8 + len(data)
    count = bands if planar else 1
    size = height * width * pixels.itemsize * bands // count
    lists = [[8 * pixels.itemsize] * bands, [8 + i * size for i in range(count)], [size] * count, [kind] * bands]
    entries = [
        *((256, width), (257, height), (258, lists[0]), (259, 1), (262, 2 if bands in (3, 4) else 1), (273, lists[1])),
        *((277, bands), (278, height), (279, lists[2]), (284, 2 if planar else 1)),
        *([(338, 2)] if alpha else []),
        (339, lists[3]),
    ]
    body, extra, extra_at = b"", b"", end + 2 + 12 * len(entries) + 4
    for tag, value in entries:
        values = value if isinstance(value, list) else [value]
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(packed) > 4:
            body += struct.pack("<HHII", tag, 4, len(values), extra_at + len(extra))
            extra += packed
        else:
            body += struct.pack("<HHI", tag, 4, len(values)) + packed
    directory = struct.pack("<H", len(entries)) + body + bytes(4)
    return struct.pack("<2sHI", b"II", 42, end) + data + directory + extra


# Finding


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _names(folder: Path, listed: list[str] | None = None) -> list[str]:
    found = find_images(folder, listed)
    assert all(image.path == folder / image.name for image in found)
    return [image.name for image in found]


def test_a_folder_is_walked_recursively_and_sorted(tmp_path: Path) -> None:
    _touch(tmp_path, "b.JPG", "a/z.png", "a/b/c.tif", "a.jpeg", "notes.txt", "a/out.h5", "jpg")
    assert _names(tmp_path) == ["a.jpeg", "a/b/c.tif", "a/z.png", "b.JPG"]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", ".hidden.jpg", ".thumbnails/b.jpg", "sub/.c/d.jpg")
    assert _names(tmp_path) == ["a.jpg"]


def test_strange_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = ["new\nline.jpg", "two words.jpg", "été.jpg", "日本/ 写真.jpg"]
    _touch(tmp_path, *names)
    assert _names(tmp_path) == sorted(names)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    _touch(tmp_path, "sub/a.jpg")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    assert _names(tmp_path) == ["sub/a.jpg"]


def test_linked_folders_are_followed_once_whatever_the_disk_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    _touch(root, "b/x.jpg")
    _touch(tmp_path / "elsewhere", "y.jpg")
    (root / "a").symlink_to(root / "b")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    assert _names(root) == ["a/x.jpg", "c/y.jpg"]

    walk = os.walk

    def walk_backwards(*args: Any, **options: Any) -> Any:
        for folder, subfolders, files in walk(*args, **options):
            subfolders.sort(reverse=True)
            yield folder, subfolders, files

    monkeypatch.setattr(os, "walk", walk_backwards)
    assert _names(root) == ["a/x.jpg", "c/y.jpg"]


def test_a_single_file_is_named_without_its_folder(tmp_path: Path) -> None:
    _touch(tmp_path, "sub/a.jpg")
    assert find_images(tmp_path / "sub" / "a.jpg") == [ImageFile("a.jpg", tmp_path / "sub" / "a.jpg")]


def test_nothing_to_read_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no images"):
        find_images(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="names no image"):
        find_images(tmp_path, ["# nothing\n", "\n"])
    _touch(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match="not a folder"):
        find_images(tmp_path / "a.jpg", ["a.jpg"])


def test_a_list_keeps_its_order_and_takes_absolute_names(tmp_path: Path) -> None:
    lines = ["# some\n", "\n", "b c.jpg\r\n", f"{tmp_path}/sub/a.jpg\n", "./sub//a.jpg", "b c.jpg\n"]
    assert _names(tmp_path, lines) == ["b c.jpg", "sub/a.jpg"]


def test_a_relative_root_takes_absolute_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    assert _names(Path("root"), [f"{tmp_path}/root/a.jpg"]) == ["a.jpg"]


@pytest.mark.parametrize("outside", ["../a.jpg", "sub/../../a.jpg", "/elsewhere/a.jpg"])
def test_a_list_must_stay_in_its_folder(tmp_path: Path, outside: str) -> None:
    with pytest.raises(UsageError, match=r"line 2: .*outside"):
        find_images(tmp_path, ["a.jpg", outside])


def test_lists_in_every_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "images/sub/u\u0308 1.jpg", "images/#1.jpg", "work/x")
    (tmp_path / "link").symlink_to("images")
    monkeypatch.chdir(tmp_path / "work")
    stored = "sub/u\u0308 1.jpg"
    for root in ("../images", "../link", f"{tmp_path}/images"):
        for line in (
            *(stored, f"./{stored}", "sub/ü 1.jpg", "sub\\\\ü 1.jpg", f"images/{stored}", f"../images/{stored}"),
            *(f"{tmp_path}/images/{stored}", f"{tmp_path}/link/{stored}", f"../link/{stored}\r"),
        ):
            assert _names(Path(root), [line]) == [stored]
        assert _names(Path(root), ["#1.jpg", "# 1.jpg", "#2.jpg"]) == ["#1.jpg"]


def test_an_image_list_of_windows(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\nb.jpg\r\n")
    assert read_image_list(tmp_path / "list.txt") == ["a.jpg", "b.jpg", ""]
    (tmp_path / "list.txt").write_bytes("ü.jpg".encode("latin1"))
    with pytest.raises(UsageError, match=r"list\.txt cannot be read as UTF-8"):
        read_image_list(tmp_path / "list.txt")


def test_several_files_and_folders_share_their_deepest_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "a/x.jpg", "a/y.jpg", "b/x.jpg", "b/c/z.jpg")
    monkeypatch.chdir(tmp_path)

    def names(*given: str) -> list[str]:
        return [image.name for image in find_images([Path(path) for path in given])]

    assert names("a/x.jpg", "a/y.jpg") == ["x.jpg", "y.jpg"]
    assert names("a/y.jpg", "a") == ["x.jpg", "y.jpg"]
    assert names("a", "b") == ["a/x.jpg", "a/y.jpg", "b/c/z.jpg", "b/x.jpg"]
    assert names("b", "b/c") == ["c/z.jpg", "x.jpg"]
    assert names("a/x.jpg", f"{tmp_path}/b/c") == ["a/x.jpg", "b/c/z.jpg"]
    with pytest.raises(UsageError, match=r"nothing does not exist.*ends in .h5"):
        names("a", "nothing")


def test_what_looks_like_a_photograph_and_is_not_read_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_names, "SUFFIXES", frozenset((".jpg",)))  # as without the extras
    _touch(tmp_path, "a.jpg", "b.HEIC", "c.heic", "d.DNG", "e.mp4", "notes.txt", ".f.heic")
    warn_once.cache_clear()
    assert _names(tmp_path) == ["a.jpg"]
    told = [record.getMessage().removeprefix(f"{tmp_path}: ") for record in caplog.records]
    assert [line.split(":")[0] for line in told] == [
        "2 HEIC files are not read here",
        "1 raw file is not read here",
        "1 video file is not read here",
    ]
    assert "xfeat-cli[heif]" in told[0]
    assert "xfeat-cli[raw]" in told[1]
    assert "xfeat frames" in told[2]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UsageError, match=r"holds no images.*2 HEIC files are not read"):
        find_images(tmp_path)


def test_a_raw_file_beside_its_jpeg_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _touch(tmp_path, "a.jpg", "a.NEF", "b/a.dng", "b/c.dng", "b/c.JPG")
    warn_once.cache_clear()
    names = ["a.jpg", "b/c.JPG"]
    assert _names(tmp_path) == ([*names[:1], "b/a.dng", *names[1:]] if ".dng" in photo_names.SUFFIXES else names)
    assert "2 raw files were left out: an image of the same name stands beside each" in caplog.text


def test_thumbnails_and_masks_are_no_photographs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _touch(
        tmp_path, "a.jpg", "sub/b.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._a.jpg", ".thumbnails/a.jpg"
    )
    _touch(tmp_path, "masks/a.jpg.png", "masks/sub/b.png", "sub/Masks/b.jpg.png")
    assert _names(tmp_path) == ["a.jpg", "sub/b.jpg"]
    assert "masks/ holds masks of these photographs" in caplog.text
    _touch(tmp_path, "masks/venice.jpg")  # photographs of masks
    assert _names(tmp_path) == ["a.jpg", "masks/a.jpg.png", "masks/sub/b.png", "masks/venice.jpg", "sub/b.jpg"]


# Decoding


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        (_encode(GRAY, "PNG"), GRAY),
        (_encode(RGB, "PNG"), RGB),
        (_encode(RGB, "TIFF"), RGB),
        (_encode(RGB, "TIFF", compression="tiff_lzw"), RGB),
        (_encode(RGB, "WEBP", lossless=True), RGB),
        (_encode(RGB, "BMP"), RGB),
        (_encode(RGB, "PPM"), RGB),
        (_encode(GRAY, "GIF"), GRAY),
        (_encode(RGB[:1, :1], "PNG"), RGB[:1, :1]),
        (_encode(DEEP_GRAY, "PNG"), DEEP_GRAY),
        (_encode(DEEP_GRAY, "TIFF"), DEEP_GRAY),
        (_encode(DEEP_GRAY.astype(np.int32), "TIFF"), DEEP_GRAY),
        (_encode_with_opencv(DEEP_GRAY, ".tiff"), DEEP_GRAY),
        (_encode_with_opencv(DEEP_RGB, ".png"), DEEP_RGB),
        (_encode_with_opencv(DEEP_RGB, ".tiff"), DEEP_RGB),
    ],
)
def test_lossless_images_keep_every_value(data: bytes, stored: np.ndarray) -> None:
    np.testing.assert_allclose(_gray_of(data), _mean(stored), atol=2e-7)


@pytest.mark.parametrize("alpha", [0, 1, 255])
def test_alpha_is_dropped_not_blended(alpha: int) -> None:
    rgba = np.dstack([RGB, np.full_like(GRAY, alpha)])
    la = np.dstack([GRAY, np.full_like(GRAY, alpha)])
    deep = np.dstack([DEEP_RGB, np.full_like(DEEP_GRAY, 257 * alpha)])
    np.testing.assert_allclose(_gray_of(_encode(rgba, "PNG")), _mean(RGB), atol=1e-7)
    np.testing.assert_allclose(_gray_of(_encode(la, "PNG")), _mean(GRAY), atol=1e-7)
    np.testing.assert_allclose(_gray_of(_encode_with_opencv(deep, ".png")), _mean(DEEP_RGB), atol=1e-7)


def test_palettes_are_looked_up() -> None:
    image = Image.fromarray(GRAY // 64, "P")
    image.putpalette([10, 20, 60, 0, 0, 255, 255, 255, 255, 0, 0, 0])
    colours = np.array([30, 85, 255, 0], np.float32) / 255
    np.testing.assert_allclose(_gray_of(_encode(image, "PNG")), colours[GRAY // 64], atol=1e-6)
    np.testing.assert_allclose(_gray_of(_encode(image, "PNG", transparency=2)), colours[GRAY // 64], atol=1e-6)


def test_black_and_white() -> None:
    bits = GRAY > 127
    np.testing.assert_array_equal(_gray_of(_encode(Image.fromarray(bits), "PNG")), bits.astype(np.float32))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), (value, value, value)) for value in (51, 102, 204)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = _encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    np.testing.assert_allclose(_gray_of(data), 0.2, atol=1e-6)


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_jpeg(kind: str) -> None:
    options = {"save_all": True, "append_images": [Image.fromarray(SMOOTH)]} if kind == "MPO" else {}
    np.testing.assert_allclose(_gray_of(_encode(SMOOTH, kind, quality=95, **options)), _mean(SMOOTH), atol=0.02)
    np.testing.assert_allclose(_gray_of(_encode(SMOOTH[..., 0], "JPEG", quality=95)), _mean(SMOOTH), atol=0.02)


@pytest.mark.parametrize("tail", [b"\0" * 40, b"\r\n", b"SEFT maker's trailer" * 9, b"\0" * 9000])
def test_bytes_behind_a_jpeg_do_not_matter(tail: bytes) -> None:
    data = _encode(SMOOTH, "JPEG", quality=95)
    np.testing.assert_allclose(_gray_of(data + tail), _gray_of(data), atol=0.01)


def test_cmyk_jpeg() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(_gray_of(_encode(red, "JPEG")), 1 / 3, atol=0.02)
    dark = Image.new("CMYK", (16, 16), (0, 0, 0, 204))
    np.testing.assert_allclose(_gray_of(_encode(dark, "JPEG")), 0.2, atol=0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "image"),
    [("JPEG", SMOOTH), ("JPEG", SMOOTH[..., 0]), ("PNG", SMOOTH), ("WEBP", SMOOTH), ("TIFF", SMOOTH), ("AVIF", SMOOTH)],
    ids=["jpeg", "gray-jpeg", "png", "webp", "tiff", "avif"],
)
def test_exif_orientation_is_not_applied(kind: str, image: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encode(image, kind, exif=exif)
    np.testing.assert_allclose(_gray_of(data), _mean(image), atol=0.03)
    assert decode_reduced(data, Path("photo")).orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_16_bit_tiff_is_not_applied(orientation: int) -> None:
    data = bytearray(_encode_with_opencv(DEEP_RGB, ".tiff"))
    entries = struct.unpack_from("<I", data, 4)[0]
    (count,) = struct.unpack_from("<H", data, entries)
    tags = [bytes(data[entries + 2 + 12 * i :][:12]) for i in range(count)]
    tags = [tag for tag in tags if struct.unpack_from("<H", tag)[0] != 0x0112]
    tags = sorted(
        [*tags, struct.pack("<HHII", 0x0112, 3, 1, orientation)], key=lambda tag: struct.unpack("<H", tag[:2])
    )
    struct.pack_into("<I", data, 4, len(data))
    data += struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    np.testing.assert_allclose(_gray_of(bytes(data)), _mean(DEEP_RGB), atol=2e-7)
    assert decode_reduced(bytes(data), Path("photo")).orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_comes_as_its_container_says(orientation: int) -> None:
    """Phones store a turn in the container; what it describes is the image, so nothing is left to turn."""
    pytest.importorskip("pillow_heif", reason="HEIC needs the extra [heif]")
    teach_pillow()
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_reduced(_encode(SMOOTH, "HEIF", quality=95, exif=exif.tobytes()), Path("photo.heic"))
    upright = upright_pixels(SMOOTH, orientation)
    assert (decoded.size, decoded.orientation) == (upright.shape[1::-1], 1)
    np.testing.assert_allclose(to_gray(decoded.pixels), _mean(upright), atol=0.03)


def test_damaged_heic_is_an_error() -> None:
    pytest.importorskip("pillow_heif", reason="HEIC needs the extra [heif]")
    teach_pillow()
    with pytest.raises(ImageError, match=r"photo\.heic: "):
        decode_reduced(_encode(SMOOTH, "HEIF")[:-200], Path("photo.heic"))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0damaged", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0"]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_odd_exif_costs_no_image(kind: str, exif: bytes) -> None:
    data = _encode(SMOOTH, kind) if kind == "TIFF" else _encode(SMOOTH, kind, exif=exif)
    assert decode_reduced(data, Path("photo")).orientation == 1


JPEG = _encode(RGB.repeat(20, 0).repeat(20, 1), "JPEG")
PNG = _encode(RGB.repeat(20, 0).repeat(20, 1), "PNG")
DEEP_PNG = _encode_with_opencv(RNG.integers(0, 65536, (60, 90, 3), np.uint16), ".png")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not an image\n" * 99, "not an image"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (JPEG[:-2], "truncated"),
        (JPEG[:100], "damaged|truncated|not an image"),
        (_encode(Image.new("CMYK", (64, 64)), "JPEG")[:-100], "truncated"),
        (PNG[: len(PNG) // 2], "truncated"),
        (PNG[:30], "truncated|not an image"),
        (DEEP_PNG[: len(DEEP_PNG) // 2], "damaged|truncated"),
        (_encode(RGB, "TIFF")[:-50], "damaged|truncated"),
        (_encode(RGB, "WEBP")[:-20], "damaged|truncated|not an image"),
        (_huge_png(), r"100000x100000 pixels would take 60\.0 GB.*XFEAT_IMAGE_MEMORY_MB=60001"),
        (_encode(RGB, "EPS"), "not an image"),
        (_encode(RGB, "PDF"), "not an image"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not an image"),
        (_encode(np.full((6, 9), np.nan, np.float32), "TIFF"), "no pixel is a finite number"),
        (_tiff(np.zeros((4, 5, 5), np.uint16)), "5 bands of 16-bit unsigned integers, which are not read"),
        (_tiff(np.zeros((4, 5, 3), np.float32)), "3 bands of 32-bit floating-point numbers, which are not read"),
        (_tiff(DEEP_RGB, planar=True), "3 bands of 16-bit unsigned integers in separate planes.*INTERLEAVE=PIXEL"),
    ],
)
def test_bad_images_are_one_error_that_names_the_file(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as error:
        decode(data, Path("folder/bad.jpg"))
    assert str(error.value).startswith("folder/bad.jpg: ")
    assert "\n" not in str(error.value)


# Gray


def test_gray_is_the_plain_mean() -> None:
    pixels = np.array([[[0, 1, 5], [255, 255, 255], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(to_gray(pixels), [[2 / 255, 1, 1 / 3]], rtol=1e-6)
    assert to_gray(pixels).dtype == np.float32


def test_gray_keeps_16_bits() -> None:
    np.testing.assert_allclose(to_gray(np.array([[1, 2, 65535]], np.uint16)), [[1 / 65535, 2 / 65535, 1]], rtol=1e-6)
    deep = np.array([[[0, 1, 1], [65535, 65535, 65535]]], np.uint16)
    np.testing.assert_allclose(to_gray(deep), [[2 / 3 / 65535, 1]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gray_of_floats(dtype: type) -> None:
    pixels: np.ndarray = np.array([[[0.0, 0.3, 0.6], [1.0, 1.0, 1.0]]], dtype)
    np.testing.assert_allclose(to_gray(pixels), [[0.3, 1.0]], rtol=1e-6)
    np.testing.assert_allclose(to_gray(pixels[..., 1]), [[0.3, 1.0]], rtol=1e-6)
    assert to_gray(pixels).dtype == to_gray(pixels[..., 1]).dtype == np.float32


def test_gray_takes_any_memory_layout() -> None:
    np.testing.assert_allclose(to_gray(RGB[::2, ::-1]), _mean(RGB[::2, ::-1]), rtol=1e-6)
    np.testing.assert_allclose(to_gray(np.asfortranarray(GRAY)), _mean(GRAY), rtol=1e-6)


def test_gray_leaves_alpha_out() -> None:
    assert to_gray(np.dstack([RGB, GRAY])) == pytest.approx(_mean(RGB), rel=1e-6)
    assert to_gray(np.dstack([GRAY, GRAY // 2])) == pytest.approx(_mean(GRAY), rel=1e-6)
    assert to_gray(GRAY[..., None]) == pytest.approx(_mean(GRAY), rel=1e-6)


@pytest.mark.parametrize("pixels", [np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8), np.zeros((2, 2, 5), np.uint8)])
def test_gray_refuses_other_shapes(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match="shape"):
        to_gray(pixels)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, bool])
def test_gray_refuses_other_types(dtype: type) -> None:
    with pytest.raises(ImageError, match="uint8, uint16 or float"):
        to_gray(np.zeros((4, 4), dtype))


@pytest.mark.parametrize(
    ("shape", "longest", "expected"),
    [((40, 100), 50, (20, 50)), ((100, 40), 50, (50, 20)), ((3, 1000), 100, (1, 100)), ((40, 100), 100, (40, 100))],
)
def test_the_longest_side_is_reduced(shape: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    assert to_gray(np.zeros(shape, np.uint8), longest).shape == expected


def test_reducing_averages_areas_without_rounding() -> None:
    pixels = np.array([[0, 1, 10, 20], [1, 1, 30, 40]], np.uint8)
    np.testing.assert_allclose(to_gray(pixels.astype(np.uint16), 2), [[0.75 / 65535, 25 / 65535]], atol=0.3 / 65535)
    colours = RNG.integers(0, 256, (40, 60, 3), np.uint8)
    means = colours.astype(float).reshape(20, 2, 30, 2, 3).mean((1, 3, 4)) / 255
    np.testing.assert_allclose(to_gray(colours, 30), means, atol=0.2 / 255)


@pytest.mark.parametrize("longest", [0, 9, 5000])
def test_images_are_never_enlarged(longest: int) -> None:
    np.testing.assert_allclose(to_gray(GRAY, longest), _mean(GRAY), rtol=1e-6)


@pytest.mark.parametrize("pixels", [RGB, DEEP_RGB])
def test_where_a_tiff_keeps_its_directory_changes_nothing(pixels: np.ndarray) -> None:
    """An offset once took part in telling the bit depth."""
    with_alpha = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], axis=2)
    for padding in (0, 16, 160 - pixels.nbytes % 160, 1616, 16000, 65536 - pixels.nbytes):
        gray = _gray_of(_tiff(pixels, padding=padding))
        np.testing.assert_allclose(gray, _mean(pixels), atol=1e-6)
        assert np.array_equal(gray, _gray_of(_tiff(with_alpha, padding=padding, alpha=True)))


def test_planes_of_8_bits_are_read() -> None:
    np.testing.assert_allclose(_gray_of(_tiff(RGB, planar=True)), _mean(RGB), atol=1e-6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_dropped_whatever_it_hides(kind: str) -> None:
    hidden = np.concatenate([RGB, np.zeros_like(RGB[..., :1])], axis=2)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert np.array_equal(_gray_of(_encode(hidden, kind, **options)), _gray_of(_encode(RGB, kind, **options)))
    deep = np.concatenate([DEEP_RGB, np.zeros_like(DEEP_RGB[..., :1])], axis=2)
    if kind == "PNG":
        assert np.array_equal(
            _gray_of(_encode_with_opencv(deep, ".png")), _gray_of(_encode_with_opencv(DEEP_RGB, ".png"))
        )


def test_a_measurement_of_low_contrast_is_scaled_to_its_own_range() -> None:
    ramp = np.arange(6000).reshape(60, 100) // 48  # 125 counts
    scaled = _gray_of(_encode((29_000 + ramp).astype(np.uint16), "TIFF"))
    assert scaled.min() == 0
    assert scaled.max() == 1
    np.testing.assert_allclose(scaled, ramp / ramp.max(), atol=0.01)
    for other in (
        *((290.0 + ramp * 0.04).astype(np.float32), (ramp - 60).astype(np.int32)),
        (ramp.astype(np.int32) + 40_000_000),
    ):
        np.testing.assert_allclose(_gray_of(_encode(other, "TIFF")), scaled, atol=2e-3)
    dead = (29_000 + ramp).astype(np.uint16)
    dead[3, 4], dead[5, 6] = 0, 65535
    rows = np.delete(np.arange(60), [3, 5])
    np.testing.assert_allclose(_gray_of(_encode(dead, "TIFF"))[rows], scaled[rows], atol=0.02)
    holes = (290.0 + ramp * 0.04).astype(np.float32)
    holes[0, 0] = np.nan
    np.testing.assert_allclose(_gray_of(_encode(holes, "TIFF")), scaled, atol=2e-3)
    flat = _gray_of(_encode(np.full((6, 9), 29_000, np.uint16), "TIFF"))
    assert (flat == flat[0, 0]).all()


@pytest.mark.parametrize("pixels", [GRAY, RGB, DEEP_GRAY, DEEP_RGB])
def test_large_images_are_reduced_in_strips_to_the_same(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.tile(pixels, (40, 30) + (1,) * (pixels.ndim - 2))
    monkeypatch.setattr(decoding, "library", lambda: None)
    expected = to_gray(pixels, 77)
    monkeypatch.setattr(decoding, "_LARGE", 1000)
    np.testing.assert_allclose(to_gray(pixels, 77), expected, atol=1e-6)
    monkeypatch.setattr(raster, "_LARGE", 1000)
    png = _encode_with_opencv(pixels, ".png")
    assert np.array_equal(to_gray(decode(png, Path("photo"))), to_gray(pixels))
    for damaged in (png[: len(png) // 2], png[:-20], png[:200] + b"x" + png[201:]):
        with pytest.raises(ImageError, match=r"damaged|truncated"):
            decode(damaged, Path("photo"))


def test_a_photograph_of_16_bits_is_left_as_it_is() -> None:
    assert np.array_equal(decode(_encode(DEEP_GRAY, "TIFF"), Path("photo")), DEEP_GRAY)


# Reading


def _ramp_jpeg(width: int, height: int, **options: Any) -> bytes:
    """A gray ramp: the value of a pixel is x + y / 2, in steps of one so that JPEG keeps it."""
    ramp = np.add.outer(np.arange(height) / 2, np.arange(width)).round().astype(np.uint8)
    return _encode(ramp, "JPEG", quality=100, **options)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    ("size", "longest", "shown"),
    [
        ((161, 99), 0, (161, 99)),
        ((161, 99), 81, (161, 99)),  # 80.5 would be less than asked for
        ((161, 99), 80, (160, 98)),
        ((161, 99), 41, (160, 98)),
        ((161, 99), 40, (160, 96)),
        ((167, 103), 20, (160, 96)),
        ((160, 96), 10, (160, 96)),
    ],
)
def test_a_jpeg_reduced_by_its_decoder_shows_the_same_places(
    tmp_path: Path, colour: bool, size: tuple[int, int], longest: int, shown: tuple[int, int]
) -> None:
    data = _ramp_jpeg(*size)
    if colour:
        data = _encode(Image.open(io.BytesIO(data)).convert("RGB"), "JPEG", quality=100, subsampling=2)
    photo = read_photo(_write(tmp_path, "a.jpg", data), longest)
    assert (photo.size, photo.shown) == (size, shown)
    height, width = photo.gray.shape
    assert max(width, height) == (longest or max(size))
    x, y = (rescale(np.arange(n), s / n) for n, s in ((width, shown[0]), (height, shown[1])))
    inner = photo.gray[1:-1, 1:-1] * 255
    np.testing.assert_allclose(inner, np.add.outer(y[1:-1] / 2, x[1:-1]), atol=1.5)
    assert abs((inner - np.add.outer(y[1:-1] / 2, x[1:-1])).mean()) < 0.3


def test_a_damaged_jpeg_is_an_error_at_any_reduction(tmp_path: Path) -> None:
    data = _ramp_jpeg(160, 96)
    image = _write(tmp_path, "a.jpg", data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"a\.jpg"):
        read_photo(image, 20)


@pytest.mark.parametrize("size", [(3, 160), (1, 160), (160, 7)])
def test_a_narrow_jpeg_keeps_a_column(tmp_path: Path, size: tuple[int, int]) -> None:
    photo = read_photo(_write(tmp_path, "a.jpg", _ramp_jpeg(*size)), 20)
    assert min(photo.gray.shape) == 1
    assert min(photo.shown) >= 1


def _write(folder: Path, name: str, data: bytes) -> ImageFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return ImageFile(name, path)


def test_a_photo_knows_its_file(tmp_path: Path) -> None:
    image = _write(tmp_path, "sub/ü\n.png", _encode(RGB, "PNG"))
    photo = read_photo(image, 3)
    assert (photo.name, photo.size, photo.gray.shape) == ("sub/ü\n.png", (9, 6), (2, 3))
    assert photo.digest == file_digest(image.path) == digest(image.path.read_bytes())
    assert photo.file_bytes == image.path.stat().st_size
    assert photo.file_mtime_ns == image.path.stat().st_mtime_ns
    assert photo.mask is None


def test_masks_are_found_by_colmaps_rule(tmp_path: Path) -> None:
    image = _write(tmp_path / "images", "sub/a.png", _encode(RGB, "PNG"))
    other = _write(tmp_path / "images", "b.png", _encode(RGB, "PNG"))
    mask = np.where(GRAY > 127, np.uint8(1), np.uint8(0))
    _write(tmp_path / "masks", "sub/a.png.png", _encode(mask, "PNG"))

    photo = read_photo(image, 0, tmp_path / "masks")
    np.testing.assert_array_equal(photo.mask, GRAY > 127)
    assert photo.mask_digest == file_digest(tmp_path / "masks" / "sub/a.png.png")
    assert read_photo(other, 0, tmp_path / "masks").mask is None


def test_a_coloured_mask_ignores_only_black(tmp_path: Path) -> None:
    image = _write(tmp_path, "a.png", _encode(RGB, "PNG"))
    colours = np.zeros_like(RGB)
    colours[2, 3] = (0, 0, 255)
    _write(tmp_path, "a.png.png", _encode(colours, "PNG"))
    mask = read_photo(image, 0, tmp_path).mask
    assert mask is not None
    assert np.argwhere(mask).tolist() == [[2, 3]]


def test_a_mask_of_another_size_is_an_error(tmp_path: Path) -> None:
    image = _write(tmp_path, "a.png", _encode(RGB, "PNG"))
    _write(tmp_path, "a.png.png", _encode(GRAY[:, :-1], "PNG"))
    with pytest.raises(ImageError, match=r"a\.png\.png: the mask is 8x6, its image 9x6"):
        read_photo(image, 0, tmp_path)


def test_a_damaged_mask_is_an_error(tmp_path: Path) -> None:
    image = _write(tmp_path, "a.png", _encode(RGB, "PNG"))
    _write(tmp_path, "a.png.png", b"")
    with pytest.raises(ImageError, match=r"a\.png\.png: the file is empty"):
        read_photo(image, 0, tmp_path)


def test_what_is_no_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in [("folder.jpg", "not a regular file"), ("pipe.jpg", "not a regular"), ("no.jpg", "no such")]:
        with pytest.raises(ImageError, match=reason) as error:
            read_photo(ImageFile(name, tmp_path / name), 0)
        assert name in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_cannot_be_read(tmp_path: Path) -> None:
    image = _write(tmp_path, "a.png", _encode(RGB, "PNG"))
    image.path.chmod(0)
    with pytest.raises(ImageError, match=r"a\.png: cannot be read \(Permission denied\)"):
        read_photo(image, 0)


def test_a_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    image = _write(tmp_path, name, _encode(RGB, "PNG"))
    with pytest.raises(ImageError, match="not valid UTF-8"):
        read_photo(image, 0)
