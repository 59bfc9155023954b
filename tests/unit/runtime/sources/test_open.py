import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import pytest
from entry_points import install
from tinybundle import PALETTE, expected_labels, random_frame, spec

from edgeseg.core.images.io import write_png
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError, SourceError, UsageError
from edgeseg.runtime.single_slot import Outcome
from edgeseg.runtime.sources.base import Source
from edgeseg.runtime.sources.open import SOURCES, open_source, parse, source_path

CAMVID = ModelSpec("segnet-basic")


def read_all(source: Source):
    frames = []
    while (found := source.read(0.5)) is not Outcome.END:
        if found is not Outcome.TIMEOUT:
            frames.append(found)
    return frames


@pytest.fixture
def folder(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    for i in (2, 0, 1):
        rgb = random_frame(i, (40, 56))
        write_png(images / f"f{i}.png", rgb)
        write_png(masks / f"f{i}.png", expected_labels(rgb))
    return images, masks


def test_a_folder_gives_every_image_by_name(folder):
    with open_source(str(folder[0]), spec()) as source:
        assert (source.live, source.labelled, source.length) == (False, False, 3)
        frames = read_all(source)
    assert [f.name for f in frames] == ["f0.png", "f1.png", "f2.png"]
    assert [f.index for f in frames] == [0, 1, 2]
    for i, frame in enumerate(frames):
        assert np.array_equal(frame.rgb, random_frame(i, (40, 56)))
        assert frame.truth is None
        assert frame.capture_took_ns > 0


def test_a_glob_and_a_single_image(folder):
    with open_source(f"{folder[0]}/f[12].png", spec()) as source:
        assert [f.name for f in read_all(source)] == ["f1.png", "f2.png"]
    with open_source(str(folder[0] / "f2.png"), spec()) as source:
        assert [f.name for f in read_all(source)] == ["f2.png"]


def test_masks_are_matched_by_name(folder):
    images, masks = folder
    with open_source(str(images), spec(), labels=masks) as source:
        assert source.labelled
        for frame in read_all(source):
            assert np.array_equal(frame.truth, expected_labels(frame.rgb))


def test_a_colour_mask_is_read_with_the_models_colours_and_black_is_void(tmp_path):
    truth = np.zeros((48, 64), np.uint8)
    truth[:, 30:] = 2
    colours = np.array(PALETTE, np.uint8)[truth]
    colours[:5] = 0
    write_png(tmp_path / "i" / "a.png", random_frame())
    write_png(tmp_path / "m" / "a.png", colours)
    with open_source(str(tmp_path / "i"), spec(), labels=tmp_path / "m") as source:
        found = source.read(1.0).truth
    assert (found[:5] == 255).all()
    assert np.array_equal(found[5:], truth[5:])


def test_a_mask_of_another_size_or_with_unknown_labels_is_named(folder):
    images, masks = folder
    write_png(masks / "f0.png", np.zeros((41, 56), np.uint8))
    write_png(masks / "f1.png", np.full((40, 56), 7, np.uint8))
    # All at once, before the first frame runs.
    with pytest.raises(DataError, match=r"f0\.png.*41x56.*40x56.*f1\.png: unknown labels 7"):
        open_source(str(images), spec(), labels=masks)
    write_png(masks / "f0.png", np.zeros((40, 56), np.uint8))
    write_png(masks / "f1.png", np.full((40, 56), 1, np.uint8))
    with open_source(str(images), spec(), labels=masks) as source:
        assert source.notes[0].startswith("3 classes: ")


def test_a_hidden_file_is_no_image(folder):
    (folder[0] / "._f0.png").write_text("what macOS leaves on a stick")
    with open_source(str(folder[0]), spec()) as source:
        assert [frame.name for frame in read_all(source)] == ["f0.png", "f1.png", "f2.png"]


def test_the_drive_has_labels_only_for_a_network_of_its_classes():
    uri = "synthetic://?frames=1&size=64x96"
    with open_source(uri, CAMVID) as source:
        truth = next(iter(read_all(source))).truth
    with open_source(uri, dataclasses.replace(CAMVID, ignore_index=255)) as source:
        assert source.labelled
        other = next(iter(read_all(source))).truth
    assert np.array_equal(np.where(truth == 11, 255, truth), other)
    things = tuple(f"thing{n}" for n in range(11))
    with open_source(uri, dataclasses.replace(CAMVID, class_names=things)) as source:
        assert not source.labelled
        assert next(iter(read_all(source))).truth is None


def test_an_image_without_a_mask_is_named_before_anything_runs(folder):
    images, masks = folder
    (masks / "f1.png").unlink()
    with pytest.raises(DataError, match=r"f1\.png: no mask of that name in .*masks"):
        open_source(str(images), spec(), labels=masks)


def test_two_images_of_one_name_are_not_scored_against_one_mask(folder):
    images, masks = folder
    write_png(images.parent / "more" / "f1.png", random_frame(9, (40, 56)))
    with pytest.raises(DataError, match=r"images/f1\.png and .*more/f1\.png have one name"):
        open_source(f"{images.parent}/[im]*e*/f*.png", spec(), labels=masks)


def test_a_file_that_is_no_image_is_named(folder):
    (folder[0] / "f1.png").write_text("no image")
    with open_source(str(folder[0]), spec()) as source:
        source.read(1.0)
        with pytest.raises(DataError, match=r"f1\.png.*not an image"):
            source.read(1.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing-here", "does not exist"),
        ("nothing-here.png", "does not exist"),
        ("nothing-here.mp4", "does not exist"),
        ("", "holds no image"),
        ("*.png", "holds no image"),
    ],
)
def test_what_is_not_there_is_said_so(tmp_path, name, message):
    with pytest.raises(SourceError, match=message):
        open_source(f"{tmp_path}/{name}", spec())


