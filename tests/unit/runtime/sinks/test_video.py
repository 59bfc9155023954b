"""Videos: every frame in its place, whole after a fault, never over an earlier one."""

import dataclasses
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from tinybundle import PALETTE, expected_labels, random_frame, spec

from edgeseg.core.images.paint import overlay
from edgeseg.errors import SinkError
from edgeseg.runtime.sinks import encoders, readback, video
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.open import open_sink
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.sources.open import open_source


def prediction(index: int = 0, size_hw: tuple[int, int] = (48, 64)) -> Prediction:
    rgb = random_frame(index, size_hw)
    return Prediction(Frame(rgb, index, 0), expected_labels(rgb), 0, 0, 0)


@pytest.fixture
def without_av(monkeypatch):
    """OpenCV's own FFmpeg, as where PyAV is not installed."""
    for module in (encoders, readback):
        monkeypatch.setattr(module, "is_installed", lambda name: False)


def need_av():
    return pytest.importorskip("av", reason="PyAV is not installed; pip install 'edgeseg[rtsp]'")


def test_a_videos_name_may_hold_a_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_sink("2026-05-01T12:30.mp4", spec()) as sink:
        sink.write(prediction())
    with open_source("2026-05-01T12:30.mp4", spec()) as source:
        assert source.length == 1


def test_a_video_holds_every_annotated_frame_in_rgb_order(tmp_path):
    path = tmp_path / "out.avi"
    flat = np.zeros((48, 64, 3), np.uint8)
    flat[:, :32] = (200, 40, 40)
    flat[:, 32:] = (40, 40, 200)
    labels = expected_labels(flat)
    with open_sink(str(path), spec(), fps=12.0) as sink:
        for i in range(3):
            sink.write(Prediction(Frame(flat, i, 0), labels, 0, 0, 0))
    assert [p.name for p in tmp_path.iterdir()] == ["out.avi"]
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 12.0
    frames = []
    while (got := capture.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
    capture.release()
    assert len(frames) == 3
    error = np.abs(frames[1].astype(int) - overlay(flat, labels, PALETTE, 0.5)).mean()
    assert error < 6


def frames_in(path) -> int:
    capture = cv2.VideoCapture(str(path))
    found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return found


def after_drops(index: int, dropped: int) -> Prediction:
    found = prediction(index)
    return dataclasses.replace(
        found, frame=dataclasses.replace(found.frame, dropped_before=dropped)
    )


def test_a_video_of_a_camera_lasts_as_long_as_the_scene(tmp_path):
    path = tmp_path / "out.avi"
    with open_sink(str(path), spec(), fps=10.0) as sink:
        for index, dropped in ((2, 2), (3, 0), (29, 25)):
            sink.write(after_drops(index, dropped))
    assert frames_in(path) == 30


def test_one_frame_stands_for_ten_seconds_of_a_video_at_most(tmp_path):
    path = tmp_path / "out.avi"
    with open_sink(str(path), spec(), fps=10.0) as sink:
        sink.write(after_drops(5000, 5000))
    assert frames_in(path) == 101


def test_a_slow_encoder_is_not_held_up_by_repeats(tmp_path):
    sink = open_sink(str(tmp_path / "out.avi"), spec(), fps=10.0)
    sink.write(prediction())
    encoder = sink._encoder
    written = []

    class Slow:
        """An encoder that takes as long as the camera's period."""

        def write(self, rgb: np.ndarray) -> None:
            time.sleep(0.1)
            written.append(rgb)

    sink._encoder = Slow()
    sink.write(after_drops(11, 10))
    sink._encoder = encoder
    sink._wrote = 1
    sink.close()
    # Half of a second for the ten, and the frame itself.
    assert 2 <= len(written) <= 6


def test_repeats_too_end_while_there_is_room_to_finish(tmp_path, monkeypatch):
    path, room = tmp_path / "out.avi", [1 << 30] * 3
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        video.shutil, "disk_usage", lambda at: usage._replace(free=room.pop() if room else 0)
    )
    sink = open_sink(str(path), spec(), fps=10.0)
    with pytest.raises(SinkError, match="disk is nearly full"):
        sink.write(after_drops(9, 9))
    sink.close()
    assert frames_in(path) == 2


