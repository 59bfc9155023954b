"""Cameras that speak HTTP: multipart, snapshots, HLS, pages and refusals, by a real server."""

import base64
import contextlib
import http.server
import threading
import time

import cv2
import numpy as np
import pytest
from tinybundle import spec

from edgeseg.errors import BackendUnavailable, SourceError
from edgeseg.runtime.sources import camera
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.sources.open import open_source

PASSWORD = "p@ss/1#word"


class Camera(http.server.BaseHTTPRequestHandler):
    """An ESP32-CAM, an IP camera with Basic and Digest, and a folder of HLS."""

    def log_message(self, *args):
        pass

    def answer(self, kind: str, data: bytes = b"", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if data or status != 200:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def jpeg(self) -> bytes:
        self.server.n += 1
        grey = np.full((48, 64, 3), self.server.n % 250, np.uint8)
        return cv2.imencode(".jpg", grey)[1].tobytes()

    def do_GET(self):
        given = self.headers.get("Authorization", "")
        if self.path == "/basic.jpg":
            known = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
            if given != known:
                self.answer("text/plain", b"", 401, WWW_Authenticate='Basic realm="cam"')
                return
        if self.path == "/digest.jpg" and "Digest" not in given:
            asked = 'Digest realm="cam", nonce="a", qop="auth"'
            self.answer("text/plain", b"", 401, WWW_Authenticate=asked)
        elif self.path.endswith(".jpg"):
            self.answer("image/jpeg", self.jpeg())
        elif self.path == "/stream":
            self.answer("multipart/x-mixed-replace; boundary=b")
            with contextlib.suppress(OSError):
                while not self.server.over.wait(0.02):
                    head = b"--b\r\nContent-Type: image/jpeg\r\n\r\n"
                    self.wfile.write(head + self.jpeg() + b"\r\n")
        elif self.path == "/":
            self.answer("text/html", b"<html>")
        elif (file := self.server.folder / self.path[1:]).is_file():
            kind = "application/vnd.apple.mpegurl" if file.suffix == ".m3u8" else "video/mp2t"
            self.answer(kind, file.read_bytes())
        else:
            self.answer("text/plain", b"", 404)


@pytest.fixture
def address(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.n, server.over, server.folder = 0, threading.Event(), tmp_path
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def frames(source, n: int) -> list[Frame]:
    found, end = [], time.monotonic() + 20
    while len(found) < n and time.monotonic() < end:
        frame = source.read(0.5)
        if isinstance(frame, Frame):
            found.append(frame)
    return found


@pytest.fixture(params=["av", "cv2"])
def library(request, monkeypatch):
    if request.param == "av":
        pytest.importorskip("av", reason="PyAV is not installed; pip install 'edgeseg[rtsp]'")
    else:
        monkeypatch.setattr(camera, "is_installed", lambda name: False)


def test_a_multipart_stream_has_no_time_of_its_own(address, library):
    with open_source(f"http://{address}/stream", spec()) as source:
        assert source.live
        found = frames(source, 4)
        assert source.refused == 0
        assert source.fps is None
    levels = [int(frame.rgb.mean()) for frame in found]
    assert levels == sorted(set(levels))
    assert [frame.media_s for frame in found] == [None] * 4


@pytest.mark.parametrize(
    "path", [f"me:{PASSWORD}@{{}}/basic.jpg", "me:x@{}/digest.jpg", "{}/a.jpg"]
)
def test_a_snapshot_is_asked_for_again_and_again(address, path):
    with open_source(f"http://{path.format(address)}", spec()) as source:
        first, second = frames(source, 2)
        assert "me" not in source.uri.replace("http://", "")
    assert 1 <= second.rgb.mean() - first.rgb.mean() <= 4


def test_hls_is_played_at_its_own_rate(address, tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed; pip install 'edgeseg[rtsp]'")
    with av.open(str(tmp_path / "live.m3u8"), "w", format="hls", options={"hls_time": "1"}) as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 10
        for index in range(30):
            grey = np.full((48, 64, 3), 8 * index, np.uint8)
            picture = av.VideoFrame.from_ndarray(grey, format="rgb24")
            picture.pts = index
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    with open_source(f"http://{address}/live.m3u8", spec()) as source:
        begin = time.monotonic()
        assert len(frames(source, 6)) == 6
        took = time.monotonic() - begin
    # Five tenths of a second lie between them; all thirty would be there at once.
    assert took > 0.3


def test_hls_without_pyav_says_what_to_install(address, tmp_path, monkeypatch):
    (tmp_path / "live.m3u8").write_text("#EXTM3U\n")
    monkeypatch.setattr(camera, "is_installed", lambda name: False)
    with pytest.raises(BackendUnavailable, match=r"pip install 'edgeseg\[rtsp\]'"):
        open_source(f"http://{address}/live.m3u8", spec())


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("me:wrongsecret@{}/basic.jpg", r"refuses the user name or password \(401"),
        ("{}/none", r"nothing at this path \(404"),
        ("{}/", r"gives a page \(text/html\), no pictures"),
    ],
)
def test_what_is_no_camera_is_named(address, path, said):
    with pytest.raises(SourceError, match=said) as caught:
        open_source(f"http://{path.format(address)}", spec())
    assert "secret" not in str(caught.value)
