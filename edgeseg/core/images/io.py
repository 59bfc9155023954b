"""Read and write image files: pictures as RGB; edgeseg/core/data/masks.py reads masks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.files.bounded import IMAGE_BYTES, IMAGE_PIXELS, read_bytes
from edgeseg.errors import DataError, UsageError

# What a camera of 8, 10, 12, 14 or 16 bits calls white.
FULL_SCALES = (255, 1023, 4095, 16383, 65535)
# A PNG's signature and first chunk, which has the size; other chunks may follow from here on.
PNG_HEAD = 33
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADS = {b"\x89PNG": "PNG", b"\xff\xd8": "JPEG", b"RIFF": "WebP", b"BM": "BMP"}
DEEP = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH


def read_rgb(path: Path, full_scale: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as RGB, turned upright by its EXIF orientation where it has one.

    Args:
        path: a picture of 8 or 16 bits a channel.
        full_scale: the value that becomes 255 in a picture of 16 bits; None takes the smallest of
            FULL_SCALES that holds the picture's largest value.

    Raises:
        DataError: the file is missing or is not an image.
    """
    data = read_image_bytes(path)
    if not is_deep(data):
        return cv2.cvtColor(decode_image(path, data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    picture = decode_image(path, data, DEEP)
    if picture.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{path}: pixels of type {picture.dtype}, expected 8 or 16 bits a channel; convert it"
        )
    return _scaled(picture, full_scale)


def orientation_of(path: Path) -> int:
    """Return a photo's EXIF orientation, 1 to 8; 1 is upright, and what is told without Pillow."""
    try:
        from PIL import Image

        with Image.open(path) as image:
            told = image.getexif().get(0x0112, 1)
    except Exception:
        # No Pillow, or a damaged file, for which its readers raise whatever they meet. What is
        # wrong with the picture is said when it is decoded.
        return 1
    return told if told in range(1, 9) else 1


def full_scale_of(largest: int) -> int:
    """Return the smallest of FULL_SCALES that holds a value of a 16-bit picture."""
    return next(scale for scale in FULL_SCALES if scale >= largest)


def largest_value(path: Path) -> int | None:
    """Return the largest value of a picture of 16 bits, None for one of 8.

    Raises:
        DataError: the file is missing or is not an image.
    """
    data = read_image_bytes(path)
    return int(decode_image(path, data, DEEP).max(initial=0)) if is_deep(data) else None


def is_deep(data: bytes) -> bool:
    """Tell by its header whether an image file may hold more than 8 bits a channel."""
    if data[:8] == PNG_SIGNATURE:
        return data[24:25] == b"\x10"
    if data[:2] in (b"P5", b"P6"):
        return any(word not in (b"255", b"1") for word in data[:64].split()[3:4])
    return data[:4] in (b"II*\0", b"MM\0*")


def _scaled(bgr: np.ndarray, full_scale: int | None) -> UInt8[np.ndarray, "h w 3"]:
    """Scale 16 bits to 8; OpenCV alone keeps the upper byte, black for a camera of 10 bits."""
    if bgr.dtype == np.uint8:
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    factor = 255 / (full_scale or full_scale_of(int(bgr.max(initial=0))))
    return cv2.cvtColor(cv2.convertScaleAbs(bgr, alpha=factor), cv2.COLOR_BGR2RGB)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an RGB picture ("h w 3") or labels ("h w") as PNG, complete or not at all."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(".png", bgr)
    if not done:
        raise UsageError(f"an array of shape {image.shape} cannot be written as PNG: {path}")
    atomic_write_bytes(path, data.tobytes())


def encode_rgb(rgb: UInt8[np.ndarray, "h w 3"], comment: str = "") -> bytes:
    """Return the bytes of a PNG, with a comment that viewers pass over."""
    data = _encoded(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return data[:PNG_HEAD] + _png_comment(comment) + data[PNG_HEAD:]


def encode_jpeg(rgb: UInt8[np.ndarray, "h w 3"], comment: str = "", quality: int = 92) -> bytes:
    """Return the bytes of a JPEG, with a comment that viewers pass over."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    data = _encoded(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    text = comment.encode()
    mark = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text if text else b""
    return data[:2] + mark + data[2:]


def encode_labels(
    labels: UInt8[np.ndarray, "h w"],
    palette: Sequence[tuple[int, int, int]],
    comment: str = "",
) -> bytes:
    """Return the bytes of a palette PNG: its values are the labels, a viewer shows the colours.

    Pillow reads the labels back (`numpy.asarray(Image.open(path))`), as do edgeseg's data sets;
    OpenCV's imread gives the colours.
    """
    data = _encoded(".png", labels)
    # A grey PNG of 8 bits differs from one with a palette in the kind of its header alone.
    head = data[12:25] + b"\x03" + data[26:29]
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return b"".join(
        (
            data[:12], head, struct.pack(">I", zlib.crc32(head)),
            _png_comment(comment), _png_chunk(b"PLTE", table.tobytes()), data[PNG_HEAD:],
        )
    )  # fmt: skip


def comment_of(path: Path) -> str:
    """Return the comment that encode_rgb, encode_jpeg or encode_labels wrote, else "".

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(256)
    if data[PNG_HEAD + 4 : PNG_HEAD + 8] == b"tEXt":
        (length,) = struct.unpack(">I", data[PNG_HEAD : PNG_HEAD + 4])
        text = data[PNG_HEAD + 8 : PNG_HEAD + 8 + length]
        return text.partition(b"\0")[2].decode(errors="replace")
    if data[:4] == b"\xff\xd8\xff\xfe":
        (length,) = struct.unpack(">H", data[4:6])
        return data[6 : 4 + length].decode(errors="replace")
    return ""


def _encoded(ending: str, image: np.ndarray, how: Sequence[int] = ()) -> bytes:
    done, data = cv2.imencode(ending, image, list(how))
    if not done:
        raise UsageError(f"an array of shape {image.shape} cannot be written as {ending[1:]}")
    return data.tobytes()


def _png_comment(text: str) -> bytes:
    return _png_chunk(b"tEXt", b"Software\0" + text.encode()) if text else b""


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def read_image_bytes(path: Path) -> bytes:
    """Return a file's bytes: imread cannot tell a missing file from a damaged one.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    return read_bytes(path, DataError, most=IMAGE_BYTES, advice="expected an image file")


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width that the header of a PNG, JPEG, BMP or GIF says, else None.

    OpenCV allocates them before it has seen a pixel; a few bytes can declare gigabytes.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if data[:4] in (b"GIF8",) and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
        return height, width
    if data[:2] == b"BM" and len(data) >= 26:
        width, height = struct.unpack("<ii", data[18:26])
        return abs(height), abs(width)
    place = 2 if data[:2] == b"\xff\xd8" else len(data)
    while place + 9 <= len(data) and data[place] == 0xFF:
        kind, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        # A start of frame; C4, C8 and CC among its numbers are tables.
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return height, width
        place += 1 if kind == 0xFF else 2 + length
    return None


def _chunks_fit(data: bytes) -> bool:
    """Tell whether a PNG's chunks lie inside it.

    OpenCV takes memory for a chunk of 4 GB that the file does not have.
    """
    if data[:8] != PNG_SIGNATURE:
        return True
    place = len(PNG_SIGNATURE)
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        # Length, kind and checksum are four bytes each; a missing last checksum is let be.
        if place + 8 + length > len(data):
            return False
        place += 12 + length
    return True


def decode_image(path: Path, data: bytes, flags: int) -> np.ndarray:
    """Decode an image file's bytes as `cv2.imdecode` does.

    Args:
        path: of the file, for the message.
        data: its bytes.
        flags: of cv2.imdecode.

    Raises:
        DataError: the bytes are no image, or one of more than IMAGE_PIXELS.
    """
    size = declared_size(data)
    if size is not None and size[0] * size[1] > IMAGE_PIXELS:
        raise DataError(
            f"{path}: {size[0]}x{size[1]} pixels, at most {IMAGE_PIXELS // 10**6} million are "
            "read; scale it down"
        )
    image = None
    if data and _chunks_fit(data):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            image = None
    if image is None:
        begins = next((name for head, name in HEADS.items() if data.startswith(head)), "")
        cut = f", though it begins as a {begins}: damaged or cut off" if begins else ""
        raise DataError(f"{path}: not an image that OpenCV can read{cut}; expected PNG or JPEG")
    return image
