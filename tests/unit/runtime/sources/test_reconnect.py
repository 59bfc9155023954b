"""The states of a camera's connection, with a device made of a script."""

import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from edgeseg.cli import LEFT_BEHIND
from edgeseg.errors import SourceError
from edgeseg.runtime.single_slot import Outcome
from edgeseg.runtime.sources import live
from edgeseg.runtime.sources.base import Frame, State
from edgeseg.runtime.sources.device import Device, LiveLimits, Picture
from edgeseg.runtime.sources.reconnect import ReconnectingSource

pytestmark = pytest.mark.usefixtures("no_thread_left")

QUICK = LiveLimits(
    open_s=0.4, read_s=0.3, first_s=0.3, reopen_s=0.1, stale_s=0.1, behind_s=0.2, back_off_s=0.02,
    back_off_most_s=0.08,
)  # fmt: skip


class Scripted(Device):
    """Gives a frame each 10 ms for some frames, then does what it is told."""

    fps = 100.0

    def __init__(self, frames: int, then: str) -> None:
        self._left = frames
        self._then = then
        self.closed = False

    def grab(self):
        time.sleep(0.01)
        now = time.perf_counter_ns()
        if self._left > 0:
            self._left -= 1
            return Picture(np.zeros((4, 6, 3), np.uint8), now, 0, now)
        if self._then == "break":
            raise SourceError("rtsp://me:secret@cam broke")
        if self._then == "odd":
            raise ValueError("sps_id 32 out of range")
        if self._then == "behind":
            return Picture(np.zeros((4, 6, 3), np.uint8), now, 0, now - 1_000_000_000)
        return None

    def close(self) -> None:
        self.closed = True


class Camera:
    """Opens one scripted device after the other; an error stands for a refused connection."""

    def __init__(self, *script) -> None:
        self._script = list(script)
        self.limits: list[float] = []
        self.times: list[float] = []
        self.devices: list[Scripted] = []

    def connect(self, open_s: float) -> Device:
        self.limits.append(open_s)
        self.times.append(time.perf_counter())
        found = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(found, Exception):
            raise found
        device = Scripted(*found)
        self.devices.append(device)
        return device


def opened(camera: Camera) -> ReconnectingSource:
    return ReconnectingSource("cam://", camera.connect, QUICK, time.perf_counter_ns)


def read_for(source, seconds: float) -> list[Frame]:
    frames, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        if isinstance(found := source.read(0.02), Frame):
            frames.append(found)
    return frames


def read_until(source, ready: Callable[[list[Frame]], bool]) -> list[Frame]:
    """Read until the frames so far are enough; a busy machine may take its time."""
    frames, end = [], time.monotonic() + 30
    while not ready(frames):
        assert time.monotonic() < end, source.events
        if isinstance(found := source.read(0.02), Frame):
            frames.append(found)
    return frames


@pytest.mark.parametrize("how", ["break", "odd", "nothing", "behind"])
def test_every_way_to_fail_ends_in_a_new_connection(how):
    camera = Camera((5, how), (10_000, "break"))
    with opened(camera) as source:
        frames = read_until(source, lambda frames: frames and frames[-1].index > 40)
        assert source.reconnects == 1
        assert source.state is State.LIVE
        assert camera.devices[0].closed
        lost = [event.reason for event in source.events if event.state is State.LOST]
        assert len(lost) == 1
        assert "secret" not in lost[0]
        if how == "behind":
            assert source.refused > 3
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert camera.devices[1].closed


def test_pauses_grow_to_their_limit_and_the_time_to_open_too():
    refused = SourceError("refused; try later")
    camera = Camera((2, "break"), refused)
    with opened(camera) as source:
        assert len(read_until(source, lambda frames: len(camera.times) > 5)) == 2
        assert source.state in (State.LOST, State.CONNECTING)
        assert source.reconnects == 0
        # One line for the break, one for all the refusals.
        assert [e.reason for e in source.events if e.state is State.LOST][1:] == [str(refused)]
    gaps = np.diff(camera.times[1:])
    assert camera.limits[:5] == [0.4, 0.1, 0.2, 0.4, 0.4]
    assert gaps[0] >= 0.04
    assert all(gap >= 0.08 for gap in gaps[1:])


def test_the_first_opening_that_fails_is_an_error():
    with pytest.raises(SourceError, match="refused"):
        opened(Camera(SourceError("refused; check it")))


def test_silence_shows_as_stale_before_it_is_lost():
    with opened(Camera((5, "nothing"))) as source:
        seen, end = set(), time.perf_counter() + 0.6
        while time.perf_counter() < end:
            source.read(0.005)
            seen.add(source.state)
    assert {State.LIVE, State.STALE, State.LOST} <= seen


def test_a_camera_whose_clock_runs_wrong_is_believed_by_its_arrivals():
    class Slow(Scripted):
        """Half speed: ever further behind, though every frame comes on time."""

        def grab(self):
            picture = super().grab()
            return Picture(picture.rgb, picture.arrived_ns, 0, picture.arrived_ns // 2)

    camera = Camera((10_000, "break"))
    connect = camera.connect
    camera.connect = lambda open_s: Slow(10_000, "break") if connect(open_s) else None
    with opened(camera) as source:
        read_until(source, lambda frames: source.reconnects == 2)
        assert len(read_until(source, lambda frames: len(frames) > 20)) > 20
        assert source.reconnects == 2


def test_closing_during_a_pause_is_quick():
    limits = dataclasses.replace(QUICK, back_off_s=60.0, back_off_most_s=60.0)
    camera = Camera((1, "break"), SourceError("refused; try later"))
    source = ReconnectingSource("cam://", camera.connect, limits, time.perf_counter_ns)
    read_until(source, lambda frames: source.state is State.LOST)
    start = time.perf_counter()
    source.close()
    assert time.perf_counter() - start < limits.back_off_s / 2
    assert source.read(0.01) is Outcome.END


def test_a_read_that_never_returns_is_left_behind_with_its_device(monkeypatch):
    monkeypatch.setattr(live, "JOIN_S", 0.2)
    free = threading.Event()

    class Stuck(Scripted):
        def grab(self):
            free.wait(60)
            return

    device = Stuck(0, "nothing")
    source = ReconnectingSource("cam://", lambda open_s: device, QUICK, time.perf_counter_ns)
    thread = source._thread
    start = time.perf_counter()
    source.close()
    assert time.perf_counter() - start < 30
    # Closed under a running read, many libraries crash.
    assert not device.closed
    assert thread.name in LEFT_BEHIND
    assert thread.daemon
    free.set()
    thread.join(5)


class BetweenKeyFrames(Scripted):
    """Gives nothing that can be decoded for some time, then frames."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(10_000, "break")
        self._until = time.perf_counter() + wait_s

    def grab(self):
        if time.perf_counter() < self._until:
            time.sleep(0.01)
            return None
        return super().grab()


@pytest.mark.parametrize(("first_s", "lost"), [(5.0, False), (0.3, True)])
def test_a_stream_joined_between_key_frames_is_given_time(first_s, lost):
    limits = dataclasses.replace(QUICK, first_s=first_s)
    source = ReconnectingSource(
        "cam://", lambda open_s: BetweenKeyFrames(0.6), limits, time.perf_counter_ns
    )
    with source:
        frames = read_until(
            source, lambda frames: frames or State.LOST in [e.state for e in source.events]
        )
        assert bool(frames) != lost
        assert (State.LOST in [event.state for event in source.events]) == lost
