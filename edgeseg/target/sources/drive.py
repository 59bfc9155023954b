"""`synthetic://`: the built-in drive as a labelled source."""

from __future__ import annotations

import re

from edgeseg.core.synthetic import SyntheticDrive
from edgeseg.errors import UsageError
from edgeseg.target.handoff import Ending, Outcome
from edgeseg.target.source import Frame, Source, SourceRequest

KEYS = ("frames", "seed", "size", "fps")
DEFAULT_FRAMES = 200.0
CAMERA_FPS = 15.0


class DriveSource(Source):
    """Frames of the synthetic drive, drawn when they are read, each with its exact labels.

    `fps` in the URI makes it a live camera: open_source paces it at that rate.
    """

    labelled = True

    def __init__(self, request: SourceRequest) -> None:
        """Set the scene.

        Raises:
            UsageError: an option is unknown or malformed.
        """
        query = request.options(KEYS)
        size = query.get("size", "")
        match = re.fullmatch(r"(\d+)x(\d+)", size)
        if size and match is None:
            raise UsageError(f"{request.uri}: size is {size!r}, expected HEIGHTxWIDTH, as 360x480")
        size_hw = (int(match[1]), int(match[2])) if match else request.spec.size_hw
        length = int(request.number("frames", DEFAULT_FRAMES))
        fps = request.number("fps", 0.0)
        self.uri = request.uri
        self.length = length
        self.fps = fps if fps > 0 else None
        self._drive = SyntheticDrive(
            size_hw, seed=int(request.number("seed", 0.0)), n=length, fps=fps or CAMERA_FPS
        )
        self._clock = request.clock
        self._next = 0

    def read(self, timeout_s: float) -> Frame | Ending:
        """Draw the next frame."""
        if self._next >= len(self._drive):
            return Outcome.END
        start = self._clock()
        rgb, truth = self._drive.frame(self._next)
        frame = Frame(rgb, self._next, start, self._clock() - start, truth)
        self._next += 1
        return frame

    def close(self) -> None:
        """Give no further frame."""
        self._next = len(self._drive)
