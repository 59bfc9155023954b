"""Turns and mirrors the frames of any source: `?flip=h|v&rotate=90|180|270`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edgeseg.errors import UsageError
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source, SourceEvent, State

FLIPS = {"h": 1, "v": 0, "hv": -1, "vh": -1}
ROTATIONS = {
    "90": cv2.ROTATE_90_CLOCKWISE,
    "180": cv2.ROTATE_180,
    "270": cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclasses.dataclass(frozen=True)
class Turn:
    """What is done to every frame: first it is mirrored, then turned clockwise.

    Attributes:
        flip: a key of FLIPS, or "" for none: h swaps left and right, v top and bottom.
        rotate: a key of ROTATIONS, or "" for none.
    """

    flip: str = ""
    rotate: str = ""

    def __bool__(self) -> bool:
        """Whether anything is done."""
        return bool(self.flip or self.rotate)

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return a picture or labels mirrored and turned."""
        if self.flip:
            image = cv2.flip(image, FLIPS[self.flip])
        return cv2.rotate(image, ROTATIONS[self.rotate]) if self.rotate else image


def split_turn(uri: str) -> tuple[str, Turn]:
    """Return a URI or path without `flip` and `rotate`, and what they ask for.

    `flip` with a number is the CSI camera's own.

    Raises:
        UsageError: another value.
    """
    found: dict[str, str] = {}

    def take(match: re.Match[str]) -> str:
        key, value = match[2], match[3]
        if key == "flip" and value.isdigit():
            return match[0]
        known = FLIPS if key == "flip" else {**ROTATIONS, "0": 0}
        if value not in known:
            raise UsageError(
                f"{key} is {value!r}, expected one of {', '.join(known)}, as ?{key}=h"
                if key == "flip"
                else f"rotate is {value!r}, expected 90, 180 or 270 degrees clockwise"
            )
        found[key] = "" if value == "0" else value
        return match[1] if match[1] == "?" else ""

    rest = re.sub(r"([?&])(flip|rotate)=([^&\s]*)", take, uri)
    # What stood first leaves its ? to the next, or takes it along.
    rest = re.sub(r"\?&", "?", rest)
    if found:
        rest = rest.removesuffix("?")
    return rest, Turn(found.get("flip", ""), found.get("rotate", ""))


class TurnedSource(Source):
    """The frames of another source, mirrored and turned, with their truth.

    Args:
        inner: open; closing this closes it.
        turn: what to do.
    """

    def __init__(self, inner: Source, turn: Turn) -> None:
        self._inner = inner
        self._turn = turn
        how = [f"flip={turn.flip}"] * bool(turn.flip) + [f"rotate={turn.rotate}"] * bool(
            turn.rotate
        )
        self.uri = f"{inner.uri}{'&' if '?' in inner.uri else '?'}{'&'.join(how)}"
        self.live = inner.live
        self.labelled = inner.labelled
        self.length = inner.length

    @property
    def fps(self) -> float | None:  # type: ignore[override]
        """Frames per second, None where unknown."""
        return self._inner.fps

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """Frames overwritten before anyone read them."""
        return self._inner.dropped

    @property
    def reconnects(self) -> int:  # type: ignore[override]
        """Times a lost camera was found again."""
        return self._inner.reconnects

    @property
    def refused(self) -> int:  # type: ignore[override]
        """Frames of a camera that came too late."""
        return self._inner.refused

    @property
    def state(self) -> State | None:  # type: ignore[override]
        """Where the connection stands."""
        return self._inner.state

    @property
    def events(self) -> Sequence[SourceEvent]:  # type: ignore[override]
        """The newest changes of state."""
        return self._inner.events

    def read(self, timeout_s: float) -> Frame | Ending:
        """Read the next frame and turn it."""
        found = self._inner.read(timeout_s)
        return found if isinstance(found, Outcome) else self._turned(found)

    def watch(self, arrived: Callable[[Frame], None]) -> None:
        """Call `arrived` with every turned frame."""
        self._inner.watch(lambda frame: arrived(self._turned(frame)))

    def close(self) -> None:
        """Close the source."""
        self._inner.close()

    def _turned(self, frame: Frame) -> Frame:
        truth = None if frame.truth is None else self._turn.of(frame.truth)
        return dataclasses.replace(frame, rgb=self._turn.of(frame.rgb), truth=truth)
