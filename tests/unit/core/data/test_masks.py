"""Mask files of every kind become the same labels, or are refused with the reason."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeseg.core.data.masks import MaskRule, is_jpeg, palette_of, read_labels, read_mask
from edgeseg.core.images.io import write_png
from edgeseg.core.images.paint import colorize
from edgeseg.errors import DataError

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
LABELS = np.repeat(np.repeat(np.array([[0, 1, 2], [2, 255, 0]], np.uint8), 16, 0), 16, 1)
COLOURS = (*((colour, label) for label, colour in enumerate(PALETTE)), ((0, 0, 0), 255))
PLAIN = MaskRule(3, 255)
COLOURED = MaskRule(3, 255, (), COLOURS)


def painted(labels: np.ndarray) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    table[:3] = PALETTE
    return table[labels]


def save(kind: str, path: Path, labels: np.ndarray = LABELS) -> MaskRule:
    """Write LABELS as `kind` and return the rule that reads them."""
    if kind == "palette":
        image = Image.fromarray(labels, "P")
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        image.save(path)
    elif kind == "16-bit":
        cv2.imwrite(str(path), labels.astype(np.uint16))
    elif kind == "16-bit colours":
        cv2.imwrite(str(path), painted(labels)[..., ::-1].astype(np.uint16) * 257)
        return COLOURED
    elif kind == "rgb":
        write_png(path, painted(labels))
        return COLOURED
    elif kind == "rgba":
        alpha = np.full((*labels.shape, 1), 7, np.uint8)
        cv2.imwrite(str(path), np.concatenate([painted(labels)[..., ::-1], alpha], 2))
        return COLOURED
    elif kind == "grey copies":
        write_png(path, np.repeat(labels[..., None], 3, 2))
    elif kind == "colours of a palette":
        # As an editor that reduces colours writes it: in an order of its own.
        image = Image.fromarray(painted(labels)).convert("P", palette=Image.Palette.ADAPTIVE)
        image.save(path)
        return COLOURED
    elif kind == "values":
        write_png(path, np.choose(np.minimum(labels, 3), (7, 11, 26, 0)).astype(np.uint8))
        return MaskRule(3, 255, ((7, 0), (8, 0), (11, 1), (26, 2), (0, 255)))
    else:
        write_png(path, labels)
    return PLAIN


KINDS = ("8-bit", "palette", "16-bit", "16-bit colours", "rgb", "rgba", "grey copies", "values")


@pytest.mark.parametrize("kind", [*KINDS, "colours of a palette"])
def test_every_kind_of_mask_reads_alike(kind: str, tmp_path: Path) -> None:
    rule = save(kind, tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", rule).labels, LABELS)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_of_few_bits_and_a_grey_png_of_few_bits(bits: int, tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % 2
    image = Image.fromarray(labels, "P")
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.save(tmp_path / "p.png", bits=bits)
    assert palette_of(tmp_path / "p.png") is not None
    assert np.array_equal(read_mask(tmp_path / "p.png", PLAIN).labels, labels)
    Image.fromarray(labels.astype(bool)).save(tmp_path / "one.png")
    assert np.array_equal(read_mask(tmp_path / "one.png", PLAIN).labels, labels)


@pytest.mark.parametrize("ending", ["bmp", "tif", "gif"])
def test_a_palette_of_another_format(ending: str, tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    image = Image.fromarray(labels, "P")
    image.putpalette([9, 9, 9, 200, 10, 10, 0, 50, 0])
    image.save(tmp_path / f"m.{ending}")
    assert np.array_equal(read_mask(tmp_path / f"m.{ending}", PLAIN).labels, labels)


def test_a_palettes_colours_are_offered(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((2, 2), np.uint8), "P")
    image.putpalette([1, 2, 3, 128, 0, 0])
    image.save(tmp_path / "m.png")
    listed = palette_of(tmp_path / "m.png")
    assert listed is not None
    assert listed[:2] == ((1, 2, 3), (128, 0, 0))
    write_png(tmp_path / "plain.png", np.zeros((2, 2), np.uint8))
    assert palette_of(tmp_path / "plain.png") is None


def test_a_jpeg_of_colours_takes_the_nearest_and_tells_the_share(tmp_path: Path) -> None:
    path = tmp_path / "m.jpg"
    labels = LABELS % 3
    cv2.imwrite(str(path), painted(labels)[..., ::-1])
    assert is_jpeg(path)
    mask = read_mask(path, COLOURED)
    assert (mask.labels != labels).mean() < 0.02
    assert 0 < mask.repaired <= 1
    # A class that is not listed is no near colour of another.
    cv2.imwrite(str(path), np.full((32, 32, 3), (200, 200, 0), np.uint8))
    with pytest.raises(DataError, match=r"m\.jpg: a JPEG mask with 100\.0 % of its even parts far"):
        read_mask(path, COLOURED)


def test_a_jpeg_of_labels_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "m.jpg"
    cv2.imwrite(str(path), LABELS % 3)
    with pytest.raises(DataError, match="labels in a JPEG: JPEG is lossy and blurs a label into"):
        read_mask(path, PLAIN)
    cv2.imwrite(str(path), np.where(LABELS == 1, 255, 0).astype(np.uint8))
    mask = read_mask(path, MaskRule(2, 255, ((0, 0), (255, 1))))
    assert np.array_equal(mask.labels, LABELS == 1)


def test_many_blended_colours_are_told_from_a_forgotten_class(tmp_path: Path) -> None:
    blend = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    write_png(tmp_path / "m.png", blend)
    with pytest.raises(DataError, match="a mask that was smoothed or resized: export it again"):
        read_mask(tmp_path / "m.png", COLOURED)


def test_unknown_values_name_the_line_that_cures(tmp_path: Path) -> None:
    write_png(tmp_path / "m.png", np.full((4, 6), 24, np.uint8))
    with pytest.raises(DataError, match=r"unknown labels 24; expected 0-2 or 255 \(void\); other"):
        read_mask(tmp_path / "m.png", PLAIN)
    with pytest.raises(DataError, match="`name = 24`, or ignore them with `void = 24`"):
        read_mask(tmp_path / "m.png", MaskRule(3, 255, ((7, 0), (8, 1))))


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png: not an image"):
        read_labels(path)


def test_a_palette_file_cut_short_is_named(tmp_path: Path) -> None:
    save("palette", tmp_path / "m.png", np.tile(LABELS, (8, 8)))
    data = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(data[: len(data) - 60])
    with pytest.raises(DataError, match=r"m\.png: not an image that can be read"):
        read_labels(tmp_path / "m.png")


def test_masks_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    write_png(path, np.full((4, 6, 3), 7, np.uint8))
    assert (read_labels(path) == 7).all()
    cv2.imwrite(str(path), np.full((4, 6), 200, np.uint16))
    assert (read_labels(path) == 200).all()
    cv2.imwrite(str(path), np.full((4, 6), 300, np.uint16))
    with pytest.raises(DataError, match="unknown labels 300; expected 0-255"):
        read_labels(path)
    write_png(path, np.full((4, 6, 3), (1, 2, 3), np.uint8))
    with pytest.raises(DataError, match="a colour mask, but no colours are known"):
        read_labels(path)


def test_colour_masks_become_labels(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (5, 9)).astype(np.uint8)
    write_png(tmp_path / "m.png", colorize(labels, PALETTE))
    assert (read_labels(tmp_path / "m.png", PALETTE) == labels).all()


def test_a_mask_of_fractions_or_of_16_bit_colours_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "float.tiff"), np.full((4, 6), 0.7, np.float32))
    with pytest.raises(DataError, match="labels of type float32, expected whole numbers"):
        read_labels(tmp_path / "float.tiff")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 6, 3), 16449, np.uint16))
    with pytest.raises(DataError, match="a 16-bit colour mask, expected 8 bits"):
        read_labels(tmp_path / "deep.png", PALETTE)
