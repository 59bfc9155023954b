"""VideoSink: writes the pictures with the class colours over them as a video."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np

from edgeseg.errors import SinkError
from edgeseg.runtime.sinks.base import Left, Prediction, Sink, SinkRequest
from edgeseg.runtime.sinks.encoders import Encoder, open_encoder
from edgeseg.runtime.sinks.painter import Painter
from edgeseg.runtime.sinks.places import claim_file, moved_note
from edgeseg.runtime.sinks.readback import frames_in
from edgeseg.runtime.sinks.timeline import Timeline

# Left free for the end of a video, its index and what else the machine writes meanwhile.
RESERVE_BYTES = 4 << 20


class VideoSink(Sink):
    """A video of one rate, which plays as long as the scene lasted.

    It grows under its own name, in pieces that can be played: a kill or a power loss leaves what
    was recorded until about a second before. A file that an earlier run left is never touched; this
    one then gets a number.

    The file has one rate: a picture is repeated until the next one's time in the video, or once for
    each frame that was dropped between. Where encoding is the slowest stage of a camera, repeats
    would cost further frames: they take half of the time that they play, and the video plays
    faster.
    """

    example = "{folder}/out.avi"
    writes_path = True

    def __init__(self, request: SinkRequest) -> None:
        """Check the place; the file begins with the first frame, whose size it gets.

        Raises:
            SinkError: the folder does not exist.
        """
        self.uri = request.uri
        self._path = Path(request.rest)
        if not self._path.parent.is_dir():
            raise SinkError(f"{self._path.parent} is no folder; make it before streaming into it")
        self._request = request
        self._paint = Painter(request)
        self._size_hw: tuple[int, ...] = ()
        self._encoder: Encoder | None = None
        self._handle = -1
        self._timeline = Timeline(request.fps)
        self._last: np.ndarray | None = None
        self._wrote = 0
        self._done = False
        self._in_use = threading.Lock()

    def write(self, prediction: Prediction) -> None:
        """Append one annotated frame, after what stands for the time before it."""
        with self._in_use:
            self._write(prediction)

    def _write(self, prediction: Prediction) -> None:
        frame = prediction.frame
        shape = frame.rgb.shape[:2]
        self._check_room(frame.rgb.nbytes)
        if self._encoder is None:
            self._begin((shape[0], shape[1]))
        if shape != self._size_hw:
            raise SinkError(
                f"{self._path} ends here: it holds pictures of {_size(self._size_hw)} and the "
                f"source now gives {_size(shape)}; give pictures of one size, or masks/"
            )
        image = self._paint(prediction)
        missing = self._timeline.missing(frame)
        before = image if self._last is None else self._last
        ends_at = time.monotonic() + missing / self._request.fps / 2
        for _ in range(missing):
            if frame.dropped_before and time.monotonic() >= ends_at:
                break
            self._check_room(frame.rgb.nbytes)
            self._append(before)
        self._append(image)
        self._last = image

    def _begin(self, size_hw: tuple[int, int]) -> None:
        asked = self._path
        self._handle, self._path = claim_file(asked, replace=self._request.replace)
        if self._path != asked:
            self._request.tell(moved_note(asked, self._path))
        self._size_hw = size_hw
        self._encoder = open_encoder(self._handle, self._path, size_hw, self._request.fps)
        if self._encoder.note:
            self._request.tell(self._encoder.note)

    def _append(self, image: np.ndarray) -> None:
        assert self._encoder is not None
        self._encoder.write(image)
        self._timeline.wrote()
        self._wrote += 1

    def _check_room(self, n: int) -> None:
        if shutil.disk_usage(self._path.parent).free < n + RESERVE_BYTES:
            raise SinkError(f"{self._path} ends here, the disk is nearly full; free some space")

    def finish(self) -> Left | None:
        """Finish the file and read it back."""
        # The loop leaves a sink behind that hangs in a write; to take its writer away would crash.
        if not self._in_use.acquire(blocking=False):
            raise SinkError(
                f"{self._path} was not finished, a frame is still being written; look for a disk "
                "that hangs, what is there can be played"
            )
        try:
            return self._finish()
        finally:
            self._in_use.release()

    def _finish(self) -> Left | None:
        if self._done:
            return None
        self._done = True
        if self._handle < 0:
            return None
        problem = ""
        try:
            if self._encoder is not None:
                self._encoder.finish()
            os.fsync(self._handle)
        except (SinkError, OSError) as error:
            problem = str(error)
        finally:
            os.close(self._handle)
        # A failed write may leave a picture that was not counted.
        held = min(frames_in(self._path), self._wrote) if self._path.exists() else 0
        if held == 0:
            # Nothing that a later run would have to go round.
            self._path.unlink(missing_ok=True)
            why = problem or "it cannot be played, probably for want of space"
            return Left(str(self._path), self._wrote, 0, f"{self._path} was not written: {why}")
        if held < self._wrote and not problem:
            problem = f"{self._path} lost its end, probably for want of space"
        return Left(str(self._path), self._wrote, held, problem)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
