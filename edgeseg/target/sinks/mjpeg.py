"""`mjpeg://HOST:PORT`: the annotated picture in any browser."""

from __future__ import annotations

import http.server
import re
import socketserver
import threading

import cv2

from edgeseg.core.image import overlay
from edgeseg.errors import SinkError, UsageError
from edgeseg.target.sink import Prediction, Sink, SinkRequest

BOUNDARY = "edgeseg-frame"
MAX_CLIENTS = 4
SEND_TIMEOUT_S = 1.0
POLL_S = 0.25
JOIN_S = 5.0
JPEG_QUALITY = 80
LOCAL = ("127.0.0.1", "localhost", "")
PAGE = (
    b"<!doctype html><meta charset=utf-8><title>edgeseg</title>"
    b"<body style='margin:0;background:#111'><img src=/stream style='width:100%'>"
)


class MjpegSink(Sink):
    """A small HTTP server that sends the newest picture to at most MAX_CLIENTS viewers.

    A picture is encoded only while someone watches. A viewer that reads too slowly is dropped
    after SEND_TIMEOUT_S; it never holds the loop up.
    """

    def __init__(self, request: SinkRequest) -> None:
        """Listen.

        Raises:
            UsageError: the address is malformed or reaches beyond this machine.
            SinkError: the port is taken or not allowed.
        """
        match = re.fullmatch(r"([^:/]*)(?::(\d+))?/?", request.rest)
        if match is None or int(match[2] or 0) > 65535:
            raise UsageError(
                f"{request.uri}: expected mjpeg://HOST:PORT, as mjpeg://127.0.0.1:8080"
            )
        host, port = match[1], int(match[2] or 8080)
        if host not in LOCAL:
            raise UsageError(
                f"{request.uri}: anyone who reaches {host} could watch; use 127.0.0.1 and a tunnel "
                f"(ssh -L {port}:127.0.0.1:{port} BOARD)"
            )
        self._request = request
        self._newest = _Newest()
        try:
            self._server = _Server(("127.0.0.1", port), self._newest)
        except OSError as error:
            raise SinkError(
                f"{request.uri} cannot listen ({error.strerror}); give another port"
            ) from error
        self.uri = f"mjpeg://127.0.0.1:{self._server.server_address[1]}"
        self._thread: threading.Thread | None = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": POLL_S},
            name="edgeseg-mjpeg",
        )
        self._thread.start()

    @property
    def clients(self) -> int:
        """Viewers connected now."""
        return self._newest.clients

    def write(self, prediction: Prediction) -> None:
        """Offer one frame to the viewers."""
        if not self._newest.clients:
            return
        image = overlay(
            prediction.frame.rgb, prediction.labels, self._request.palette, self._request.alpha
        )
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise SinkError(f"{self.uri}: OpenCV cannot encode a {image.shape} picture as JPEG")
        self._newest.offer(jpeg.tobytes())

    def close(self) -> None:
        """Drop the viewers, stop listening and join every thread."""
        if self._thread is None:
            return
        self._newest.close()
        self._server.shutdown()
        self._thread.join(JOIN_S)
        self._server.server_close()
        self._thread = None


class _Newest:
    """The newest picture, which every viewer waits for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jpeg = b""
        self._number = 0
        self.clients = 0
        self.closed = False

    def offer(self, jpeg: bytes) -> None:
        with self._changed:
            self._jpeg = jpeg
            self._number += 1
            self._changed.notify_all()

    def after(self, number: int) -> tuple[int, bytes]:
        """Wait for a picture newer than `number`; after POLL_S return the same number."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number or self.closed, POLL_S)
            return self._number, self._jpeg

    def enter(self) -> bool:
        with self._changed:
            if self.clients >= MAX_CLIENTS or self.closed:
                return False
            self.clients += 1
            return True

    def leave(self) -> None:
        with self._changed:
            self.clients -= 1

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    # Joined by server_close, so that no thread outlives the sink.
    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], newest: _Newest) -> None:
        super().__init__(address, _Handler)
        self.newest = newest

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a viewer that went away is no error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = SEND_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard error belongs to the progress display."""

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(200, "text/html", PAGE)
        elif self.path == "/stream":
            self._stream()
        else:
            self._send(404, "text/plain", b"the picture is at /\n")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        newest = self.server.newest
        if not newest.enter():
            self._send(503, "text/plain", b"enough viewers are watching already\n")
            return
        try:
            self.send_response(200)
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.end_headers()
            number = 0
            while not newest.closed:
                found, jpeg = newest.after(number)
                if found == number:
                    continue
                number = found
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                self.wfile.write(f"{head}\r\n\r\n".encode() + jpeg + b"\r\n")
        except OSError:
            # The viewer went away or reads too slowly.
            return
        finally:
            newest.leave()
