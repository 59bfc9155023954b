"""Device: one open connection to a camera, and the limits of every wait for it."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
from jaxtyping import UInt8

from edgeseg.runtime.closeable import Closeable


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture of a device.

    Attributes:
        rgb: the picture.
        arrived_ns: when it arrived, before it was decoded.
        took_ns: decoding and conversion.
        media_ns: the camera's own time of it, from any zero; None where the camera gives none.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    arrived_ns: int
    took_ns: int
    media_ns: int | None = None


class Device(Closeable):
    """An open connection that gives pictures until it breaks.

    Attributes:
        fps: the rate it promises, None where unknown.
    """

    fps: float | None = None

    @abc.abstractmethod
    def grab(self) -> Picture | None:
        """Wait for the next picture, no longer than the device's read limit.

        Returns:
            The picture, or None when what came could not be decoded; ask again.

        Raises:
            SourceError: the connection broke or timed out; close it.
        """


@dataclasses.dataclass(frozen=True)
class LiveLimits:
    """How long a live source waits.

    Attributes:
        open_s: longest first opening.
        read_s: longest wait of one read; also the longest time without one good picture before
            the connection counts as broken.
        first_s: longest time from an opening to its first good picture: a stream is joined between
            two key frames, which network cameras send up to some seconds apart.
        reopen_s: first opening limit of a reconnect. It doubles up to `open_s`: a short one lets
            the program end quickly, a long one reaches a slow camera.
        stale_s: a picture that comes later than this after its own time is refused.
        behind_s: a connection whose pictures stay stale for so long is opened anew.
        back_off_s: first pause before a reconnect; it doubles.
        back_off_most_s: longest pause.
    """

    open_s: float = 5.0
    read_s: float = 1.5
    first_s: float = 4.5
    reopen_s: float = 1.5
    stale_s: float = 0.5
    behind_s: float = 2.0
    back_off_s: float = 0.25
    back_off_most_s: float = 5.0
