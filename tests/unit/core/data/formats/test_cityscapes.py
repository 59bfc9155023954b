"""Cityscapes' three kinds of mask have the same labels of the 19 classes."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.formats.cityscapes import TRAINED, VOID_COLOURS
from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

NAME = "aachen/aachen_000000_000019"
# Train ids, void last.
LABELS = np.array([*range(19), 255], np.uint8).reshape(4, 5).repeat(2, 0).repeat(2, 1)


def pixels_of(kind: str) -> np.ndarray:
    table = np.zeros((256, 3) if kind == "color" else 256, np.uint8)
    for label, (_, value, colour) in enumerate(TRAINED):
        table[label] = {"labelIds": value, "labelTrainIds": label, "color": colour}[kind]
    table[255] = {"labelIds": 4, "labelTrainIds": 255, "color": VOID_COLOURS[3]}[kind]
    return np.asarray(table[LABELS])


def write(root: Path, *kinds: str) -> None:
    for split in ("train", "val"):
        write_png(
            root / "leftImg8bit" / split / f"{NAME}_leftImg8bit.png", np.zeros((8, 10, 3), np.uint8)
        )
        for kind in kinds:
            write_png(root / "gtFine" / split / f"{NAME}_gtFine_{kind}.png", pixels_of(kind))


@pytest.mark.parametrize(
    "kinds", [("labelIds",), ("labelTrainIds",), ("color",), ("color", "labelTrainIds", "labelIds")]
)
def test_each_kind_reads_alike(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    write(tmp_path, *kinds)
    # Cityscapes has it too: the instances are no masks of classes.
    write_png(
        tmp_path / "gtFine" / "train" / f"{NAME}_gtFine_instanceIds.png",
        np.full((8, 10), 26001, np.uint16),
    )
    data = open_dataset(str(tmp_path), "train")
    assert data.class_names[13] == "car"
    labels = data[0].labels
    assert labels is not None
    assert np.array_equal(labels, LABELS)


def test_own_names_go_with_train_ids(tmp_path: Path) -> None:
    write(tmp_path, "labelIds", "labelTrainIds")
    (tmp_path / "classes.txt").write_text("\n".join(f"c{k}" for k in range(19)) + "\n")
    data = open_dataset(str(tmp_path), "train")
    assert data.class_names[0] == "c0"
    assert np.array_equal(data[0].labels, LABELS)


def test_polygons_alone_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "gtFine" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no masks; expected CITY/NAME_gtFine_labelIds\.png"):
        open_dataset(str(tmp_path), "train")
