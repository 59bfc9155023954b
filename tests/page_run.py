"""A live page fed by hand: a source whose state a test sets, and predictions made here."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tinybundle import expected_labels, random_frame, tiny_bundle

from edgeseg.runtime.dashboard.live import Dashboard
from edgeseg.runtime.http.address import parse_address
from edgeseg.runtime.single_slot import Ending
from edgeseg.runtime.sinks.base import Prediction, Sink
from edgeseg.runtime.sources.base import Frame, Source, State


class HandSource(Source):
    """A camera that does what a test writes into it."""

    live = True
    state = State.LIVE
    fps = 30.0

    def __init__(self, uri: str = "rtsp://camera.local/street") -> None:
        self.uri = uri

    def read(self, timeout_s: float) -> Frame | Ending:
        raise AssertionError("the page never reads frames")

    def close(self) -> None:
        """Hold nothing."""


def prediction(index: int = 0, size_hw: tuple[int, int] = (48, 64), dropped: int = 0) -> Prediction:
    rgb = random_frame(index, size_hw)
    now = time.perf_counter_ns()
    frame = Frame(rgb, index, now - 20_000_000, 2_000_000, dropped_before=dropped)
    return Prediction(frame, expected_labels(rgb), 1_000_000, 5_000_000, now)


@contextmanager
def open_page(
    path: Path, token: str = "", address: str = "127.0.0.1:0", **extra
) -> Iterator[Dashboard]:
    """Open a page and, when it closes, hold that it left no thread."""
    before = threading.active_count()
    page = Dashboard(parse_address(address, token), tiny_bundle(path / "b"), {}, **extra)
    try:
        yield page
    finally:
        # A thread that does not end is waited for and then left behind.
        page.close()
        assert threading.active_count() == before


@contextmanager
def playing(page: Dashboard, source: Source, seconds: float = 30.0) -> Iterator[Sink]:
    """Feed a camera of the page at 50 FPS from a thread."""
    sink, stop = page.camera(source), threading.Event()

    def feed() -> None:
        index = 0
        while not stop.wait(0.02) and index < seconds * 50:
            sink.write(prediction(index))
            index += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield sink
    finally:
        stop.set()
        thread.join(2)


def ask(page: Dashboard, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers by lower-case name, and body of one request."""
    port = int(page.url.rstrip("/").rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read()
    finally:
        connection.close()


def status(page: Dashboard) -> dict:
    return json.loads(ask(page, "/status")[2])


def unpack(body: bytes) -> tuple[dict, bytes, bytes]:
    """Take one answer of /frame apart: head, JPEG, PNG."""
    length = int.from_bytes(body[:4], "little")
    head = json.loads(body[4 : 4 + length])
    jpeg = body[4 + length : 4 + length + head["jpeg"]]
    return head, jpeg, body[4 + length + head["jpeg"] :]


def as_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)
