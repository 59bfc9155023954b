"""images/, masks/ and classes.txt."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

COLOURED = "road 128 64 128\ncar 0 0 142  # both kinds\nsky 70 130 180\n"


def make_folder(root: Path, classes: str, count: int = 6, split: str = "") -> Path:
    for k in range(count):
        write_png(root / "images" / split / f"{k}.png", np.full((4, 6, 3), k, np.uint8))
        write_png(root / "masks" / split / f"{k}.png", np.full((4, 6), k % 3, np.uint8))
    (root / "classes.txt").write_text(classes)
    return root


def test_label_masks(tmp_path: Path) -> None:
    dataset = open_dataset(str(make_folder(tmp_path, COLOURED)), "test")
    assert dataset.class_names == ("road", "car", "sky")
    assert dataset.palette[1] == (0, 0, 142)
    assert dataset.ignore_index == 255
    labels = dataset[4].labels
    assert labels is not None
    assert (labels == 1).all()


def test_colour_masks_with_black_as_void(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, COLOURED)
    mask = np.zeros((4, 6, 3), np.uint8)
    mask[0], mask[1] = (0, 0, 142), (70, 130, 180)
    write_png(folder / "masks" / "0.png", mask)
    labels = open_dataset(str(folder), "test")[0].labels
    assert labels is not None
    assert labels[:, 0].tolist() == [1, 2, 255, 255]
    mask[2] = (1, 2, 3)
    write_png(folder / "masks" / "0.png", mask)
    with pytest.raises(DataError, match=r"masks/0\.png: colours of no class: \(1,2,3\)"):
        open_dataset(str(folder), "test")[0]


def test_void_with_a_colour_and_a_label_of_its_own(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, COLOURED + "void 255 255 255\n")
    mask = np.full((4, 6, 3), 255, np.uint8)
    mask[0] = (128, 64, 128)
    write_png(folder / "masks" / "0.png", mask)
    write_png(folder / "masks" / "1.png", np.full((4, 6), 3, np.uint8))
    dataset = open_dataset(str(folder), "test")
    assert dataset.ignore_index == 3
    assert len(dataset.class_names) == 3
    first, second = dataset[0].labels, dataset[1].labels
    assert first is not None
    assert second is not None
    assert first[:, 0].tolist() == [0, 3, 3, 3]
    assert (second == 3).all()


def test_train_and_val_never_share_an_image(tmp_path: Path) -> None:
    folder = str(make_folder(tmp_path, COLOURED))
    names = {split: set(open_dataset(folder, split).names) for split in ("train", "val", "test")}
    assert names["train"].isdisjoint(names["val"])
    assert names["train"] | names["val"] == names["test"]
    assert "those of train and val" in open_dataset(folder, "test").name


def test_split_folders_are_used_where_they_exist(tmp_path: Path) -> None:
    make_folder(tmp_path, COLOURED, 4, "train")
    folder = str(make_folder(tmp_path, COLOURED, 2, "val"))
    assert len(open_dataset(folder, "train")) == 4
    assert len(open_dataset(folder, "val")) == 2
    with pytest.raises(DataError, match=r"no test/; splits that are there: train, val"):
        open_dataset(folder, "test")


def test_missing_parts_are_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="no masks/ folder"):
        open_dataset(str(tmp_path))
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"classes\.txt: No such file"):
        open_dataset(str(tmp_path))
    (tmp_path / "classes.txt").write_text(COLOURED)
    with pytest.raises(DataError, match="images: no images"):
        open_dataset(str(tmp_path))
    write_png(tmp_path / "images" / "a.png", np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: no mask of that name"):
        open_dataset(str(tmp_path))
    write_png(tmp_path / "masks" / "a.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match="too few to hold one back"):
        open_dataset(str(tmp_path), "train")


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_two_files_of_one_name_are_refused(tmp_path: Path, kind: str) -> None:
    folder = make_folder(tmp_path, COLOURED)
    (folder / kind / "1.jpg").write_bytes((folder / kind / "1.png").read_bytes())
    with pytest.raises(DataError, match=r"1\.jpg and .*1\.png have one name"):
        open_dataset(str(folder), "train")
