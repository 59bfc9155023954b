"""What all masks of a data set tell: binary masks, grey colours, pictures of 16 bits."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.core.data import settle
from edgeseg.core.data.kept import keep_in
from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

OBJECT = np.zeros((8, 10), np.uint8)
OBJECT[2:5, 3:9] = 1


def make(root: Path, classes: str, masks: list[np.ndarray], ending: str = "png") -> PairFolder:
    (root / "masks").mkdir(parents=True)
    for k, mask in enumerate(masks):
        write_png(root / "images" / f"{k}.png", np.full((8, 10, 3), k, np.uint8))
        cv2.imwrite(str(root / "masks" / f"{k}.{ending}"), mask)
    (root / "classes.txt").write_text(classes)
    folder = open_dataset(str(root), "test")
    assert isinstance(folder, PairFolder)
    return folder


def labels_of(folder: PairFolder, index: int = 0) -> np.ndarray:
    labels = folder[index].labels
    assert labels is not None
    return labels


NAMES = "background\nobject\n"
GREY = "background 0 0 0\nobject 255 255 255\n"


@pytest.mark.parametrize("classes", [NAMES, GREY])
@pytest.mark.parametrize("channels", [1, 3])
def test_0_and_255_are_two_classes(tmp_path: Path, classes: str, channels: int) -> None:
    mask = np.repeat(OBJECT[..., None] * 255, channels, 2) if channels == 3 else OBJECT * 255
    folder = make(tmp_path, classes, [mask * 0, mask, mask])
    assert np.array_equal(labels_of(folder, 1), OBJECT)
    assert (labels_of(folder, 0) == 0).all()
    told = "255 is read as object, not as void (if it is void, write `void = 255`"
    assert (told in " ".join(folder.notes)) == (classes == NAMES)


def test_every_split_is_read_alike_though_it_lacks_the_object(tmp_path: Path) -> None:
    make(tmp_path, NAMES, [OBJECT * 0] * 8 + [OBJECT * 255] * 2)
    val = open_dataset(str(tmp_path), "val")
    train = open_dataset(str(tmp_path), "train")
    assert isinstance(train, PairFolder)
    assert isinstance(val, PairFolder)
    assert train.rule == val.rule
    assert np.array_equal(labels_of(val, 1), OBJECT)


def test_a_label_1_or_a_file_that_explains_keeps_255_void(tmp_path: Path) -> None:
    mixed = OBJECT.copy()
    mixed[0, 0] = 255
    folder = make(tmp_path / "a", NAMES, [OBJECT * 255, mixed])
    assert set(np.unique(labels_of(folder))) == {0, 255}
    assert folder.notes == ()
    told = make(tmp_path / "b", "background = 0\nobject = 1\nvoid = 255\n", [OBJECT * 255] * 2)
    assert set(np.unique(labels_of(told))) == {0, told.ignore_index}
    own = make(tmp_path / "c", "background = 0\nobject = 255\n", [OBJECT * 255] * 2)
    assert np.array_equal(labels_of(own), OBJECT)


def test_three_classes_of_0_and_255_are_not_guessed(tmp_path: Path) -> None:
    folder = make(tmp_path, "a\nb\nc\n", [OBJECT * 255] * 2)
    assert set(np.unique(labels_of(folder))) == {0, 255}


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_levels_that_are_listed_are_colours(tmp_path: Path, channels: int) -> None:
    levels = np.array([0, 128, 255], np.uint8)
    labels = np.arange(80, dtype=np.uint8).reshape(8, 10) % 3
    mask = levels[labels] if channels == 1 else np.repeat(levels[labels][..., None], 3, 2)
    folder = make(tmp_path, "a 0 0 0\nb 128 128 128\nc 255 255 255\n", [mask] * 2)
    assert np.array_equal(labels_of(folder), labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_labels_are_labels_though_the_classes_have_colours(tmp_path: Path, channels: int) -> None:
    labels = np.arange(80, dtype=np.uint8).reshape(8, 10) % 3
    mask = labels if channels == 1 else np.repeat(labels[..., None], 3, 2)
    folder = make(tmp_path, "a 0 0 0\nb 128 0 0\nc 255 255 255\n", [mask * 0, mask])
    assert np.array_equal(labels_of(folder, 1), labels)


def test_binary_jpeg_masks(tmp_path: Path) -> None:
    mask = np.repeat(np.repeat(OBJECT * 255, 4, 0), 4, 1)
    (tmp_path / "masks").mkdir()
    for k in range(2):
        write_png(tmp_path / "images" / f"{k}.png", np.zeros((32, 40, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "masks" / f"{k}.jpg"), mask)
    (tmp_path / "classes.txt").write_text(NAMES)
    folder = open_dataset(str(tmp_path), "test")
    assert isinstance(folder, PairFolder)
    assert np.array_equal(labels_of(folder), mask // 255)


def test_pictures_of_16_bits_share_one_white(tmp_path: Path) -> None:
    for k, largest in enumerate((900, 4000)):
        write_png(tmp_path / "masks" / f"{k}.png", np.arange(2, dtype=np.uint8)[None])
        (tmp_path / "images").mkdir(exist_ok=True)
        picture = np.array([[0, largest]], np.uint16)
        cv2.imwrite(str(tmp_path / "images" / f"{k}.png"), picture)
    (tmp_path / "classes.txt").write_text(NAMES)
    folder = open_dataset(str(tmp_path), "test")
    assert isinstance(folder, PairFolder)
    assert folder.notes == ("pictures of 16 bits: 0-4095 is scaled to 0-255",)
    assert int(folder[0].rgb.max()) == round(900 * 255 / 4095)


def test_a_turned_photos_mask_of_the_stored_size_names_the_cause(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    image = Image.fromarray(np.zeros((8, 10, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    for k in range(2):
        image.save(tmp_path / "images" / f"{k}.jpg", exif=exif)
        write_png(tmp_path / "masks" / f"{k}.png", OBJECT if k else OBJECT.T)
    (tmp_path / "classes.txt").write_text(NAMES)
    folder = open_dataset(str(tmp_path), "test")
    assert folder[0].rgb.shape == (10, 8, 3)
    with pytest.raises(DataError, match=r"1\.jpg is shown turned by its EXIF orientation"):
        folder[1]


def test_what_all_masks_tell_is_kept_between_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "d"
    keep_in(tmp_path / "kept")
    try:
        first = make(root, "a\nb\n", [255 * OBJECT, 0 * OBJECT])
        with monkeypatch.context() as patched:
            patched.setattr(settle, "decode_mask", lambda path: pytest.fail(f"{path} read again"))
            again = open_dataset(str(root), "test")
        cv2.imwrite(str(root / "masks" / "1.png"), OBJECT)
        changed = open_dataset(str(root), "test")
    finally:
        keep_in(None)
    assert isinstance(again, PairFolder)
    assert isinstance(changed, PairFolder)
    assert first.notes == again.notes != changed.notes == ()
