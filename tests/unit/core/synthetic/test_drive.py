"""The synthetic drive: the same frame for the same seed, exact masks, all classes, any size."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.core.synthetic.street import CHUNK_M, Street
from edgeseg.errors import UsageError

SIZE = (72, 96)


@pytest.fixture(scope="module")
def drive() -> SyntheticDrive:
    return SyntheticDrive(SIZE, seed=0, n=1000)


def test_a_frame_depends_on_seed_and_number_alone(drive: SyntheticDrive) -> None:
    again = SyntheticDrive(SIZE, seed=0, n=1000)
    for i in (700, 3):
        for ours, theirs in zip(drive.frame(i), again.frame(i), strict=True):
            assert (ours == theirs).all()
    drive.frame(999)
    assert (drive.frame(3)[0] == again.frame(3)[0]).all()


def test_threads_get_the_same_frames(drive: SyntheticDrive) -> None:
    numbers = [5, 300, 6, 301]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(drive.frame, numbers))
    for i, (rgb, labels) in zip(numbers, together, strict=True):
        alone = drive.frame(i)
        assert (rgb == alone[0]).all()
        assert (labels == alone[1]).all()


def test_other_seeds_and_frames_differ(drive: SyntheticDrive) -> None:
    other = SyntheticDrive(SIZE, seed=1)
    assert (drive.frame(10)[1] != other.frame(10)[1]).mean() > 0.05
    assert (drive.frame(10)[1] != drive.frame(60)[1]).mean() > 0.05


def test_frames_are_new_arrays_of_the_right_kind(drive: SyntheticDrive) -> None:
    rgb, labels = drive.frame(0)
    assert rgb.shape == (*SIZE, 3)
    assert labels.shape == SIZE
    assert rgb.dtype == labels.dtype == np.uint8
    rgb[:], labels[:] = 0, 0
    assert drive.frame(0)[0].any()
    assert drive.frame(0)[1].any()


@pytest.mark.parametrize("seed", [0, 3])
def test_every_class_is_often_there(seed: int) -> None:
    drive = SyntheticDrive(SIZE, seed, 1000)
    seen = np.zeros(256, int)
    for i in range(0, 1000, 100):
        seen[np.unique(drive.frame(i)[1])] += 1
    assert (seen[11:] == 0).all()
    assert (seen[:11] >= 4).all(), seen[:11]


@pytest.mark.parametrize("size_hw", [(32, 32), (33, 81), (101, 47), (64, 300)])
def test_any_size(size_hw: tuple[int, int]) -> None:
    drive = SyntheticDrive(size_hw, seed=2, n=31)
    rgb, labels = drive.frame(30)
    assert rgb.shape == (*size_hw, 3)
    assert labels.max() <= 10
    assert len(np.unique(labels)) >= 4


def test_neighbouring_frames_show_the_same_street(drive: SyntheticDrive) -> None:
    kept = [(drive.frame(i)[1] == drive.frame(i + 1)[1]).mean() for i in (0, 50, 333, 640)]
    assert min(kept) > 0.85
    assert min(kept) < 1.0


@pytest.mark.parametrize("kind", ["building", "fence", "car", "sprite", "post"])
def test_colour_is_painted_exactly_where_the_label_is(drive: SyntheticDrive, kind: str) -> None:
    painted = 0
    for time in (0.0, 20.0):
        view = drive._camera.at(time)
        items = drive._street.items(view.z - 10, view.z, time)
        for item in (item for item in items if item.kind == kind):
            # where two unlike backgrounds end up alike, something was painted
            canvases = [np.full((*SIZE, 4), fill, np.uint8) for fill in (254, 255)]
            for canvas in canvases:
                drive._painter.paint(canvas, view, [item])
            alike = [(canvases[0][..., c] == canvases[1][..., c]) for c in range(4)]
            labels = canvases[0][..., 3][alike[3]]
            assert (alike[0] & alike[1] & alike[2] == alike[3]).all()
            assert len(np.unique(labels)) <= 1
            painted += labels.size
    assert painted > 50


def test_the_street_is_built_from_its_chunks_alone() -> None:
    ahead, back = Street(5), Street(5)
    far = [item for item in ahead.items(400.0, 400.0, 0.0) if item.kind == "building"]
    back.items(0.0, 0.0, 0.0)
    assert [i for i in back.items(400.0, 400.0, 0.0) if i.kind == "building"] == far
    assert far
    assert min(item.z for item in far) >= 400.0 // CHUNK_M * CHUNK_M


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="16x96 is too small"):
        SyntheticDrive((16, 96))
    with pytest.raises(UsageError, match="seed -1"):
        SyntheticDrive(SIZE, seed=-1)
    drive = SyntheticDrive(SIZE, n=2)
    assert len(drive) == 2
    for i in (2, -1):
        with pytest.raises(IndexError, match="of a drive of 2 frames"):
            drive.frame(i)
