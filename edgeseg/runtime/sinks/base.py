"""Sink: the base of everything that takes predictions, and what opens one."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from edgeseg.errors import SinkError
from edgeseg.runtime.closeable import Closeable
from edgeseg.runtime.sources.base import Frame

DEFAULT_FPS = 15.0


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The labels of one frame and what they took.

    Attributes:
        frame: the frame they belong to.
        labels: one per pixel of the frame, the loop's own copy.
        preprocess_ns: fitting the frame to the network and the labels back to the frame.
        infer_ns: the backend's call.
        ready_ns: when the labels were there.
    """

    frame: Frame
    labels: UInt8[np.ndarray, "h w"]
    preprocess_ns: int
    infer_ns: int
    ready_ns: int

    def took_ns(self) -> dict[str, int]:
        """Return the time of each stage up to the labels, and of the whole way as `ready`."""
        return {
            "capture": self.frame.capture_took_ns,
            "preprocess": self.preprocess_ns,
            "infer": self.infer_ns,
            "ready": self.ready_ns - self.frame.captured_ns,
        }


@dataclasses.dataclass(frozen=True)
class Left:
    """What a sink left on disk when it was finished.

    Attributes:
        path: of the file or folder; not always the one that was asked for.
        wrote: pictures, masks or lines that it wrote.
        held: how many of them can be read back.
        problem: what went wrong, empty where nothing did.
    """

    path: str
    wrote: int
    held: int
    problem: str = ""


class Sink(Closeable):
    """Takes predictions in order, from one thread.

    A class says what open_sink and check_sinks must know before they make one:

    - example: a URI of this sink, for the contract tests; `{folder}` in it stands for an empty
      folder.
    - writes_path: what follows `scheme://` is a file or folder that the sink writes.
    - names_by_image: it writes a file named after each image, so names must not occur twice.

    Attributes:
        uri: what was opened.
    """

    example: ClassVar[str] = ""
    writes_path: ClassVar[bool] = False
    names_by_image: ClassVar[bool] = False

    uri: str

    @abc.abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Take one prediction; its arrays must not be changed.

        Raises:
            SinkError: it cannot take any more.
        """

    def finish(self) -> Left | None:
        """Complete what was written and read it back; `write` is not called any more.

        The loop calls it once, also for a sink that failed. None is a sink that leaves nothing.

        Raises:
            SinkError: it cannot be completed.
        """
        return None

    def close(self) -> None:
        """Finish what is not finished yet, and free all that it holds.

        Raises:
            SinkError: what it leaves is not whole.
        """
        left = self.finish()
        if left is not None and left.problem:
            raise SinkError(left.problem)


@dataclasses.dataclass(frozen=True)
class SinkRequest:
    """What a sink class is asked for.

    Attributes:
        uri: as the user gave it.
        rest: what follows `scheme://`; a path for files.
        palette: RGB 0-255 per class.
        class_names: names per class, for legends.
        ignore_index: the label of truth that is not scored.
        fps: rate written into a video file.
        alpha: share of the class colour over the picture, 0-1.
        has_display: whether the session has a screen to open a window on.
        token: what a viewer from another machine must know; empty allows none.
        legend: write class names and the rate into pictures.
        replace: write over what an earlier run left, where else a number is added to the name.
        tell: told what a user should know, one line at a time.
    """

    uri: str
    rest: str
    palette: tuple[tuple[int, int, int], ...]
    class_names: tuple[str, ...]
    ignore_index: int
    fps: float = DEFAULT_FPS
    alpha: float = 0.5
    has_display: bool = True
    token: str = dataclasses.field(default="", repr=False)
    legend: bool = False
    replace: bool = False
    tell: Callable[[str], None] = lambda line: None
