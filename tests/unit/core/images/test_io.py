"""Reading, fitting and colouring pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.core.images.io import (
    PAD_VALUE,
    Placement,
    colorize,
    fit_rgb,
    letterbox,
    overlay,
    read_labels,
    read_rgb,
    resize_labels,
    resize_rgb,
    write_png,
)
from edgeseg.errors import DataError, UsageError

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


def test_letterbox_pads_and_keeps_the_aspect(rgb: np.ndarray) -> None:
    canvas, placement = letterbox(rgb, (60, 60))
    assert placement == Placement((30, 44), (60, 60), (41, 60), 9, 0)
    assert canvas.shape == (60, 60, 3)
    assert (canvas[:9] == PAD_VALUE).all()
    assert (canvas[50:] == PAD_VALUE).all()
    assert (canvas[9:50] == resize_rgb(rgb, (41, 60))).all()


def test_letterbox_that_only_pads_keeps_every_pixel(rgb: np.ndarray) -> None:
    canvas, placement = letterbox(rgb, (30, 64))
    assert (canvas[:, 10:54] == rgb).all()
    labels = rgb[..., 0]
    there = placement.place_labels(labels, 255)
    assert (there[:, :10] == 255).all()
    assert (placement.invert_labels(there) == labels).all()


def test_fit_follows_the_model_s_rule(rgb: np.ndarray) -> None:
    same, placement = fit_rgb(rgb, (30, 44), "exact")
    assert same is rgb
    assert (placement.invert_labels(rgb[..., 1]) == rgb[..., 1]).all()
    assert (fit_rgb(rgb, (60, 60))[0] == letterbox(rgb, (60, 60))[0]).all()
    stretched, placement = fit_rgb(rgb, (60, 60), "stretch")
    assert (stretched == resize_rgb(rgb, (60, 60))).all()
    assert placement.inner_hw == (60, 60)
    with pytest.raises(DataError, match=r"the frame is 30x44, the model takes 60x60"):
        fit_rgb(rgb, (60, 60), "exact")
    with pytest.raises(UsageError, match="resize is 'crop'"):
        fit_rgb(rgb, (60, 60), "crop")


def test_shrinking_averages_and_growing_interpolates() -> None:
    checks = np.kron(np.indices((6, 8)).sum(0) % 2, np.ones((2, 2))).astype(np.uint8) * 200
    fine = np.dstack([checks] * 3)
    assert (resize_rgb(fine, (3, 4)) == 100).all()
    assert len(np.unique(resize_rgb(fine, (24, 32)))) > 2


def test_labels_are_picked_never_mixed() -> None:
    labels = np.array([[0, 9], [4, 2]], np.uint8)
    assert resize_labels(labels, (4, 6)).tolist() == np.kron(labels, np.ones((2, 3))).tolist()
    assert resize_labels(np.kron(labels, np.ones((3, 3), np.uint8)), (2, 2)).tolist() == (
        labels.tolist()
    )


def test_labels_of_another_size_are_refused(rgb: np.ndarray) -> None:
    _, placement = letterbox(rgb, (60, 60))
    with pytest.raises(UsageError, match="labels are 30x44, but the canvas is 60x60"):
        placement.invert_labels(rgb[..., 0])
    with pytest.raises(UsageError, match="labels are 60x60, but the picture is 30x44"):
        placement.place_labels(np.zeros((60, 60), np.uint8), 255)


def test_overlay_lets_void_through(rgb: np.ndarray) -> None:
    labels = np.ones(rgb.shape[:2], np.uint8)
    labels[0] = 11
    before = rgb.copy()
    mixed = overlay(rgb, labels, PALETTE, 0.5)
    assert (rgb == before).all()
    assert (mixed[0] == rgb[0]).all()
    expected = 0.5 * rgb[1:] + 0.5 * np.array([0, 255, 0])
    assert np.abs(mixed[1:] - expected).max() <= 1
    assert (overlay(rgb, labels, PALETTE, 1.0)[1:] == (0, 255, 0)).all()
    assert (colorize(labels, PALETTE)[0] == 0).all()
    with pytest.raises(UsageError, match="30x44, its labels are 44x30"):
        overlay(rgb, labels.T, PALETTE)


def test_a_mask_of_fractions_or_of_16_bit_colours_is_refused(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "float.tiff"), np.full((4, 6), 0.7, np.float32))
    with pytest.raises(DataError, match="labels of type float32, expected whole numbers"):
        read_labels(tmp_path / "float.tiff")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 6, 3), 16448, np.uint16))
    with pytest.raises(DataError, match="a 16-bit colour mask, expected 8 bits"):
        read_labels(tmp_path / "deep.png", PALETTE)