def test_a_video_that_gets_no_frame_leaves_no_file(tmp_path):
    open_sink(str(tmp_path / "out.mp4"), spec()).close()
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_vanished_is_said_so(tmp_path):
    sink = open_sink(str(tmp_path / "o.avi"), spec())
    sink.write(prediction())
    next(tmp_path.iterdir()).unlink()
    with pytest.raises(SinkError, match="was not written"):
        sink.close()
    sink.close()


def test_a_video_ends_whole_while_there_is_room_to_finish_it(tmp_path, monkeypatch):
    path, free = tmp_path / "o.mp4", [1 << 30]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(video.shutil, "disk_usage", lambda at: usage._replace(free=free[0]))
    with open_sink(str(path), spec()) as sink:
        for i in range(3):
            sink.write(prediction(i))
        free[0] = 1 << 20
        with pytest.raises(SinkError, match="disk is nearly full"):
            sink.write(prediction(3))
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    capture.release()


def test_a_video_whose_disk_hangs_is_left_as_it_is(tmp_path):
    sink = open_sink(str(tmp_path / "o.avi"), spec())
    sink.write(prediction())
    encoder, freed, begun = sink._encoder, threading.Event(), threading.Event()

    class Hung:
        """An encoder whose disk does not answer."""

        def write(self, rgb: np.ndarray) -> None:
            begun.set()
            freed.wait(10)

        def finish(self) -> None:
            raise AssertionError("finished while it writes")

    sink._encoder = Hung()
    thread = threading.Thread(target=sink.write, args=(prediction(1),))
    thread.start()
    assert begun.wait(5)
    try:
        with pytest.raises(SinkError, match=r"o\.avi was not finished, .* still being written"):
            sink.close()
    finally:
        freed.set()
        thread.join(5)
    sink._encoder = encoder
    sink._wrote = 1
    sink.close()
    assert frames_in(tmp_path / "o.avi") == 1


def test_a_video_that_cannot_be_played_is_said_so_and_removed(tmp_path):
    sink = open_sink(str(tmp_path / "o.mp4"), spec())
    sink.write(prediction())
    finish = sink._encoder.finish

    class Cut:
        """An encoder whose end of the file found no room."""

        def finish(self) -> None:
            finish()
            partial = next(tmp_path.iterdir())
            partial.write_bytes(partial.read_bytes()[:48])

    sink._encoder = Cut()
    with pytest.raises(SinkError, match="was not written: it cannot be played"):
        sink.close()
    assert not (tmp_path / "o.mp4").exists()


def test_a_video_refuses_a_change_of_size(tmp_path):
    with open_sink(str(tmp_path / "o.avi"), spec()) as sink:
        sink.write(prediction())
        with pytest.raises(
            SinkError, match="it holds pictures of 48x64 and the source now gives 64x48"
        ):
            sink.write(prediction(size_hw=(64, 48)))


def at(media_s: float, grey: int, index: int = 0) -> Prediction:
    rgb = np.full((48, 64, 3), grey, np.uint8)
    frame = Frame(rgb, index, 0, media_s=media_s)
    return Prediction(frame, np.full((48, 64), 255, np.uint8), 0, 0, 0)


def greys(path) -> list[int]:
    capture, found = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        found.append(round(float(got[1].mean())))
    capture.release()
    return found


def test_a_picture_stands_until_the_next_ones_time_in_the_video(tmp_path):
    """A phone's video of 30 and then 10 frames a second, on a file of 30."""
    path = tmp_path / "out.avi"
    times = [0.0, 1 / 30, 2 / 30, 5 / 30, 8 / 30, 9 / 30]
    with open_sink(str(path), spec(), fps=30.0) as sink:
        for index, media_s in enumerate(times):
            sink.write(at(media_s, 40 * index, index))
    found = [round(grey / 40) for grey in greys(path)]
    assert found == [0, 1, 2, 2, 2, 3, 3, 3, 4, 5]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_h264_of_any_size_where_pyav_is(tmp_path, ending):
    av = need_av()
    path = tmp_path / f"o.{ending}"
    told = []
    with open_sink(str(path), spec(), tell=told.append) as sink:
        for index in range(3):
            sink.write(prediction(index, (47, 63)))
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.height, stream.width) == (48, 64)
        assert sum(1 for _ in container.decode(stream)) == 3
    assert told == []


