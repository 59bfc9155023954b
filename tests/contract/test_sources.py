"""What every source must do: one suite over the registry."""

import threading
import time

import numpy as np
import pytest
from tinybundle import random_frame, spec

from edgeseg.core.images.io import write_png
from edgeseg.errors import EdgesegError
from edgeseg.runtime.single_slot import Outcome
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.sources.open import SOURCES, open_source

N = 4
# What ends by itself needs no camera, server or GStreamer build.
ENDING = [name for name in SOURCES if SOURCES.load(name).ends]
CAMERAS = [name for name in SOURCES if name not in ENDING]


def example(scheme: str) -> str:
    found = SOURCES.load(scheme).example
    assert found, f"give the class of source {scheme!r} an example URI, as DriveSource has one"
    return found


@pytest.fixture
def uri_of(tmp_path):
    def make(scheme: str) -> str:
        if scheme not in ("folder", "video"):
            return example(scheme)
        if scheme == "folder":
            for i in range(N):
                write_png(tmp_path / "f" / f"{i}.png", random_frame(i))
            return f"folder://{tmp_path / 'f'}"
        import cv2

        path = tmp_path / "v.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
        for i in range(N):
            writer.write(np.full((48, 64, 3), (40 * i, 0, 200), np.uint8))
        writer.release()
        return f"video://{path}"

    return make


@pytest.mark.parametrize("scheme", ENDING)
@pytest.mark.parametrize("pace", [None, 200.0])
def test_frames_come_in_order_and_then_the_end_for_good(uri_of, scheme, pace):
    threads = threading.active_count()
    with open_source(uri_of(scheme), spec(), pace_fps=pace) as source:
        assert source.live == (pace is not None)
        indices, dropped = [], 0
        while (found := source.read(1.0)) is not Outcome.END:
            assert isinstance(found, Frame)
            assert found.rgb.shape == (48, 64, 3)
            assert found.rgb.dtype == np.uint8
            indices.append(found.index)
            dropped += found.dropped_before
        assert indices == sorted(set(indices))
        assert indices[-1] == N - 1
        assert len(indices) + dropped == N
        assert dropped == source.dropped
        if pace is None:
            assert indices == list(range(N))
        assert source.read(0.01) is Outcome.END
    assert threading.active_count() == threads


@pytest.mark.parametrize("scheme", ENDING)
def test_frames_do_not_share_memory(uri_of, scheme):
    with open_source(uri_of(scheme), spec()) as source:
        first, second = source.read(1.0), source.read(1.0)
    assert not np.shares_memory(first.rgb, second.rgb)
    assert not np.array_equal(first.rgb, second.rgb)


@pytest.mark.parametrize("scheme", ENDING)
# So slow a pace that waiting for the next frame would show on any machine.
@pytest.mark.parametrize("pace", [None, 1 / 60])
def test_closing_early_is_quick_and_leaves_no_thread(uri_of, scheme, pace):
    threads = threading.active_count()
    source = open_source(uri_of(scheme), spec(), pace_fps=pace)
    source.read(1.0)
    start = time.perf_counter()
    source.close()
    source.close()
    assert time.perf_counter() - start < 30
    assert threading.active_count() == threads
    assert source.read(0.01) is Outcome.END


def test_video_colours_are_rgb(uri_of):
    with open_source(uri_of("video"), spec()) as source:
        assert source.fps == 25.0
        red, green, blue = source.read(1.0).rgb.reshape(-1, 3).mean(axis=0)
    assert red > 180
    assert green < 30
    assert blue < 30


UNPLUGGED = {
    "v4l2": "v4l2:///dev/video-none",
    "csi": "csi://0",
    "gst": "gst://videotestsrc-none ! appsink",
    "rtsp": "rtsp://user:secret@127.0.0.1:1/x",
    "rtsps": "rtsps://user:secret@127.0.0.1:1/x",
    "http": "http://user:secret@127.0.0.1:1/x",
    "https": "https://user:secret@127.0.0.1:1/x",
}


def unplugged(scheme: str) -> str:
    return UNPLUGGED.get(scheme) or example(scheme)


@pytest.mark.parametrize("scheme", CAMERAS)
def test_a_camera_that_is_not_there_is_a_one_line_error(scheme):
    threads = threading.active_count()
    with pytest.raises(EdgesegError) as caught:
        open_source(unplugged(scheme), spec())
    message = str(caught.value)
    assert "\n" not in message
    assert "secret" not in message
    assert ";" in message
    assert threading.active_count() == threads


@pytest.mark.parametrize("scheme", CAMERAS)
def test_a_live_camera_is_not_paced_twice(scheme):
    with pytest.raises(EdgesegError):
        open_source(unplugged(scheme), spec(), pace_fps=10.0)
