"""What is held back for validation, and list files of every origin."""

import itertools
from pathlib import Path

import pytest

from edgeseg.core.data.formats.base import ReadOptions
from edgeseg.core.data.splits import Finder, held_back, list_files, read_list, split_pairs
from edgeseg.errors import DataError, UsageError


def frames(count: int, name: str = "f_{:04d}.jpg") -> list[Path]:
    return [Path("images") / name.format(k) for k in range(count)]


@pytest.mark.parametrize(("total", "wanted", "runs"), [(40, 8, 1), (400, 80, 5), (2, 1, 1)])
def test_blocks_are_contiguous(total: int, wanted: int, runs: int) -> None:
    held = sorted(held_back(frames(total)))
    assert len(held) == wanted
    assert sum(a + 1 != b for a, b in itertools.pairwise(held)) + 1 == runs


def test_random_is_the_same_each_time_and_differs_from_blocks() -> None:
    assert held_back(frames(40), "random") == held_back(frames(40), "random")
    assert len(held_back(frames(40), "random")) == 8
    assert held_back(frames(40), "random") != held_back(frames(40))


def test_name_keeps_drives_and_folders_together() -> None:
    drives = [Path(f"{drive}_{k}.png") for drive in "abcd" for k in range(5)]
    held = held_back(drives, "name")
    assert {drives[index].name[0] for index in held} == {"a"}
    assert len(held) == 5
    folders = [Path(f"seq{s}/f_{k}.png") for s in range(3) for k in range(4)]
    assert {folders[index].parent.name for index in held_back(folders, "name")} == {"seq0"}
    with pytest.raises(DataError, match="--split-by name has one group; use --split-by block"):
        held_back(frames(8), "name")
    with pytest.raises(DataError, match="no two names begin alike"):
        held_back([Path(f"{k}.png") for k in range(8)], "name")


def test_too_few_and_unknown() -> None:
    with pytest.raises(DataError, match="too few to hold one back for validation"):
        held_back(frames(1))
    with pytest.raises(UsageError, match="--split-by 'fifth' is unknown; use one of block, name"):
        held_back(frames(9), "fifth")


@pytest.mark.parametrize(
    "line",
    [
        "f_0003",
        "f_0003.jpg",
        "images/f_0003.jpg",
        r"C:\Users\me\data\images\f_0003.jpg",
        "/content/drive/My Drive/images/f_0003.jpg",
        "images/f_0003.jpg masks/f_0003.png",
        "images\\f_0003.jpg\tmasks\\f_0003.png",
        "f_0003 1",
        '"f_0003.png"',
    ],
)
def test_a_list_line_is_found_whatever_wrote_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "val.txt"
    path.write_bytes(b"\xef\xbb\xbf" + f"# val\r\n{line}\r\n\r\n".encode())
    assert read_list(path, Finder(frames(9))) == [3]


def test_names_with_spaces_and_the_same_name_in_two_folders(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_text("my photo 2\nb/f.png\n")
    images = [Path("x/my photo 1.jpg"), Path("x/my photo 2.jpg"), Path("a/f.png"), Path("b/f.png")]
    assert read_list(path, Finder(images)) == [1, 3]
    path.write_text("f.png\n")
    with pytest.raises(DataError, match=r"val\.txt, line 1: f\.png is no picture here, or could"):
        read_list(path, Finder(images))


def test_lists_decide_and_what_no_list_names_is_the_other_split(tmp_path: Path) -> None:
    pairs = [(path, None) for path in frames(6)]
    (tmp_path / "val.txt").write_text("f_0001\nf_0004\n")
    lists = list_files(tmp_path)
    assert [p.stem for p, _ in split_pairs(pairs, "val", lists, ReadOptions())[0]] == [
        "f_0001",
        "f_0004",
    ]
    train, what = split_pairs(pairs, "train", lists, ReadOptions())
    assert [p.stem for p, _ in train] == ["f_0000", "f_0002", "f_0003", "f_0005"]
    assert what == "train"
    (tmp_path / "val.txt").write_text("")
    with pytest.raises(DataError, match="no images are listed for val"):
        split_pairs(pairs, "val", list_files(tmp_path), ReadOptions())
