"""A camera on loopback that tests may kill, freeze and garble; and its frames' true age."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np

SYSTEM_PYTHON = "/usr/bin/python3"
PROBE = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst"
PROBE += "; from gi.repository import GstRtspServer; Gst.init(None)"
PROBE += "; assert all(map(Gst.ElementFactory.find, ('appsrc', 'x264enc', 'rtph264pay')))"
BITS = 32


def missing() -> str | None:
    """Return why no server can run here, None when one can."""
    if not Path(SYSTEM_PYTHON).exists():
        return f"{SYSTEM_PYTHON} does not exist"
    probe = subprocess.run([SYSTEM_PYTHON, "-c", PROBE], capture_output=True, text=True)
    if probe.returncode == 0:
        return None
    return (
        "no GStreamer RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi "
        "gstreamer1.0-plugins-ugly gstreamer1.0-plugins-good"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def age_ms(rgb: np.ndarray) -> float:
    """Return how long ago the frame was made, by the bar code in the picture."""
    height, width = rgb.shape[:2]
    block = width // BITS
    light = rgb[height // 8, block // 2 : BITS * block : block].mean(axis=-1) > 128
    made = int("".join("1" if bit else "0" for bit in light), 2)
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000 & 0xFFFFFFFF
    return now - made


class Server:
    """The server's process.

    Args:
        slices: of a picture. An encoder left alone makes one for each core of its machine.
    """

    def __init__(self, slices: int = 1) -> None:
        self.port = free_port()
        self._slices = slices
        self.start()

    def start(self) -> None:
        script = str(Path(__file__).with_name("rtsp_server.py"))
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, script, str(self.port), str(self._slices)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def resize(self, width: int, height: int) -> None:
        self._process.stdin.write(f"size {width} {height}\n")
        self._process.stdin.flush()


class GarblingProxy:
    """Stands between client and server; while `garbling` is set it sends noise instead."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.garbling = threading.Event()
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for one in self._sockets:
            # shutdown wakes a thread that waits in accept or recv; close alone does not.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._sockets += [client, server]
            for pair in ((client, server, False), (server, client, True)):
                thread = threading.Thread(target=self._pass, args=pair)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, to: socket.socket, garbles: bool) -> None:
        rng = np.random.default_rng(0)
        try:
            while data := source.recv(65536):
                if garbles and self.garbling.is_set():
                    data = rng.bytes(len(data))
                to.sendall(data)
        except OSError:
            pass
        for one in (source, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
