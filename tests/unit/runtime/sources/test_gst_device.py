"""Pipelines through GStreamer itself, with its own test picture as the camera."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from gstreamer import SYSTEM_PACKAGES, use_bindings
from tinybundle import spec

from edgeseg.errors import BackendUnavailable, SourceError, UsageError
from edgeseg.runtime.sources.base import Frame, State
from edgeseg.runtime.sources.open import open_source

# 33 pixels make rows that are padded.
SOLID = "videotestsrc is-live=true pattern=solid-color foreground-color=0xff2080f0 ! "
SOLID += "video/x-raw,width=33,height=10,framerate=30/1"


@pytest.fixture(autouse=True)
def bindings(monkeypatch):
    use_bindings(monkeypatch, "videotestsrc", "videoconvert", "appsink")
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def first(pipeline: str) -> tuple[Frame, float | None]:
    with open_source(f"gst://{pipeline}", spec()) as source:
        end = time.monotonic() + 10
        while not isinstance(found := source.read(0.2), Frame):
            assert time.monotonic() < end, source.events
        return found, source.fps


@pytest.mark.parametrize("form", ["RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA", None])
def test_every_format_comes_as_rgb_without_its_padding(form):
    wanted = f"video/x-raw,format={form} ! " if form else ""
    frame, fps = first(f"{SOLID} ! videoconvert ! {wanted}appsink")
    assert frame.rgb.shape == (10, 33, 3)
    assert np.abs(frame.rgb.astype(int) - (0x20, 0x80, 0xF0)).max() <= 6
    assert fps == 30


def test_only_the_newest_picture_waits_though_the_pipeline_would_keep_all():
    with open_source(f"gst://{SOLID} ! videoconvert ! appsink max-buffers=100", spec()) as source:
        assert source.state in (State.CONNECTING, State.LIVE)
        start = time.perf_counter_ns()
        time.sleep(1.0)
        found = source.read(1.0)
        assert isinstance(found, Frame)
        # It came in the second half of the wait.
        assert found.captured_ns > (start + time.perf_counter_ns()) / 2
        assert source.dropped > 5


@pytest.mark.parametrize(
    ("pipeline", "error", "message"),
    [
        ("nosuch ! appsink", BackendUnavailable, 'no element "nosuch"; install'),
        (f"{SOLID} ! fakesink", UsageError, "must end in appsink"),
        ("videotestsrc ! ! appsink", UsageError, "try it with gst-launch"),
        ("filesrc location=/nowhere ! appsink", SourceError, "gst://filesrc"),
    ],
)
def test_a_pipeline_that_cannot_run_is_answered(pipeline, error, message):
    with pytest.raises(error, match=message):
        open_source(f"gst://{pipeline}", spec())


def test_an_unknown_format_names_its_cure():
    planes = "videoconvert ! video/x-raw,format=I420 ! appsink caps=video/x-raw,format=I420"
    with open_source(f"gst://{SOLID} ! {planes}", spec()) as source:
        end = time.monotonic() + 10
        while not source.events and time.monotonic() < end:
            source.read(0.1)
        assert "gives I420; put videoconvert" in source.events[0].reason


def test_a_pipeline_that_ends_is_begun_again():
    uri = f"gst://{SOLID.replace('pattern', 'num-buffers=5 pattern')} ! videoconvert ! appsink"
    with open_source(uri, spec()) as source:
        end = time.monotonic() + 15
        while source.reconnects < 1 and time.monotonic() < end:
            source.read(0.1)
        assert source.reconnects == 1
        assert any("ended the stream" in event.reason for event in source.events)


# matplotlib's ft2font throws for every name it does not have.
THROWS = f"""
import sys
sys.path.append({SYSTEM_PACKAGES!r})
from edgeseg.runtime.sources.gst_device import load_gstreamer
load_gstreamer()
from matplotlib import ft2font
assert not hasattr(ft2font, "absent")
"""


def test_exceptions_of_libraries_loaded_after_it_are_caught():
    done = subprocess.run([sys.executable, "-c", THROWS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