def test_a_text_file_is_no_video(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(SourceError, match="no video OpenCV"):
        open_source(str(tmp_path / "a.mp4"), spec())


def test_synthetic_is_labelled_and_its_query_is_used():
    with open_source("synthetic://?frames=3&seed=4&size=64x96", CAMVID) as source:
        frames = read_all(source)
    assert [f.rgb.shape for f in frames] == [(64, 96, 3)] * 3
    assert all(f.truth.shape == (64, 96) for f in frames)
    with open_source("synthetic://?frames=1&seed=5&size=64x96", spec()) as other:
        assert not np.array_equal(other.read(1.0).rgb, frames[0].rgb)
    with open_source("synthetic://?frames=1", spec((48, 80))) as fitted:
        assert fitted.read(1.0).rgb.shape == (48, 80, 3)


def test_synthetic_with_fps_is_live():
    with open_source("synthetic://?frames=4&fps=50&size=48x64", CAMVID) as source:
        assert source.live
        assert source.labelled
        assert source.fps == 50


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("synthetic://?frame=3", "did you mean 'frames'"),
        ("synthetic://?seed=x", "seed is 'x', expected a number"),
        ("synthetic://?frames=inf", "frames is 'inf', expected a number"),
        ("synthetic://?frames=nan", "frames is 'nan', expected a number"),
        ("synthetic://?fps=nan", "fps is 'nan', expected a number"),
        ("csi://0?fps=1e999", "fps is '1e999', expected a number"),
        ("synthetic://?size=64", "expected HEIGHTxWIDTH"),
        ("synthetic://?weather=rainy", "did you mean 'rain'"),
        ("syntetic://", "did you mean 'synthetic'"),
        ("qq://example", "known: synthetic, folder"),
        ("synthetic://?frames=0", "frames is 0, expected 1 or more"),
        ("synthetic://?fps=0", "fps is 0, expected more than 0"),
        ("synthetic://?fps=-3", "fps is -3, expected more than 0"),
    ],
)
def test_a_wrong_uri_is_answered(uri, message):
    with pytest.raises(UsageError, match=message):
        open_source(uri, spec())


