import os
import socket
import subprocess
import sys

import pytest
from tinybundle import random_frame, tiny_bundle

from edgeseg.errors import SinkError
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.watchdog import WatchdogSink
from edgeseg.runtime.sources.base import Frame


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def prediction() -> Prediction:
    rgb = random_frame()
    return Prediction(Frame(rgb, 0, 0), rgb[..., 0], 0, 0, 0)


def test_ready_comes_once_and_alive_at_most_once_a_second(systemd):
    now = [0.0]
    with WatchdogSink(systemd.getsockname(), clock=lambda: now[0]) as sink:
        for second in (0.0, 0.4, 0.9, 1.1, 1.2, 2.2):
            now[0] = second
            sink.write(prediction())
    sink.close()
    systemd.setblocking(False)
    said = []
    while True:
        try:
            said.append(systemd.recv(100).decode())
        except BlockingIOError:
            break
    assert said == ["READY=1\nWATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_nobody_listening_is_one_line(tmp_path):
    with pytest.raises(SinkError, match="unset it outside systemd"):
        WatchdogSink(str(tmp_path / "nobody"))


def test_stream_tells_systemd_that_it_is_ready(systemd, tmp_path):
    tiny_bundle(tmp_path / "b")
    done = subprocess.run(
        [sys.executable, "-m", "edgeseg.cli", "stream", tmp_path / "b", "synthetic://?frames=3",
         "--backend", "onnxruntime", "--json"],
        env={**os.environ, "NOTIFY_SOCKET": systemd.getsockname()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert systemd.recv(100) == b"READY=1\nWATCHDOG=1", done.stderr
