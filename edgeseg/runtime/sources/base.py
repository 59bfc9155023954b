"""Source: the base of everything that gives frames, and what opens one."""

from __future__ import annotations

import abc
import dataclasses
import enum
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.spec import ModelSpec
from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError
from edgeseg.runtime.closeable import Closeable
from edgeseg.runtime.single_slot import Ending


class State(enum.Enum):
    """Where a camera's connection stands.

    CONNECTING: being opened. LIVE: frames arrive. STALE: open, but nothing came for a while.
    LOST: broken, or refused to open; the next try comes after a pause.
    """

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    LOST = "lost"


@dataclasses.dataclass(frozen=True)
class SourceEvent:
    """A change of a camera's state.

    Attributes:
        at_s: seconds since the source was made.
        state: the state it changed to.
        reason: why, without credentials.
    """

    at_s: float
    state: State
    reason: str

    def to_json(self) -> dict[str, float | str]:
        """Return plain JSON values."""
        return {"at_s": round(self.at_s, 3), "state": self.state.value, "reason": self.reason}


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture and what is known of it.

    Attributes:
        rgb: the picture.
        index: its number in the source, dropped ones counted.
        captured_ns: when it arrived; for files, when reading it began.
        capture_took_ns: time spent to decode or draw it, without waiting for it.
        truth: right labels at the picture's size, None where unknown.
        dropped_before: frames overwritten between the one before and this one.
        name: file name, empty for cameras.
        media_s: time in the video, or by the camera's own clock from any zero; None where the
            source has none.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    index: int
    captured_ns: int
    capture_took_ns: int = 0
    truth: UInt8[np.ndarray, "h w"] | None = None
    dropped_before: int = 0
    name: str = ""
    media_s: float | None = None


class Source(Closeable):
    """A stream of frames.

    A class says what open_source and check_sinks must know before they make one:

    - example: a URI of this source that needs nothing else, for the contract tests; `{folder}` in
      it stands for an empty folder. A camera's example names a device that does not exist.
    - ends: the frames come to an end, so the source can be opened again for `--sustain`.
    - reads_path: what follows `scheme://` is a file, a folder or a glob, which no sink may replace.
    - takes_labels: the request's folder of masks may be given.
    - splits_query: `?key=value` behind the URI is for the source, and not for a server or pipeline.
    - fps_is_pace: a rate in the URI asks for a replay as a live camera of that rate.

    Attributes:
        uri: what was opened, without credentials.
        live: frames come at their own pace and the newest wins; otherwise every frame is kept.
        labelled: frames carry truth.
        length: number of frames, None where unknown.
        fps: frames per second of a live source or a video, None where unknown.
        dropped: frames overwritten before anyone read them.
        reconnects: times a lost camera was found again.
        refused: frames of a camera that came too late to be shown.
        state: of a camera's connection, None for files and replays.
        events: the newest changes of state, oldest first.
        notes: what is known of the labels before the first frame, for the user; a sentence each.
    """

    example: ClassVar[str] = ""
    ends: ClassVar[bool] = False
    reads_path: ClassVar[bool] = False
    takes_labels: ClassVar[bool] = False
    splits_query: ClassVar[bool] = True
    fps_is_pace: ClassVar[bool] = False

    uri: str
    live: bool = False
    labelled: bool = False
    length: int | None = None
    fps: float | None = None
    dropped: int = 0
    reconnects: int = 0
    refused: int = 0
    state: State | None = None
    events: Sequence[SourceEvent] = ()
    notes: Sequence[str] = ()

    @abc.abstractmethod
    def read(self, timeout_s: float) -> Frame | Ending:
        """Wait for the next frame.

        Returns:
            The frame; Outcome.TIMEOUT when none came in time, ask again; Outcome.END after the
            last one.

        Raises:
            SourceError: the source failed; it gives no further frame.
        """

    def watch(self, arrived: Callable[[Frame], None]) -> None:
        """Call `arrived` with every frame a live labelled source gets, dropped ones included.

        Must be called before the first read. Other sources ignore it: nothing is dropped there.
        """


@dataclasses.dataclass(frozen=True)
class SourceRequest:
    """What a source class is asked for.

    Attributes:
        uri: as the user gave it.
        scheme: a key of SOURCES.
        rest: what follows `scheme://`, a path for files; without the query where the class splits
            it off.
        query: `?key=value` pairs.
        spec: the model the frames are for: size of synthetic frames, classes of masks.
        labels: folder of masks for an image folder.
        open_timeout_s: longest wait while opening.
        read_timeout_s: longest wait of one read inside a camera's library.
        clock: nanoseconds that only go forward.
        root: the file system's root, another one in tests.
    """

    uri: str
    scheme: str
    rest: str
    query: Mapping[str, str]
    spec: ModelSpec
    labels: Path | None = None
    open_timeout_s: float = 5.0
    read_timeout_s: float = 1.5
    clock: Callable[[], int] = time.perf_counter_ns
    root: Path = Path("/")

    def options(self, known: tuple[str, ...]) -> Mapping[str, str]:
        """Return the query, or raise UsageError on a key that is not in `known`."""
        for key in self.query:
            if key not in known:
                raise UsageError(unknown(f"option of {self.scheme}://", key, known))
        return self.query

    def number(self, key: str, default: float) -> float:
        """Return a query value as a number, `default` when absent or empty."""
        text = self.query.get(key, "")
        try:
            value = float(text) if text else default
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{self.uri}: {key} is {text!r}, expected a number")
        return value

    def size_hw(self) -> tuple[int, int] | None:
        """Return `size=HEIGHTxWIDTH` of the query, None when absent or empty."""
        size = self.query.get("size", "")
        match = re.fullmatch(r"(\d+)x(\d+)", size)
        if size and match is None:
            raise UsageError(f"{self.uri}: size is {size!r}, expected HEIGHTxWIDTH, as 360x480")
        return (int(match[1]), int(match[2])) if match else None
