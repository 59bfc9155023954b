"""Datasets: what opens, what is refused, and with which words."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.dataset import (
    Dataset,
    PairFolder,
    Sample,
    check_labels,
    check_same_classes,
    open_dataset,
)
from edgeseg.core.data.views import Subset, filter_names
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError, UsageError


def make_camvid(root: Path, split: str = "val", count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for k in range(count):
        name = f"0016E5_{k:05d}.png"
        write_png(root / split / name, rng.integers(0, 256, (6, 8, 3), np.uint8))
        write_png(root / f"{split}annot" / name, rng.integers(0, 12, (6, 8), np.uint8))
    return root


@pytest.mark.parametrize("data", ["synthetic:3", "camvid"])
def test_every_dataset_keeps_the_protocol(data: str, tmp_path: Path) -> None:
    if data == "camvid":
        data = str(make_camvid(tmp_path))
    dataset = open_dataset(data, size_hw=(33, 47))
    assert isinstance(dataset, Dataset)
    assert len(dataset) == len(dataset.names) == 3
    for index, name in enumerate(dataset.names):
        sample = dataset[index]
        assert isinstance(sample, Sample)
        assert sample.name == name
        assert sample.labels is not None
        assert sample.rgb.shape == (*sample.labels.shape, 3)
        assert sample.rgb.dtype == sample.labels.dtype == np.uint8
    with pytest.raises(IndexError):
        dataset[3]


def test_synthetic_train_mixes_streets_and_val_is_one_other_drive() -> None:
    train, val = (
        open_dataset("synthetic:30", split, size_hw=(32, 40)) for split in ("train", "val")
    )
    streets = {name.split("_")[0] for name in train.names}
    assert len(streets) == 12
    assert len({name.split("_")[0] for name in val.names}) == 1
    assert streets.isdisjoint({name.split("_")[0] for name in val.names})
    assert len(set(train.names)) == 30
    other = open_dataset("synthetic:30", "train", size_hw=(32, 40), seed=1)
    assert streets.isdisjoint({name.split("_")[0] for name in other.names})


def test_limit_spreads_over_the_split() -> None:
    subset = open_dataset("synthetic:30", "val", size_hw=(32, 40), limit=3)
    assert [name.split("_")[1] for name in subset.names] == ["00000", "00010", "00020"]
    whole = open_dataset("synthetic:2", "val", size_hw=(32, 40), limit=3)
    assert len(whole) == 2


def test_filter_names_reads_nothing(tmp_path: Path) -> None:
    dataset = open_dataset(str(make_camvid(tmp_path)))
    (tmp_path / "val" / "0016E5_00001.png").write_bytes(b"damaged")
    kept = filter_names(dataset, lambda name: name.endswith("2"))
    assert isinstance(kept, Subset)
    assert kept.names == ("0016E5_00002",)
    assert kept[0].name == "0016E5_00002"
    assert (kept.class_names, kept.palette, kept.ignore_index) == (
        dataset.class_names, dataset.palette, dataset.ignore_index,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "keywords", "words"),
    [
        ("synthetic", {"split": "valid"}, "'valid' is unknown; use one of train, val, test"),
        ("synthetic", {"limit": 0}, "limit is 0"),
        ("synthetic:0", {}, "synthetic:N"),
        ("synthetic:two", {}, "synthetic:N"),
    ],
)
def test_wrong_arguments_are_refused(data: str, keywords: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_dataset(data, **keywords)


def test_missing_file_and_unknown_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_dataset(str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: a file; expected a data folder"):
        open_dataset(str(tmp_path / "file"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither CamVid's layout"):
        open_dataset(str(tmp_path / "empty"))


def test_bad_files_are_named_when_read(tmp_path: Path) -> None:
    dataset = open_dataset(str(make_camvid(tmp_path)))
    (tmp_path / "val" / "0016E5_00000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"val/0016E5_00000\.png: not an image"):
        dataset[0]
    write_png(tmp_path / "valannot" / "0016E5_00001.png", np.zeros((6, 9), np.uint8))
    with pytest.raises(DataError, match=r"00001\.png: the mask is 6x9, its image is 6x8"):
        dataset[1]
    write_png(tmp_path / "valannot" / "0016E5_00002.png", np.full((6, 8), 99, np.uint8))
    with pytest.raises(DataError, match=r"00002\.png: unknown labels 99; expected 0-10 or 11"):
        dataset[2]


def test_unknown_labels_are_listed_up_to_eight() -> None:
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    with pytest.raises(DataError, match=r"unknown labels 3, 4, 5, 6, 8, 9, 10, 11, \.\.\.;"):
        check_labels(Path("m.png"), labels, (4, 5), 3, 7)
    check_labels(Path("m.png"), labels, (4, 5), 19, 19)


def test_data_of_other_classes_may_not_be_mixed_in() -> None:
    def named(*names: str) -> PairFolder:
        palette = tuple((i, i, i) for i in range(len(names)))
        return PairFolder("-".join(names), (), names, palette, 255)

    check_same_classes(named("sky", "road"), named("sky", "road"))
    with pytest.raises(DataError, match=r"its label 1 is 'car', not 'road'; give .* 2 classes"):
        check_same_classes(named("sky", "road"), named("sky", "car"))
    with pytest.raises(DataError, match="its label 1 is nothing, not 'road'"):
        check_same_classes(named("sky", "road"), named("sky"))
    with pytest.raises(DataError, match="its label 2 is 'car', not nothing"):
        check_same_classes(named("sky", "road"), named("sky", "road", "car"))
