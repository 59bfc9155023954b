"""Shadow evaluation: compares the fast network with a reference where there are no labels."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.metrics.confusion import ConfusionMatrix
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import EdgesegError, UsageError
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.single_slot import Outcome, SingleSlot
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.streaming.hard_frames import HardFrames
from edgeseg.runtime.streaming.observer import Observer

LOWEST_PRIORITY = 19
RECENT = 10  # compared frames whose mean raises the alarm: one odd frame must not
SERIES = 512
JOIN_S = 30.0
HURRY_S = 1.0
POLL_S = 0.05
THREAD = "edgeseg-shadow"


@dataclasses.dataclass(frozen=True)
class ShadowOptions:
    """How a shadow runs.

    Attributes:
        every: compare one frame of so many.
        alarm: mean agreement of the last RECENT compared frames below which the alarm is on.
        alert: called with one line when the alarm goes on, from the worker thread.
        hurry: once it is set, the end waits HURRY_S for the worker and no longer.
    """

    every: int = 30
    alarm: float | None = None
    alert: Callable[[str], None] = lambda line: None
    hurry: threading.Event = dataclasses.field(default_factory=threading.Event)


class Shadow(Observer):
    """Runs every Nth frame through a reference as well and compares the labels.

    The reference runs in one thread of the lowest priority. A frame that is due while it is busy
    is skipped and counted, so the camera never waits. Agreement is the share of pixels with equal
    labels; mIoU takes the reference's labels for truth. Neither is accuracy: both networks may be
    wrong together. But a fall of either says that this camera now shows what the fast network has
    not learnt, or what its ranges do not hold.

    Args:
        open_reference: opens the reference; called in the worker, which also closes it.
        bundle: what the reference runs.
        spec: of the network in front; its classes must be the reference's.
        options: how often, and when to warn.
        harvest: where the frames with the least agreement go.

    Raises:
        UsageError: the classes differ.
    """

    name = "shadow"

    def __init__(
        self,
        open_reference: Callable[[], Backend],
        bundle: Bundle,
        spec: ModelSpec,
        options: ShadowOptions,
        harvest: HardFrames | None = None,
    ) -> None:
        if bundle.spec.class_names != spec.class_names:
            raise UsageError(
                f"the shadow {bundle.name} has the classes {', '.join(bundle.spec.class_names)}, "
                f"the bundle has {', '.join(spec.class_names)}; give one of the same classes"
            )
        self._open = open_reference
        self._bundle = bundle
        self._options = options
        self._harvest = harvest
        self._counts = ConfusionMatrix(spec.n_classes, spec.ignore_index)
        self._recent: collections.deque[float] = collections.deque(maxlen=RECENT)
        self._series: list[tuple[int, float]] = []
        self._series_every = 1
        self._seen = 0
        self._due = 0
        self._n = 0
        self._sum = 0.0
        self._miou: float | None = None
        self._alarms = 0
        self._alarm_on = False
        self._first_alarm: int | None = None
        self._saved = 0
        self._precision = ""
        self._error: str | None = None
        self._failed = False
        self._slot: SingleSlot[Prediction] = SingleSlot(newest=True)
        # A daemon: a reference inside a runtime's library cannot be broken off, and the program
        # must be able to end without it.
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name=THREAD, daemon=True
        )
        self._thread.start()

    def add(self, prediction: Prediction) -> None:
        """Hand every Nth prediction to the worker."""
        due = self._seen % self._options.every == 0
        self._seen += 1
        if due:
            self._due += 1
            self._slot.put(prediction)

    @property
    def agreement(self) -> float | None:
        """Mean agreement of the newest compared frames, None before the first."""
        recent = list(self._recent)
        return sum(recent) / len(recent) if recent else None

    def status(self) -> dict[str, Any]:
        """Return what is known so far, for a page that shows the run."""
        return {
            "agreement": self.agreement,
            "miou": self._miou,
            "threshold": self._options.alarm,
            "alarm": self._alarm_on,
        }

    def result(self) -> dict[str, Any]:
        """Wait for the frame that is being compared and return the figures."""
        self.close()
        return {
            "reference": {
                "name": self._bundle.name,
                "sha256": self._bundle.digest,
                "precision": self._precision or self._bundle.precision,
            },
            "every": self._options.every,
            "n": self._n,
            "skipped": self._due - self._n,
            "agreement": self._sum / self._n if self._n else None,
            "recent_agreement": self.agreement,
            "miou": self._miou,
            "trend_per_1000_frames": self._trend(),
            "series": [[index, round(value, 5)] for index, value in self._series],
            "alarm": self._options.alarm,
            "alarms": self._alarms,
            "alarm_on": self._alarm_on,
            "first_alarm_frame": self._first_alarm,
            "harvested": self._saved if self._harvest is not None else None,
            "error": self._error,
            "failed": self._failed,
        }

    def close(self) -> None:
        """Let the worker finish its frame and join it; leave it behind when that takes too long."""
        self._slot.close(discard=self._options.hurry.is_set())
        if self._thread is None:
            return
        begin = hurried = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - begin < JOIN_S:
            self._thread.join(POLL_S)
            if not self._options.hurry.is_set():
                hurried = time.monotonic()
            elif time.monotonic() - hurried > HURRY_S:
                break
        if self._thread.is_alive():
            self._error = "the reference was still busy when the run ended"
        self._thread = None

    def _run(self) -> None:
        # A thread's own priority on Linux; a whole process elsewhere, so leave it there.
        if hasattr(os, "setpriority") and hasattr(threading, "get_native_id"):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        try:
            with self._open() as reference:
                self._precision = reference.io.precision
                while not isinstance(found := self._slot.get(), Outcome):
                    self._compare(reference, found)
        except Exception as error:
            # A shadow that fails must not stop the camera; the report says why it ended.
            self._failed = True
            self._error = str(error) if isinstance(error, EdgesegError) else repr(error)
            self._slot.close(discard=True)

    def _compare(self, reference: Backend, prediction: Prediction) -> None:
        frame, spec = prediction.frame, self._bundle.spec
        fitted, placement = fit_rgb(frame.rgb, spec.size_hw, spec.preprocess.resize)
        labels = placement.invert_labels(reference.infer(fitted[None])[0])
        agreement = float(np.count_nonzero(labels == prediction.labels)) / labels.size
        self._counts.update(labels, prediction.labels)
        # Worked out here: counts must not be read by one thread while another adds to them.
        miou = self._counts.scores().miou
        self._miou = None if np.isnan(miou) else miou
        self._n += 1
        self._sum += agreement
        self._note(frame.index, agreement)
        if self._harvest is not None:
            saved = self._harvest.offer(frame.rgb, labels, index=frame.index, agreement=agreement)
            self._saved += saved
        self._watch(frame.index, agreement)

    def _watch(self, index: int, agreement: float) -> None:
        self._recent.append(agreement)
        limit, recent = self._options.alarm, self.agreement
        if limit is None or recent is None or len(self._recent) < RECENT:
            return
        if recent < limit and not self._alarm_on:
            self._alarms += 1
            if self._first_alarm is None:
                self._first_alarm = index
            self._options.alert(
                f"frame {index}: agreement with {self._bundle.name} fell to {recent:.4f}, below "
                f"{limit:g}"
            )
        self._alarm_on = recent < limit

    def _note(self, index: int, agreement: float) -> None:
        if (self._n - 1) % self._series_every == 0:
            self._series.append((index, agreement))
        if len(self._series) >= SERIES:
            # Every second one goes, so that a day's run fits too.
            del self._series[1::2]
            self._series_every *= 2

    def _trend(self) -> float | None:
        """Return the slope of agreement over frames, by least squares; None below three points."""
        if len(self._series) < 3:
            return None
        index, value = np.array(self._series, np.float64).T
        spread = float(np.square(index - index.mean()).sum())
        if spread == 0:
            return None
        slope = float(((index - index.mean()) * (value - value.mean())).sum()) / spread
        return slope * 1000
