"""The census: what is counted, kept, refused and warned of, with each message's text."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.core.data import kept
from edgeseg.core.data.census import census_line, check_data, take_census
from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.data.views import limited
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError


def make(root: Path, classes: str, masks: list[np.ndarray], split: str = "") -> Path:
    rng = np.random.default_rng(len(split))
    for k, mask in enumerate(masks):
        picture = rng.integers(0, 256, (*mask.shape, 3), np.uint8)
        write_png(root / "images" / split / f"{k}.png", picture)
        write_png(root / "masks" / split / f"{k}.png", mask)
    (root / "classes.txt").write_text(classes)
    return root


def told_by(root: Path, *, allow_empty: bool = False, train: bool = True) -> tuple[list[str], str]:
    """Return what check_data says, and what it refuses."""
    said: list[str] = []
    training = open_dataset(str(root), "train") if train else None
    try:
        check_data(
            training,
            open_dataset(str(root), "val"),
            allow_empty=allow_empty,
            progress=lambda told: said.append(told.message) if told.message else None,
        )
    except DataError as error:
        return said, str(error)
    return said, ""


NAMES = "floor\npallet\nperson\n"
MASK = np.zeros((10, 10), np.uint8)
MASK[0, :3], MASK[1, :1], MASK[2, :5] = 1, 2, 255


def test_one_line_says_it_all(tmp_path: Path) -> None:
    root = make(tmp_path, NAMES, [MASK] * 10)
    said, refused = told_by(root)
    assert refused == ""
    assert said == [
        "3 classes: floor 95.8 %, pallet 3.2 %, person 1.1 %; void 5.0 %; 8 train, 2 val (blocks "
        "of frames, see --split-by)"
    ]
    census = take_census(open_dataset(str(root), "train"))
    assert census.pixels.tolist() == [8 * 91, 8 * 3, 8]
    assert census.void == 8 * 5
    assert census.to_json()["sizes"] == {"10x10": 8}


def test_a_class_without_a_pixel_in_train_is_refused_unless_allowed(tmp_path: Path) -> None:
    root = make(tmp_path, NAMES, [np.minimum(MASK, 1)] * 10)
    said, refused = told_by(root)
    assert refused == (
        f"{tmp_path.name} (train, blocks of frames, see --split-by): class person without a pixel "
        "in train; check the labels with `edgeseg data`, take the class out of classes.txt, or "
        "give --allow-empty to train without it"
    )
    said, refused = told_by(root, allow_empty=True)
    assert refused == ""
    assert said[-1] == (
        "warning: val has no pixel of person: its IoU is undefined there, and mIoU is the mean "
        "over 2 of 3 classes"
    )


def test_three_classes_of_0_and_255_are_refused(tmp_path: Path) -> None:
    root = make(tmp_path, NAMES, [(MASK == 1).astype(np.uint8) * 255] * 10)
    _, refused = told_by(root)
    assert refused.endswith(
        "classes pallet, person without a pixel in train; the masks hold 0 and 255 alone, which "
        "cannot be 3 classes: save each class's own label, or list two classes in classes.txt"
    )


def test_two_classes_of_0_and_255_are_read_and_said(tmp_path: Path) -> None:
    root = make(tmp_path, "background\nobject\n", [(MASK == 1).astype(np.uint8) * 255] * 10)
    said, refused = told_by(root)
    assert refused == ""
    assert said[0].startswith("2 classes: background 97.0 %, object 3.0 %; void 0 %; 8 train")
    assert said[1].startswith("the masks hold 0 and 255 alone: 255 is read as object, not as void")


def test_every_damaged_file_is_named_at_once_before_anything_runs(tmp_path: Path) -> None:
    root = make(tmp_path, NAMES, [MASK] * 10)
    (root / "masks" / "9.png").write_bytes(b"")
    (root / "images" / "2.png").write_bytes(b"no")
    write_png(root / "masks" / "4.png", np.full((10, 10), 7, np.uint8))
    write_png(root / "masks" / "5.png", np.zeros((5, 10), np.uint8))
    said, refused = told_by(root)
    parts = refused.split("; ")
    for words in ("2.png: not an image", "4.png: unknown labels 7", "9.png: not an image"):
        assert any(words in part for part in parts), words
    assert "the mask is 5x10, its image is 10x10" in refused
    assert "\n" not in refused
    for k in range(10):
        (root / "masks" / f"{k}.png").write_bytes(b"")
    assert told_by(root)[1].endswith("and 5 more files cannot be read")
    assert said == []


def test_warnings_are_loud(tmp_path: Path) -> None:
    void = np.full((10, 10), 255, np.uint8)
    void[0, :6] = np.arange(6) % 3
    make(tmp_path, NAMES, [void] * 3, "train")
    root = make(tmp_path, NAMES, [void] * 2, "val")
    shared = (root / "images/train/1.png").read_bytes()
    (root / "images/val/0.png").write_bytes(shared)
    said, refused = told_by(root)
    assert refused == ""
    assert said[1:] == [
        "warning: 94.0 % of the pixels of train are void",
        "warning: 94.0 % of the pixels of val are void",
        "warning: val shares 1 pictures with train (1 = 0): its scores lie",
    ]


def test_jpeg_masks_and_turned_photos_are_said_once(tmp_path: Path) -> None:
    from PIL import Image

    colours = np.zeros((32, 48, 3), np.uint8)
    colours[:, 16:32], colours[:, 32:] = (255, 0, 0), (0, 255, 0)
    image = Image.fromarray(np.zeros((48, 32, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for k in range(5):
        image.save(tmp_path / "images" / f"{k}.jpg", exif=exif)
        cv2.imwrite(str(tmp_path / "masks" / f"{k}.jpg"), colours[..., ::-1])
    (tmp_path / "classes.txt").write_text("a 0 0 0\nb 255 0 0\nc 0 255 0\n")
    said, refused = told_by(tmp_path)
    assert refused == ""
    assert "4 photos were turned by their EXIF orientation; their masks were not" in said
    assert any(
        text.startswith("masks are JPEG: ") and text.endswith("moved to the nearest listed colour")
        for text in said
    )


def test_unlabelled_pictures(tmp_path: Path) -> None:
    from edgeseg.core.data.read_options import ReadOptions

    root = make(tmp_path, NAMES, [MASK] * 10)
    for k in (3, 8):
        (root / "masks" / f"{k}.png").unlink()
    with pytest.raises(DataError, match=r"2 of 10 pictures have none; leave them out with --unla"):
        open_dataset(str(root), "train")
    skipped = open_dataset(str(root), "test", options=ReadOptions(unlabelled="skip"))
    assert len(skipped) == 8
    filled = open_dataset(str(root), "test", options=ReadOptions(unlabelled="background"))
    assert filled[3].labels is not None
    assert not filled[3].labels.any()
    assert isinstance(filled, PairFolder)
    assert filled.notes == ("2 of 10 pictures have no mask and are all of the class of label 0",)


def test_facts_are_kept_and_only_changed_files_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "d", NAMES, [MASK] * 6)
    monkeypatch.setattr(kept, "_folder", tmp_path / "cache")
    data = open_dataset(str(root), "test")
    first = take_census(data)
    assert not [path for path in root.rglob("*") if path.suffix == ".json"]
    read: list[int] = []
    plain = PairFolder.picture_at

    def counted(folder: PairFolder, index: int) -> np.ndarray:
        read.append(index)
        return plain(folder, index)

    monkeypatch.setattr(PairFolder, "picture_at", counted)
    again = take_census(data)
    assert read == []
    assert again.facts == first.facts
    assert len(take_census(limited(data, 3)).facts) == 3
    write_png(root / "masks" / "2.png", np.ones((10, 10), np.uint8))
    changed = take_census(open_dataset(str(root), "test"))
    assert read == [2]
    assert int(changed.pixels[1]) == 5 * 3 + 100
    # Read by other classes, the same files have other facts; a damaged cache is counted anew.
    (root / "classes.txt").write_text("person\nfloor\npallet\n")
    take_census(open_dataset(str(root), "test"))
    assert len(read) == 7
    for path in (tmp_path / "cache").iterdir():
        path.write_text("{")
    assert take_census(open_dataset(str(root), "test")).facts == changed.facts


def test_painted_data_has_no_files_to_look_at() -> None:
    data = open_dataset("synthetic:3", "val", size_hw=(32, 40))
    assert check_data(None, data)[1] is not None
    assert take_census(data).facts == ()


@pytest.mark.camvid
def test_the_census_of_camvid_equals_an_independent_count(camvid: Path) -> None:
    data = open_dataset(str(camvid), "val")
    census = take_census(data)
    counts = np.zeros(256, np.int64)
    for path in (camvid / "valannot").glob("*.png"):
        counts += np.bincount(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel(), minlength=256)
    assert census.pixels.tolist() == counts[:11].tolist()
    assert census.void == int(counts[11:].sum())
    assert census_line(None, census).startswith("11 classes: Sky 9.3 %, ")
