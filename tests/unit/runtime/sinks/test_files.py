"""Folders of masks and overlays, and one picture."""

import cv2
import numpy as np
import pytest
from tinybundle import PALETTE, expected_labels, random_frame, spec

from edgeseg.core.data.masks import read_labels
from edgeseg.core.images.io import comment_of, write_png
from edgeseg.core.images.paint import overlay
from edgeseg.errors import SinkError, UsageError
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.open import open_sink
from edgeseg.runtime.sources.base import Frame


def prediction(index: int = 0, name: str = "") -> Prediction:
    rgb = random_frame(index)
    return Prediction(Frame(rgb, index, 0, name=name), expected_labels(rgb), 0, 0, 0)


@pytest.mark.parametrize(("name", "ending"), [("masks", "png"), ("overlays", "jpg")])
def test_a_folder_of_an_earlier_run_stays_and_anybody_elses_is_refused(tmp_path, name, ending):
    told = []
    for seed in (0, 1):
        with open_sink(f"{tmp_path}/{name}/", spec(), tell=told.append) as sink:
            sink.write(prediction(seed, name="a.png"))
    folders = [tmp_path / name, tmp_path / f"{name}-2"]
    assert [[path.name for path in each.iterdir()] for each in folders] == [[f"a.{ending}"]] * 2
    assert f"this run goes to {folders[1]}" in told[0]
    if name == "masks":
        found = [read_labels(each / "a.png") for each in folders]
        assert np.array_equal(found[0], expected_labels(random_frame(0)))
        assert np.array_equal(found[1], expected_labels(random_frame(1)))
    with open_sink(f"{tmp_path}/{name}/", spec(), replace=True) as sink:
        sink.write(prediction(2, name="a.png"))
    assert not (tmp_path / f"{name}-3").exists()
    write_png(folders[0] / "b.png", expected_labels(random_frame(2)))
    with pytest.raises(UsageError, match=r"holds b\.png, which is no file that edgeseg"):
        open_sink(f"{tmp_path}/{name}/", spec())


def test_masks_show_the_classes_colours_and_hold_their_labels(tmp_path):
    with open_sink(f"{tmp_path}/m/", spec()) as sink:
        sink.write(prediction(3))
    path = tmp_path / "m/000003.png"
    labels = expected_labels(random_frame(3))
    assert np.array_equal(read_labels(path), labels)
    shown = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(shown, np.array(PALETTE, np.uint8)[labels])
    assert comment_of(path) == "edgeseg stream"


def test_files_that_vanish_are_missed_at_the_end(tmp_path):
    sink = open_sink(f"{tmp_path}/m/", spec())
    for index in range(3):
        sink.write(prediction(index))
    (tmp_path / "m/000001.png").unlink()
    left = sink.finish()
    assert (left.wrote, left.held) == (3, 2)
    assert "holds 2 of the 3" in left.problem
    sink.close()


def test_one_picture_of_one_picture(tmp_path):
    told = []
    for name in ("x.png", "x.jpg", "x.png"):
        with open_sink(f"{tmp_path}/{name}", spec(), tell=told.append) as sink:
            sink.write(prediction(1))
            more = prediction(2)
            with pytest.raises(SinkError, match=r"give overlays/ or a video"):
                sink.write(more)
    rgb = random_frame(1)
    expected = overlay(rgb, expected_labels(rgb), PALETTE, 0.5)
    for name in ("x.png", "x-2.png"):
        found = cv2.cvtColor(cv2.imread(str(tmp_path / name)), cv2.COLOR_BGR2RGB)
        assert np.array_equal(found, expected)
    assert (tmp_path / "x.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert len(told) == 1
