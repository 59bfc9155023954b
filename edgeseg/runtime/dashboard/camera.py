"""CameraSink: a sink that keeps one source's figures for the page."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgeseg.core.spec import ModelSpec
from edgeseg.core.stage_times import StageTimes, frames_per_second, percentiles_ms
from edgeseg.core.text.redact import public_uri
from edgeseg.runtime.dashboard.events import EventLog
from edgeseg.runtime.dashboard.picture import PictureSlot
from edgeseg.runtime.dashboard.series import Series
from edgeseg.runtime.sinks.base import Prediction, Sink
from edgeseg.runtime.sources.base import Source

COLUMNS = ("fps", "infer", "infer_p99", "preprocess", "capture", "ready", "ready_p99", "age",
           "age_p99", "dropped", "agreement")  # fmt: skip
STAGES = ("capture", "preprocess", "infer", "ready")
RECENT = 1024  # frames behind the percentiles of the table
STAMPS = 4096
MEAN_S = 5.0
DROP_GAP_S = 5.0

# What shadow evaluation found so far: `agreement`, `miou`, `threshold`, `alarm`; None without it.
Shadow = Callable[[], Mapping[str, Any] | None]


class CameraSink(Sink):
    """Takes the predictions of one source for the page; never waits and never raises.

    Args:
        number: its place on the page.
        source: where the frames come from; only its counters are read.
        spec: names and colours of the classes.
        shadow: what shadow evaluation found so far.
        log: where drops and reconnections are written.
        clock: nanoseconds that only go forward, the loop's own.
    """

    def __init__(
        self,
        number: int,
        source: Source,
        spec: ModelSpec,
        shadow: Shadow,
        log: EventLog,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        # Sources cut credentials out themselves; a page that others see does not rely on it.
        self._name = public_uri(source.uri)
        self.uri = f"dashboard of {self._name}"
        self.spec = spec
        self.pictures = PictureSlot(spec.n_classes)
        self.series = Series(COLUMNS)
        self._number = number
        self._source = source
        self._shadow = shadow
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._frames = 0
        self._stamps: collections.deque[int] = collections.deque(maxlen=STAMPS)
        self._second: dict[str, list[int]] = {name: [] for name in (*STAGES, "age")}
        self._recent = {name: StageTimes(RECENT) for name in (*STAGES, "age")}
        self._dropped = 0
        self._noted = 0
        self._events_seen: tuple[Any, ...] = ()
        self._alarmed = False
        self._status: dict[str, Any] = {}

    def write(self, prediction: Prediction) -> None:
        """Count one prediction and offer its picture."""
        frame = prediction.frame
        took = prediction.took_ns()
        if self._source.live:
            took["age"] = took["ready"]
        with self._lock:
            self._frames += 1
            # The loop may overwrite a frame after the source gave it: only the frame knows both.
            self._dropped += frame.dropped_before
            self._stamps.append(self._clock())
            for name, duration in took.items():
                self._second[name].append(duration)
                self._recent[name].add(duration)
        self.pictures.offer(frame.rgb, prediction.labels, frame.index)

    def close(self) -> None:
        """Join the encoder's thread."""
        self.pictures.close()

    def tick(self, at_s: float) -> None:
        """Work out the figures of the second that ended; called once a second.

        Args:
            at_s: seconds since the page was opened.
        """
        now = self._clock()
        with self._lock:
            second, self._second = self._second, {name: [] for name in self._second}
            recent = {name: times.percentiles() for name, times in self._recent.items()}
            stamps = [stamp for stamp in self._stamps if now - stamp <= MEAN_S * 1e9]
            newest = list(self._stamps)[-2:]
            frames, dropped = self._frames, self._dropped
            last = self._stamps[-1] if self._stamps else None
        source = self._source
        shadow = self._shadow()
        if len(stamps) < 2 and len(newest) == 2 and now - newest[1] < 2 * (newest[1] - newest[0]):
            # Slower than the window is long, and going on.
            stamps = newest
        fps = frames_per_second(len(stamps), stamps[0], stamps[-1]) if stamps else None
        row: dict[str, float | None] = {
            "fps": fps if fps is not None or not frames else 0.0,
            "dropped": float(dropped - self._noted) if source.live else None,
            "agreement": None if shadow is None else shadow.get("agreement"),
        }
        for name, values in second.items():
            found = percentiles_ms(values)
            if found is not None:
                row |= {name: found.p50, f"{name}_p99": found.p99}
        self.series.add(at_s, row)
        self._note(at_s, dropped, shadow)
        self._noted = dropped
        self._status = {
            "source": self._name,
            "live": source.live,
            "state": source.state.value if source.state is not None else None,
            "frames": frames,
            "fps": row["fps"],
            "source_fps": source.fps,
            "length": source.length,
            "dropped": dropped,
            "refused": source.refused,
            "reconnects": source.reconnects,
            "latency_ms": {name: vars(recent[name]) for name in STAGES if recent[name]},
            "frame_age_ms": vars(recent["age"]) if recent["age"] else None,
            "silent_s": None if last is None else (now - last) / 1e9,
            "shadow": None if shadow is None else dict(shadow),
        }

    def status(self) -> dict[str, Any]:
        """Return the figures of the last tick; JSON."""
        return {**self._status, "shares": self.pictures.shares}

    def _note(self, at_s: float, dropped: int, shadow: Mapping[str, Any] | None) -> None:
        if dropped > self._noted:
            text = "frames dropped: a newer one came before they were taken"
            count = dropped - self._noted
            self._log.add(at_s, "drop", self._number, text, count=count, within_s=DROP_GAP_S)
        events = tuple(self._source.events)
        for event in [event for event in events if event not in self._events_seen]:
            reason = f": {public_uri(event.reason)}" if event.reason else ""
            self._log.add(at_s, "source", self._number, f"{event.state.value}{reason}")
        self._events_seen = events
        alarmed = bool(shadow and shadow.get("alarm"))
        if shadow is not None and alarmed != self._alarmed:
            word = "fell below" if alarmed else "is back above"
            threshold = shadow.get("threshold")
            kind = "alarm" if alarmed else "over"
            self._log.add(at_s, kind, self._number, f"agreement {word} {threshold}")
        self._alarmed = alarmed
