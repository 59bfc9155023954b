"""Encodes the newest picture for viewers, in a thread of its own and only while one watches."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.images.fit import resize_labels, resize_rgb
from edgeseg.core.metrics.confusion import class_shares
from edgeseg.runtime.closeable import Closeable

LONGEST = 960  # pixels of the longer side; a page shows no more and a board encodes no more
MOST_FPS = 15.0
SHARE_S = 1.0  # between two counts of pixels while nobody watches
WATCHED_S = 2.0  # after its last question a viewer is taken to be there still
JPEG_QUALITY = 80
JOIN_S = 2.0


@dataclasses.dataclass(frozen=True)
class Picture:
    """One encoded frame.

    Attributes:
        number: counts up; 0 before the first.
        index: the frame's number in its source.
        jpeg: the picture.
        png: its labels, one grey level per class.
        size_hw: height and width of both.
    """

    number: int
    index: int
    jpeg: bytes
    png: bytes
    size_hw: tuple[int, int]

    def to_bytes(self) -> bytes:
        """Return length of the head (4 bytes, little endian), the head as JSON, JPEG, PNG."""
        head = json.dumps(
            {"number": self.number, "index": self.index, "jpeg": len(self.jpeg),
             "png": len(self.png), "height": self.size_hw[0], "width": self.size_hw[1]}
        ).encode()  # fmt: skip
        return len(head).to_bytes(4, "little") + head + self.jpeg + self.png


class PictureSlot(Closeable):
    """Takes frames without ever waiting, and gives the newest one to viewers.

    A frame is copied only when the encoder is idle and someone watches, at most MOST_FPS times a
    second; a viewer that is slow or dead asks less often and costs less.

    Args:
        n_classes: classes to count pixels of.
        clock: seconds that only go forward.
    """

    def __init__(self, n_classes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._n_classes = n_classes
        self._clock = clock
        self._changed = threading.Condition()
        self._raw: tuple[Any, Any, int] | None = None
        self._picture: Picture | None = None
        self._shares: tuple[float, ...] | None = None
        self._asked = float("-inf")
        self._taken = float("-inf")
        self._busy = False
        self._closed = False
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="edgeseg-picture"
        )
        self._thread.start()

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Share of the pixels of a recent frame by class, 0-1; None before the first."""
        return self._shares

    @property
    def watched(self) -> bool:
        """Whether a viewer asked lately."""
        return self._clock() - self._asked < WATCHED_S

    def offer(
        self, rgb: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], index: int
    ) -> None:
        """Take a frame if it is wanted; the arrays may be reused when this returns."""
        now = self._clock()
        wait = 1 / MOST_FPS if self.watched else SHARE_S
        if self._busy or now - self._taken < wait:
            return
        self._taken = now
        raw = rgb.copy(), labels.copy(), index
        with self._changed:
            self._raw = raw
            self._busy = True
            self._changed.notify_all()

    def after(self, number: int, timeout_s: float) -> Picture | None:
        """Wait for a picture newer than `number`; None when none came in time."""
        with self._changed:
            self._asked = self._clock()
            self._changed.wait_for(
                lambda: (
                    self._closed or (self._picture is not None and self._picture.number > number)
                ),
                timeout_s,
            )
            self._asked = self._clock()
            found = self._picture
            return found if found is not None and found.number > number else None

    def close(self) -> None:
        """Wake the viewers and join the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _run(self) -> None:
        number = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._raw is not None)
                if self._closed or self._raw is None:
                    return
                (rgb, labels, index), self._raw = self._raw, None
            self._shares = class_shares(labels, self._n_classes)
            picture = None
            if self.watched:
                number += 1
                picture = _encode(rgb, labels, number, index)
            with self._changed:
                self._picture = picture or self._picture
                self._busy = False
                self._changed.notify_all()


def _encode(
    rgb: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], number: int, index: int
) -> Picture | None:
    height, width = rgb.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size_hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    bgr = cv2.cvtColor(resize_rgb(rgb, size_hw), cv2.COLOR_RGB2BGR)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    # Labels compress well at the lowest effort, which is a third of the default's time.
    drawn, png = cv2.imencode(
        ".png", resize_labels(labels, size_hw), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    if not done or not drawn:
        return None
    return Picture(number, index, jpeg.tobytes(), png.tobytes(), size_hw)
