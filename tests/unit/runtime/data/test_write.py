"""The plain layout holds what the data holds, and nothing is lost on the way."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import read_rgb, write_png
from edgeseg.errors import SourceError, UsageError
from edgeseg.runtime.data.write import PlainOptions, write_frames, write_plain


def make(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(10):
        write_png(root / "images" / f"{k}.png", rng.integers(0, 256, (8, 12, 3), np.uint8))
        write_png(
            root / "masks" / f"{k}.png",
            np.array([[7, 8, 26, 0]] * 2, np.uint8).repeat(4, 0).repeat(3, 1),
        )
    (root / "classes.txt").write_text("road = 7,8\ncar = 26\nvoid = 0\n")
    return root


def test_the_copy_reads_the_same_labels_in_the_same_splits(tmp_path: Path) -> None:
    root = make(tmp_path / "d")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    splits = {split: open_dataset(str(root), split) for split in ("train", "val")}
    assert write_plain(splits, tmp_path / "o", PlainOptions()) == {"train": 8, "val": 2}
    for split, dataset in splits.items():
        copy = open_dataset(str(tmp_path / "o"), split)
        assert copy.names == dataset.names
        assert copy.class_names == ("road", "car")
        for index in range(len(copy)):
            one, other = dataset[index], copy[index]
            assert np.array_equal(one.rgb, other.rgb)
            assert one.labels is not None
            assert other.labels is not None
            void = one.labels == dataset.ignore_index
            assert np.array_equal(void, other.labels == copy.ignore_index)
            assert np.array_equal(one.labels[~void], other.labels[~void])
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    with pytest.raises(UsageError, match=r"o is there already; give the name of a new folder"):
        write_plain(splits, tmp_path / "o", PlainOptions())


def test_size_every_and_val(tmp_path: Path) -> None:
    splits = {"train": open_dataset(str(make(tmp_path / "d")), "test")}
    options = PlainOptions((4, 6), 2, 0.4, "random")
    assert write_plain(splits, tmp_path / "o", options) == {"train": 3, "val": 2}
    sample = open_dataset(str(tmp_path / "o"), "val")[0]
    assert sample.rgb.shape == (4, 6, 3)
    assert sample.labels is not None
    assert sample.labels.shape == (4, 6)


def test_frames_of_a_video(tmp_path: Path) -> None:
    path = tmp_path / "clip 1.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for k in range(10):
        video.write(np.full((24, 32, 3), 20 * k, np.uint8))
    video.release()
    assert write_frames(path, tmp_path / "o", PlainOptions(every=4)) == 3
    names = sorted(file.name for file in (tmp_path / "o/images").iterdir())
    assert names == ["clip 1_000000.png", "clip 1_000004.png", "clip 1_000008.png"]
    assert abs(int(read_rgb(tmp_path / "o/images" / names[1]).mean()) - 80) < 4
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"no\.mp4 is no video OpenCV"):
        write_frames(tmp_path / "no.mp4", tmp_path / "p", PlainOptions())
    assert not (tmp_path / "p").exists()
