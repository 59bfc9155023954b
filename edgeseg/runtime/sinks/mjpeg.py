"""`mjpeg://HOST:PORT`: serves the annotated picture to browsers and players."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Generator, Mapping

import cv2

from edgeseg.errors import SinkError
from edgeseg.runtime.http.address import parse_address
from edgeseg.runtime.http.server import Answer, Server
from edgeseg.runtime.sinks.base import Prediction, Sink, SinkRequest
from edgeseg.runtime.sinks.painter import Painter

BOUNDARY = "edgeseg-frame"
MAX_CLIENTS = 4
POLL_S = 0.25
# Only sending tells that a viewer left. One more header of the next part is passed over by Chromium
# and FFmpeg; an empty line before the first part is not: Chromium then never shows a picture.
DELIMITER = f"--{BOUNDARY}\r\n"
PROBE = "X-Waiting: 1\r\n"
JPEG_QUALITY = 80
STYLE = "body{margin:0;background:#111}img{width:100%}"
PAGE = (
    f"<!doctype html><meta charset=utf-8><title>edgeseg</title><style>{STYLE}</style>"
    "<img src=/stream alt='annotated frames'>"
).encode()
POLICY = (
    "default-src 'none'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; style-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)


class MjpegSink(Sink):
    """Sends the newest picture to at most MAX_CLIENTS viewers.

    A picture is encoded only while someone watches. A viewer that reads too slowly is dropped;
    it never holds the loop up. One that left makes room within two polls, pictures or not, and the
    last one takes the picture along: who comes next gets none from before. Beyond this machine a
    viewer must know the request's token.
    """

    example = "mjpeg://127.0.0.1:0"

    def __init__(self, request: SinkRequest) -> None:
        """Listen.

        Raises:
            UsageError: the address is malformed, or reaches beyond this machine without a token.
            SinkError: the port is taken or not allowed.
        """
        address = parse_address(request.rest, request.token, "mjpeg://")
        self._paint = Painter(request)
        self._closing = threading.Event()
        self._newest = _Newest(self._closing)
        paths = {"/": self._page, "/stream": self._stream}
        self._server = Server(address, paths, self._closing)
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.uri = f"mjpeg://{host}:{self._server.port}"

    @property
    def clients(self) -> int:
        """Viewers connected now."""
        return self._newest.clients

    def write(self, prediction: Prediction) -> None:
        """Offer one frame to the viewers."""
        if not self._newest.clients:
            return
        image = self._paint(prediction)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise SinkError(f"{self.uri}: OpenCV cannot encode a {image.shape} picture as JPEG")
        self._newest.offer(jpeg.tobytes())

    def close(self) -> None:
        """Drop the viewers, stop listening and join every thread."""
        self._closing.set()
        self._newest.wake()
        self._server.close()

    def _page(self, query: Mapping[str, str]) -> Answer:
        return Answer(PAGE, "text/html; charset=utf-8", policy=POLICY)

    def _stream(self, query: Mapping[str, str]) -> Answer:
        pieces = self._newest.pieces()
        # Takes its place now, before the answer is sent: another viewer must not get it too.
        if next(pieces, None) is None:
            return Answer(b"enough viewers are watching already\n", status=503)
        return Answer(kind=f"multipart/x-mixed-replace; boundary={BOUNDARY}", pieces=pieces)


class _Newest:
    """The newest picture, which every viewer waits for."""

    def __init__(self, closing: threading.Event) -> None:
        self._changed = threading.Condition()
        self._closing = closing
        self._jpeg = b""
        self._number = 0
        self.clients = 0

    def offer(self, jpeg: bytes) -> None:
        with self._changed:
            if not self.clients:
                # The last viewer left while it was encoded.
                return
            self._jpeg = jpeg
            self._number += 1
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def pieces(self) -> Generator[bytes, None, None]:
        """Give each picture as one part, skipping those that came while the last was sent.

        While there is none, every poll gives a PROBE.
        The first piece is empty and says that there is room; without room there is none.
        """
        with self._changed:
            if self.clients >= MAX_CLIENTS:
                return
            self.clients += 1
        try:
            yield b""
            number, head = 0, DELIMITER
            while not self._closing.is_set():
                with self._changed:
                    self._changed.wait_for(lambda: self._number > number, POLL_S)  # noqa: B023
                    found, jpeg = self._number, self._jpeg
                if found == number:
                    yield f"{head}{PROBE}".encode()
                    head = ""
                    continue
                number = found
                head += f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield head.encode() + jpeg + b"\r\n"
                head = DELIMITER
        finally:
            with self._changed:
                self.clients -= 1
                if not self.clients:
                    self._jpeg, self._number = b"", 0
