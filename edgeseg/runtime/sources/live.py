"""LiveSource: reads frames in a thread and keeps only the newest."""

from __future__ import annotations

import abc
import dataclasses
import threading
from collections.abc import Callable

from edgeseg.errors import EdgesegError, SourceError
from edgeseg.runtime.single_slot import Ending, Outcome, SingleSlot
from edgeseg.runtime.sources.base import Frame, Source

JOIN_S = 5.0
THREAD = "edgeseg-source"


class LiveSource(Source):
    """Base of cameras and of paced replays: `fetch` runs in a thread of its own.

    The thread starts with the first read, or with `start`. A frame nobody took when the next one
    comes is overwritten and counted.
    """

    live = True

    def __init__(self, uri: str) -> None:
        """Prepare; the device is opened by the subclass."""
        self.uri = uri
        self._slot: SingleSlot[Frame] = SingleSlot(newest=True)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._arrived: Callable[[Frame], None] | None = None
        self._reported = 0

    @abc.abstractmethod
    def fetch(self, stop: threading.Event) -> Frame | Ending:
        """Wait for one frame of the device; called again and again until END.

        Must return within about two seconds and soon after `stop` is set.

        Raises:
            SourceError: the device failed.
        """

    @abc.abstractmethod
    def release(self) -> None:
        """Close the device; the thread has ended."""

    def watch(self, arrived: Callable[[Frame], None]) -> None:
        """Call `arrived` from the reader thread with every frame, overwritten ones included."""
        self._arrived = arrived

    def start(self) -> None:
        """Start the reader thread, unless it runs already or the source is closed."""
        if self._thread is None and not self._stop.is_set():
            # A daemon: some libraries' reads have no limit, and the program must end all the same.
            self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
            self._thread.start()

    def read(self, timeout_s: float) -> Frame | Ending:
        """Wait for a frame newer than the last one given."""
        self.start()
        found = self._slot.get(timeout_s)
        if isinstance(found, Outcome):
            return found
        dropped = self._slot.overwritten
        frame = dataclasses.replace(found, dropped_before=dropped - self._reported)
        self._reported = dropped
        return frame

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """Frames overwritten before anyone read them."""
        return self._slot.overwritten

    def close(self) -> None:
        """Stop and join the reader thread, then close the device.

        A thread that is stuck inside the device's library keeps it: closing it there could crash.
        """
        self._stop.set()
        self._slot.close(discard=True)
        if self._thread is not None:
            self._thread.join(JOIN_S)
            stuck, self._thread = self._thread.is_alive(), None
            if stuck:
                return
        self.release()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                found = self.fetch(self._stop)
                if found is Outcome.END:
                    break
                if isinstance(found, Frame):
                    if self._arrived is not None:
                        self._arrived(found)
                    self._slot.put(found)
        except EdgesegError as error:
            self._slot.close(error)
        except Exception as error:
            # The reader thread must hand over whatever went wrong; nobody else sees it.
            self._slot.close(SourceError(f"{self.uri} failed: {error!r}"))
        else:
            self._slot.close()
