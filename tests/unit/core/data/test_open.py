"""What opens, what is refused, and with which words."""

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from edgeseg.core import registry
from edgeseg.core.data import open as module
from edgeseg.core.data.classes import read_classes
from edgeseg.core.data.dataset import Dataset, Sample
from edgeseg.core.data.formats.base import Format, ReadOptions
from edgeseg.core.data.open import FORMATS, load_format, open_dataset, recognize
from edgeseg.core.registry import Registry
from edgeseg.errors import DataError, UsageError
from tests.data_folders import make_camvid


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


def test_limit_spreads_over_the_split() -> None:
    subset = open_dataset("synthetic:30", "val", size_hw=(32, 40), limit=3)
    assert [name.split("_")[1] for name in subset.names] == ["00000", "00010", "00020"]
    whole = open_dataset("synthetic:2", "val", size_hw=(32, 40), limit=3)
    assert len(whole) == 2


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
    with pytest.raises(
        DataError, match=r"no data layout is recognized there; expected one of .*masks: "
    ):
        open_dataset(str(tmp_path / "empty"))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_the_interface(name: str, tmp_path: Path) -> None:
    layout = load_format(name)
    assert isinstance(layout, Format)
    assert "\n" not in layout.tree
    assert layout.recognize(tmp_path) is None


def test_a_folder_is_opened_as_the_first_format_that_recognizes_it(tmp_path: Path) -> None:
    make_camvid(tmp_path)
    assert recognize(tmp_path) == ("camvid", "val/ with valannot/")
    (tmp_path / "images").mkdir()
    assert recognize(tmp_path) == ("masks", "images/")
    with pytest.raises(DataError, match="no masks/ folder"):
        open_dataset(str(tmp_path))
    # The user's word overrules what the folder looks like.
    assert len(open_dataset(f"camvid:{tmp_path}")) == 3
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_dataset(f"camvid:{tmp_path / 'nowhere'}")


def test_a_classes_file_replaces_what_the_layout_implies(tmp_path: Path) -> None:
    make_camvid(tmp_path / "d")
    own = tmp_path / "mine.txt"
    own.write_text("".join(f"part{n}\n" for n in range(11)) + "void\n")
    data = open_dataset(str(tmp_path / "d"), options=ReadOptions(classes=own))
    assert data.class_names == read_classes(own).names
    assert data.class_names[10] == "part10"
    assert data.ignore_index == 11


class Flat:
    """A user's format: as many painted frames as a folder has .flat files."""

    tree = "files ending in .flat"

    def recognize(self, root: Path) -> str | None:
        return ".flat files" if list(root.glob("*.flat")) else None

    def open(self, root: Path, split: str, options: ReadOptions) -> Dataset:
        return open_dataset(f"synthetic:{len(list(root.glob('*.flat')))}", split)


def test_an_installed_package_adds_a_format(tmp_path: Path, monkeypatch) -> None:
    point = EntryPoint("flat", f"{__name__}:Flat", "edgeseg.datasets")
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: [point])
    monkeypatch.setattr(module, "FORMATS", Registry("data format", "datasets", FORMATS))
    make_camvid(tmp_path)
    assert len(open_dataset(str(tmp_path))) == 3
    (tmp_path / "a.flat").touch()
    assert recognize(tmp_path) == ("flat", ".flat files")
    assert len(open_dataset(str(tmp_path))) == 1
    assert len(open_dataset(f"camvid:{tmp_path}")) == 3