def test_without_pyav_the_video_is_written_and_what_it_is_said(tmp_path, without_av):
    path = tmp_path / "o.mp4"
    told = []
    with open_sink(str(path), spec(), tell=told.append) as sink:
        for index in range(3):
            sink.write(prediction(index))
    assert frames_in(path) == 3
    assert "browsers do not play" in told[0]
    assert "pip install 'edgeseg[rtsp]'" in told[0]


def test_a_second_run_leaves_the_first_ones_video_alone(tmp_path):
    path = tmp_path / "o.mp4"
    told = []
    for index in range(3):
        with open_sink(str(path), spec(), tell=told.append) as sink:
            for each in range(index + 1):
                sink.write(prediction(each))
    assert [frames_in(tmp_path / name) for name in ("o.mp4", "o-2.mp4", "o-3.mp4")] == [1, 2, 3]
    assert any("o.mp4 is there from another run" in line for line in told)
    with open_sink(str(path), spec(), replace=True) as sink:
        for each in range(4):
            sink.write(prediction(each))
    assert frames_in(path) == 4
    assert len(list(tmp_path.iterdir())) == 3


def test_two_at_once_never_share_a_file(tmp_path):
    path = str(tmp_path / "o.mkv")
    with open_sink(path, spec()) as one, open_sink(path, spec(), replace=True) as two:
        one.write(prediction(0))
        two.write(prediction(0))
        one.write(prediction(1))
    assert sorted(frames_in(each) > 0 for each in tmp_path.iterdir()) == [True, True]


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from tinybundle import expected_labels, random_frame, spec
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.open import open_sink
from edgeseg.runtime.sources.base import Frame
sinks = [open_sink({path!r} + ending, spec(), fps=10.0) for ending in (".mp4", ".mkv")]
for index in range(35):
    rgb = random_frame(index)
    for sink in sinks:
        sink.write(Prediction(Frame(rgb, index, 0), expected_labels(rgb), 0, 0, 0))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_a_video_that_plays(tmp_path):
    need_av()
    program = KILLED.format(tests=str(Path(__file__).parents[3]), path=str(tmp_path / "o"))
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    for path in (tmp_path / "o.mp4", tmp_path / "o.mkv"):
        # What came in the last second may be lost.
        assert 24 <= len(greys(path)) <= 35
        with open_sink(str(path), spec()) as sink:
            sink.write(prediction())
        assert len(greys(path.with_stem("o-2"))) == 1


@pytest.mark.parametrize("ending", ["mp4", "avi"])
def test_a_limit_on_the_size_of_files_is_named_and_what_is_there_counted(tmp_path, ending):
    need_av()
    sink = open_sink(str(tmp_path / f"o.{ending}"), spec(), fps=10.0)

    def fill():
        for index in range(200):
            frame = Frame(np.roll(noise, index, 0), index, 0)
            sink.write(Prediction(frame, noise[..., 0] % 3, 0, 0, 0))

    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, limits[1]))
    try:
        with pytest.raises(SinkError, match=r"largest size that is allowed here"):
            fill()
        left = sink.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 0 < left.held <= left.wrote < 200
    assert "largest size" in left.problem
    sink.close()


def test_frames_that_opencv_lost_without_a_word_are_missed_at_the_end(tmp_path, without_av):
    sink = open_sink(str(tmp_path / "o.avi"), spec())
    for index in range(2):
        sink.write(prediction(index))
    sink._wrote = 3
    left = sink.finish()
    assert (left.wrote, left.held) == (3, 2)
    assert "lost its end" in left.problem


def test_a_cut_video_is_counted_up_to_the_cut(tmp_path):
    av = need_av()
    path = tmp_path / "o.mkv"
    with open_sink(str(path), spec(), fps=5.0) as sink:
        for index in range(20):
            sink.write(prediction(index))
    whole = path.read_bytes()
    assert readback.frames_in(path) == 20
    path.write_bytes(whole[: len(whole) // 2])
    assert 0 < readback.frames_in(path) < 20
    path.write_bytes(b"no video")
    assert readback.frames_in(path) == 0
    assert av
