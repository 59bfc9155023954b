"""Reading, fitting and colouring pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeseg.core.images.io import declared_size, largest_value, orientation_of, read_rgb, write_png
from edgeseg.errors import DataError


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 44, 3), np.uint8)


def test_png_keeps_rgb(tmp_path: Path, rgb: np.ndarray) -> None:
    write_png(tmp_path / "a.png", rgb)
    assert (read_rgb(tmp_path / "a.png") == rgb).all()
    assert (cv2.imread(str(tmp_path / "a.png"))[..., ::-1] == rgb).all()


def test_a_grey_picture_reads_as_rgb(tmp_path: Path) -> None:
    write_png(tmp_path / "g.png", np.full((4, 6), 9, np.uint8))
    assert (read_rgb(tmp_path / "g.png") == np.full((4, 6, 3), 9)).all()


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png: not an image"):
        read_rgb(path)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.png cannot be read \(No such file"):
        read_rgb(tmp_path / "no.png")
    with pytest.raises(DataError, match="Is a directory"):
        read_rgb(tmp_path)


def test_sixteen_bits_are_scaled_and_not_cut_to_the_upper_byte(tmp_path: Path) -> None:
    counts = np.array([[0, 512, 1023]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), counts)
    assert read_rgb(tmp_path / "a.png")[0, :, 0].tolist() == [0, 128, 255]
    assert read_rgb(tmp_path / "a.png", 4095)[0, :, 0].tolist() == [0, 32, 64]
    assert read_rgb(tmp_path / "a.png", 65535)[0, :, 0].tolist() == [0, 2, 4]
    colour = np.array([[[100, 2000, 4095]]], np.uint16)
    cv2.imwrite(str(tmp_path / "c.tiff"), colour)
    assert read_rgb(tmp_path / "c.tiff")[0, 0].tolist() == [255, 125, 6]
    assert largest_value(tmp_path / "c.tiff") == 4095


def test_a_photo_is_turned_upright_by_its_exif_orientation(tmp_path: Path) -> None:
    stored = np.zeros((4, 6, 3), np.uint8)
    stored[:, :3] = 255
    image = Image.fromarray(stored)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "p.png", exif=exif)
    upright = read_rgb(tmp_path / "p.png")
    assert upright.shape == (6, 4, 3)
    assert orientation_of(tmp_path / "p.png") == 6
    write_png(tmp_path / "q.png", stored)
    assert orientation_of(tmp_path / "q.png") == 1


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".gif"])
def test_the_size_that_a_header_declares_is_read(tmp_path: Path, rgb: np.ndarray, ending: str):
    path = tmp_path / f"a{ending}"
    Image.fromarray(rgb).save(path)
    assert declared_size(path.read_bytes()) == (30, 44)


def test_few_bytes_that_declare_gigabytes_are_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    for ending, places in ((".png", (16, 20)), (".bmp", (18, 22))):
        path = tmp_path / f"a{ending}"
        Image.fromarray(rgb).save(path)
        data = bytearray(path.read_bytes())
        for place in places:
            data[place : place + 4] = (30_000).to_bytes(4, "big" if ending == ".png" else "little")
        path.write_bytes(data)
        with pytest.raises(DataError, match="30000x30000 pixels, at most 178 million"):
            read_rgb(path)
