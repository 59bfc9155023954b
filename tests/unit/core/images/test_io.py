"""Reading, fitting and colouring pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.core.images.io import read_labels, read_rgb, write_png
from edgeseg.core.images.paint import colorize
from edgeseg.errors import DataError

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 44, 3), np.uint8)


def test_png_keeps_rgb_and_labels(tmp_path: Path, rgb: np.ndarray) -> None:
    labels = np.arange(30 * 44, dtype=np.uint32).reshape(30, 44).astype(np.uint8)
    write_png(tmp_path / "a.png", rgb)
    write_png(tmp_path / "b.png", labels)
    assert (read_rgb(tmp_path / "a.png") == rgb).all()
    assert (read_labels(tmp_path / "b.png") == labels).all()
    assert (cv2.imread(str(tmp_path / "a.png"))[..., ::-1] == rgb).all()


def test_a_grey_picture_reads_as_rgb(tmp_path: Path) -> None:
    write_png(tmp_path / "g.png", np.full((4, 6), 9, np.uint8))
    assert (read_rgb(tmp_path / "g.png") == np.full((4, 6, 3), 9)).all()


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    for read in (read_rgb, read_labels):
        with pytest.raises(DataError, match=r"x\.png: not an image"):
            read(path)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.png: No such file"):
        read_rgb(tmp_path / "no.png")
    with pytest.raises(DataError, match="Is a directory"):
        read_rgb(tmp_path)


def test_masks_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    write_png(path, np.full((4, 6, 3), 7, np.uint8))
    assert (read_labels(path) == 7).all()
    cv2.imwrite(str(path), np.full((4, 6), 200, np.uint16))
    assert (read_labels(path) == 200).all()
    cv2.imwrite(str(path), np.full((4, 6), 300, np.uint16))
    with pytest.raises(DataError, match="labels go up to 300"):
        read_labels(path)
    write_png(path, np.full((4, 6, 3), (1, 2, 3), np.uint8))
    with pytest.raises(DataError, match="a colour mask, but no colours are known"):
        read_labels(path)


def test_colour_masks_become_labels(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (5, 9)).astype(np.uint8)
    write_png(tmp_path / "m.png", colorize(labels, PALETTE))
    assert (read_labels(tmp_path / "m.png", PALETTE) == labels).all()


def test_a_mask_of_fractions_or_of_16_bit_colours_is_refused(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "float.tiff"), np.full((4, 6), 0.7, np.float32))
    with pytest.raises(DataError, match="labels of type float32, expected whole numbers"):
        read_labels(tmp_path / "float.tiff")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 6, 3), 16448, np.uint16))
    with pytest.raises(DataError, match="a 16-bit colour mask, expected 8 bits"):
        read_labels(tmp_path / "deep.png", PALETTE)
