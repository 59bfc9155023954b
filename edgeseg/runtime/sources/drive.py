"""`synthetic://`: the built-in drive as a labelled source."""

from __future__ import annotations

import numpy as np

from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.core.synthetic.weather import Weather
from edgeseg.errors import UsageError
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source, SourceRequest

KEYS = ("frames", "seed", "size", "fps", "weather")
DEFAULT_FRAMES = 200.0
CAMERA_FPS = 15.0
LARGEST = 8192


class DriveSource(Source):
    """Frames of the synthetic drive, drawn when they are read, each with its exact labels.

    `weather` is one of clear, rain, fog, snow and night; the labels stay those of the clear scene.
    `fps` in the URI makes it a live camera: open_source paces it at that rate. A network of other
    classes than the drive's gets the frames without labels.
    """

    example = "synthetic://?frames=4&size=48x64"
    ends = True
    fps_is_pace = True

    def __init__(self, request: SourceRequest) -> None:
        """Set the scene.

        Raises:
            UsageError: an option is unknown or malformed.
        """
        query = request.options(KEYS)
        if request.rest:
            raise UsageError(
                f"{request.uri}: nothing belongs before the options; give "
                f"synthetic://?{request.rest}"
            )
        size_hw = request.size_hw() or request.spec.size_hw
        if max(size_hw) > LARGEST:
            raise UsageError(f"{request.uri}: size is above {LARGEST}x{LARGEST}")
        length = int(request.number("frames", DEFAULT_FRAMES))
        fps = request.number("fps", 0.0)
        if length < 1:
            raise UsageError(f"{request.uri}: frames is {length}, expected 1 or more")
        if fps < 0 or (fps == 0 and request.query.get("fps")):
            raise UsageError(f"{request.uri}: fps is {fps:g}, expected more than 0")
        self.uri = request.uri
        self.length = length
        self.fps = fps if fps > 0 else None
        self._drive_fps = fps or CAMERA_FPS
        seed = int(request.number("seed", 0.0))
        self._drive = SyntheticDrive(size_hw, seed=seed, n=length, fps=fps or CAMERA_FPS)
        self._weather = Weather(query.get("weather") or "clear", seed, size_hw)
        self.labelled = request.spec.class_names == self._drive.class_names
        self._ignore_index = request.spec.ignore_index
        self._clock = request.clock
        self._next = 0

    def read(self, timeout_s: float) -> Frame | Ending:
        """Draw the next frame."""
        if self._next >= len(self._drive):
            return Outcome.END
        start = self._clock()
        rgb, truth = self._drive.frame(self._next)
        rgb = self._weather.over(rgb, self._next)
        took_ns = self._clock() - start
        media_s = self._next / self._drive_fps
        frame = Frame(rgb, self._next, start, took_ns, self._labels(truth), media_s=media_s)
        self._next += 1
        return frame

    def _labels(self, truth: np.ndarray) -> np.ndarray | None:
        if not self.labelled:
            return None
        own = self._drive.ignore_index
        if self._ignore_index == own:
            return truth
        return np.where(truth == own, np.uint8(self._ignore_index), truth)

    def close(self) -> None:
        """Give no further frame."""
        self._next = len(self._drive)
