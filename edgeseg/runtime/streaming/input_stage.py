"""The loop's first stage: reads frames, fits them to the network's size and counts them."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.images.fit import Placement, fit_rgb
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import EdgesegError, SourceError
from edgeseg.runtime.single_slot import Ending, Outcome, SingleSlot
from edgeseg.runtime.sources.base import Frame, Source

POLL_S = 0.1


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A frame at the network's size.

    Attributes:
        frame: as the source gave it.
        rgb: what the network gets.
        placement: where the frame lies in it.
        took_ns: how long fitting took.
    """

    frame: Frame
    rgb: UInt8[np.ndarray, "h w 3"]
    placement: Placement
    took_ns: int


@dataclasses.dataclass(frozen=True)
class SourceSummary:
    """What a source had counted when a run ended: a camera goes on until it is closed.

    Attributes:
        dropped: frames that came during the run and never reached the network.
        reconnects: how often a device was opened again.
        connection: its states, None where it has none.
    """

    dropped: int
    reconnects: int
    connection: Mapping[str, Any] | None


class InputStage:
    """Reads a source and fits its frames, ahead of the inference.

    Files: every frame, in order; who is ahead waits.
    Live sources: the newest frame; what nobody has taken yet is overwritten, before and after
    fitting, so that a frame fitted ahead is never an old one.

    Args:
        source: open; it stays open.
        spec: the network's size and how frames are brought to it.
        clock: nanoseconds that only go forward.
    """

    def __init__(self, source: Source, spec: ModelSpec, clock: Callable[[], int]) -> None:
        self._source = source
        self._spec = spec
        self._clock = clock
        self._halt = threading.Event()
        self._captured: SingleSlot[Frame] = SingleSlot()
        self._fitted: SingleSlot[Fitted] = SingleSlot(newest=source.live)
        self._last_index = -1
        self._dropped_earlier = 0

    def jobs(self) -> list[Callable[[], None]]:
        """Return what to run in a thread each; what was dropped before this is not counted."""
        # A camera runs from its opening on; what it gave while a model loaded is no drop.
        self._dropped_earlier = self._source.dropped
        # A live source has a reader thread of its own.
        return [self._fit_newest] if self._source.live else [self._capture, self._fit_ahead]

    def next(self) -> Fitted | Ending:
        """Wait for a frame for a short while; the consumer's errors are those of reading.

        Raises:
            EdgesegError: the source or fitting failed, after the last frame before that.
        """
        found = self._fitted.get(POLL_S)
        if isinstance(found, Outcome) or not self._source.live:
            return found
        # Frames are lost in two places; the numbers of those that came through tell of both.
        dropped = found.frame.index - self._last_index - 1
        self._last_index = found.frame.index
        return dataclasses.replace(
            found, frame=dataclasses.replace(found.frame, dropped_before=dropped)
        )

    def halt(self) -> SourceSummary:
        """Let nothing further in, and return what the source had to tell by then."""
        self._halt.set()
        supply = self._supply()
        self._captured.close(discard=True)
        self._fitted.close(discard=True)
        return supply

    def _capture(self) -> None:
        with _closing(self._captured, self._source.uri):
            while not self._halt.is_set():
                found = self._source.read(POLL_S)
                if found is Outcome.END:
                    break
                if isinstance(found, Frame) and not self._captured.put(found):
                    break

    def _fit_ahead(self) -> None:
        with _closing(self._fitted, self._source.uri):
            while True:
                found = self._captured.get()
                if isinstance(found, Outcome) or not self._fitted.put(self._fit(found)):
                    break

    def _fit_newest(self) -> None:
        began = False
        with _closing(self._fitted, self._source.uri):
            while not self._halt.is_set():
                found = self._source.read(POLL_S)
                if found is Outcome.END:
                    break
                if not isinstance(found, Frame):
                    continue
                if not began:
                    before = max(0, found.dropped_before - self._dropped_earlier)
                    self._last_index = found.index - before - 1
                    began = True
                if not self._fitted.put(self._fit(found)):
                    break

    def _fit(self, frame: Frame) -> Fitted:
        start = self._clock()
        size_hw, resize = self._spec.size_hw, self._spec.preprocess.resize
        rgb, placement = fit_rgb(frame.rgb, size_hw, resize)
        return Fitted(frame, rgb, placement, self._clock() - start)

    def _supply(self) -> SourceSummary:
        source = self._source
        dropped = source.dropped - self._dropped_earlier
        connection = None
        if source.state is not None:
            connection = {
                "state": source.state.value,
                "refused": source.refused,
                "events": [event.to_json() for event in source.events],
            }
        dropped += self._fitted.overwritten if source.live else 0
        return SourceSummary(dropped, source.reconnects, connection)


@contextlib.contextmanager
def _closing(slot: SingleSlot[Any], uri: str) -> Iterator[None]:
    """Close a slot when its producer is done, with the error if it failed."""
    try:
        yield
    except EdgesegError as error:
        slot.close(error)
    except Exception as error:
        # A thread's exception would be lost; the consumer raises it instead.
        slot.close(SourceError(f"{uri} failed: {error!r}"))
    else:
        slot.close()