def test_labels_need_a_folder_and_a_pace_is_positive(tmp_path, folder):
    with pytest.raises(UsageError, match="only an image folder"):
        open_source("synthetic://", spec(), labels=tmp_path)
    with pytest.raises(UsageError, match=r"pace is 0\.0"):
        open_source(str(folder[0]), spec(), pace_fps=0.0)
    with pytest.raises(UsageError, match="pace is nan"):
        open_source(str(folder[0]), spec(), pace_fps=math.nan)


def test_a_paced_folder_arrives_on_time_and_the_newest_wins(folder):
    ticks = []
    before = time.perf_counter_ns()
    with open_source(str(folder[0]), spec(), pace_fps=50.0) as source:
        source.watch(lambda frame: ticks.append(frame.captured_ns))
        first = source.read(1.0)
        # Nobody reads for the next two arrivals: the older of them is overwritten.
        while len(ticks) < 3:
            time.sleep(0.005)
        last = source.read(1.0)
        while last.index < 2:
            last = source.read(1.0)
        assert source.read(1.0) is Outcome.END
        dropped = source.dropped
    assert first.index == 0
    assert dropped + 1 + (1 if last.dropped_before == 1 else 2) == 3
    # A busy machine may make an arrival late; nothing may make it early.
    assert all(tick - before >= i * 20e6 for i, tick in enumerate(ticks))


@pytest.mark.parametrize(
    ("uri", "scheme", "rest", "query"),
    [
        ("synthetic://?frames=4&seed=", "synthetic", "", {"frames": "4", "seed": ""}),
        ("V4L2:///dev/video0?size=480x640", "v4l2", "/dev/video0", {"size": "480x640"}),
        # A server's query is the server's, and a pipeline's question mark the pipeline's.
        ("rtsp://cam/1?channel=2", "rtsp", "cam/1?channel=2", {}),
        ("gst://filesrc location=what? ! appsink", "gst", "filesrc location=what? ! appsink", {}),
        ("drive/*.png", "folder", "drive/*.png", {}),
        ("one.PNG", "folder", "one.PNG", {}),
        ("clip.mp4", "video", "clip.mp4", {}),
    ],
)
def test_a_uri_is_taken_apart(uri, scheme, rest, query):
    assert parse(uri) == (scheme, rest, query)


def test_only_what_reads_files_has_a_path(tmp_path):
    assert source_path(str(tmp_path)) == tmp_path
    assert source_path("clip.mp4") == Path("clip.mp4")
    assert source_path("rtsp://cam/1") is None
    assert source_path("synthetic://") is None


COUNTED = """
import numpy as np
from edgeseg.runtime.single_slot import Outcome
from edgeseg.runtime.sources.base import Frame, Source

class Counted(Source):
    ends = True

    def __init__(self, request):
        self.uri = request.uri
        self._left = int(request.number("frames", 2.0))
        self._index = -1

    def read(self, timeout_s):
        self._left, self._index = self._left - 1, self._index + 1
        if self._left < 0:
            return Outcome.END
        return Frame(np.full((48, 64, 3), self._index, np.uint8), self._index, 0)

    def close(self):
        self._left = 0
"""


def test_an_installed_package_adds_a_source(tmp_path, monkeypatch):
    (tmp_path / "users_source.py").write_text(COUNTED)
    install(monkeypatch, tmp_path, SOURCES, "counted", "users_source:Counted")
    assert list(SOURCES)[-1] == "counted"
    assert source_path("counted://x") is None
    with open_source("counted://?frames=3", spec()) as source:
        frames = [source.read(0.1).rgb[0, 0, 0] for _ in range(3)]
        assert frames == [0, 1, 2]
        assert source.read(0.1) is Outcome.END
    with open_source("counted://?frames=2", spec(), repeat=True) as source:
        assert [source.read(0.1).index for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UsageError, match="only an image folder takes"):
        open_source("counted://", spec(), labels=tmp_path)
    with pytest.raises(UsageError, match="did you mean 'counted'"):
        open_source("countd://", spec())
