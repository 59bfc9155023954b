"""CamVid's layout, with and without list files, and its drives."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.classes import GRAMMAR
from edgeseg.core.data.formats.base import ReadOptions
from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.views import drive_of, hold_out
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError, UsageError

WHOLE = ReadOptions(hold_back=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny CamVid: two drives in train, no val."""
    for k, drive in enumerate(["0001TP", "0001TP", "0006R0"]):
        name = f"{drive}_{k:05d}.png"
        write_png(tmp_path / "train" / name, np.full((5, 7, 3), k, np.uint8))
        write_png(tmp_path / "trainannot" / name, np.full((5, 7), k, np.uint8))
    return tmp_path


def test_without_a_list_every_pair_by_name_is_there(folder: Path) -> None:
    dataset = open_dataset(str(folder), "train", options=WHOLE)
    assert dataset.names == ("0001TP_00000", "0001TP_00001", "0006R0_00002")
    assert dataset[2].labels is not None
    assert int(dataset[2].labels.min()) == int(dataset[2].rgb.max()) == 2
    assert dataset.ignore_index == 11
    assert len(dataset.class_names) == 11


@pytest.mark.parametrize("prefix", ["", "/SegNet/CamVid/", "./"])
def test_list_lines_are_found_whatever_their_prefix(folder: Path, prefix: str) -> None:
    lines = [
        f"{prefix}train/{name} {prefix}trainannot/{name}"
        for name in ("0006R0_00002.png", "0001TP_00000.png")
    ]
    (folder / "train.txt").write_text("\n".join(lines) + "\n\n")
    assert open_dataset(str(folder), "train", options=WHOLE).names == (
        "0006R0_00002",
        "0001TP_00000",
    )


@pytest.mark.parametrize("gap", [" ", "\t", "  "])
def test_paths_in_a_list_may_hold_spaces(folder: Path, gap: str) -> None:
    lines = []
    for name in ("train", "trainannot"):
        (folder / f"my {name}").mkdir()
        (folder / name / "0006R0_00002.png").rename(folder / f"my {name}" / "0006R0_one 2.png")
        lines.append(f"my {name}/0006R0_one 2.png")
    (folder / "train.txt").write_text(gap.join(lines) + "\n")
    assert open_dataset(str(folder), "train", options=WHOLE).names == ("0006R0_one 2",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train/0001TP_00000.png\n", r"train\.txt, line 1: 1 words, expected `image mask`"),
        ("train/no.png trainannot/no.png\n", r"line 1: train/no\.png is not there"),
        ("\n", r"train\.txt: no images"),
    ],
)
def test_a_wrong_list_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "train.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        open_dataset(str(folder), "train")


def test_a_training_set_alone_gives_its_validation(folder: Path) -> None:
    assert open_dataset(str(folder), "val").names == ("0006R0_00002",)
    assert open_dataset(str(folder), "train").names == ("0001TP_00000", "0001TP_00001")


def test_own_data_in_this_layout_needs_its_own_classes(folder: Path) -> None:
    for path in [*(folder / "train").iterdir(), *(folder / "trainannot").iterdir()]:
        path.rename(path.with_name(f"mine_{path.name}"))
    with pytest.raises(DataError) as caught:
        open_dataset(str(folder), "train")
    assert str(caught.value) == (
        f"{folder}: no classes.txt, and mine_0001TP_00000.png is no picture of CamVid, whose "
        f"classes would be wrong here; write {folder}/classes.txt or give --classes FILE: {GRAMMAR}"
    )
    (folder / "classes.txt").write_text("floor\npallet\nperson\n")
    dataset = open_dataset(str(folder), "train")
    assert dataset.class_names == ("floor", "pallet", "person")
    assert dataset[1].labels is not None


def test_missing_split_and_missing_mask_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no test/ with testannot/; splits that are there: train"):
        open_dataset(str(folder), "test")
    (folder / "trainannot" / "0001TP_00001.png").unlink()
    with pytest.raises(DataError, match=r"0001TP_00001\.png: no mask of that name"):
        open_dataset(str(folder), "train")


def test_an_empty_split_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()
    with pytest.raises(DataError, match=r"train: no images"):
        open_dataset(str(folder), "train")


def test_hold_out_splits_by_drive(folder: Path) -> None:
    dataset = open_dataset(str(folder), "train", options=WHOLE)
    rest, held = hold_out(dataset, "0001TP")
    assert {drive_of(name) for name in held.names} == {"0001TP"}
    assert sorted((*rest.names, *held.names)) == sorted(dataset.names)
    with pytest.raises(UsageError, match=r"its drives: 0001TP, 0006R0"):
        hold_out(dataset, "0016E5")


@pytest.mark.camvid
def test_real_camvid_reads(camvid: Path) -> None:
    val = open_dataset(str(camvid), "val")
    assert len(val) == 101
    assert {drive_of(name) for name in val.names} == {"0016E5"}
    sample = val[50]
    assert sample.labels is not None
    assert sample.rgb.shape == (360, 480, 3)
    assert set(np.unique(sample.labels)) <= set(range(12))
    train = open_dataset(str(camvid), "train")
    rest, held = hold_out(train, "0001TP")
    assert (len(rest), len(held)) == (305, 62)
