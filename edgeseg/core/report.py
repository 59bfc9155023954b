"""The report of one run: what it measured, as an object and as JSON. It reads no clock."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.stage_times import Percentiles
from edgeseg.errors import UsageError

FORMAT = 1
STAGES = ("capture", "preprocess", "infer", "sink", "wait", "end_to_end")


@dataclasses.dataclass(frozen=True)
class BundleId:
    """Which bundle ran: name, SHA-256 of its graph, precision it was exported in."""

    name: str
    sha256: str
    precision: str


@dataclasses.dataclass(frozen=True)
class Memory:
    """Peak memory of a run.

    Attributes:
        method: how `peak_bytes` was measured; two peaks compare only under one method.
        peak_bytes: the headline figure.
        details: further readings in bytes, by name; an absent reading has no key.
    """

    method: str
    peak_bytes: int
    details: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Reference:
    """A row that ran in turn with this one, and how long this one took compared with it.

    Attributes:
        name: name of the other row.
        sha256: digest of the bundle it ran.
        backend: its runtime, with version.
        precision: the arithmetic it ran in.
        time_ratio: median over the rounds of this row's time over the other's; below 1 is faster.
        low: lower end of the ratio's 95 % interval.
        high: upper end.
        p90: 90th percentile of this row's single times, each over the other row's mean time in
            the same round, so that the machine's own ups and downs cancel.
        p99: 99th percentile.
    """

    name: str
    sha256: str
    backend: str
    precision: str
    time_ratio: float
    low: float
    high: float
    p90: float | None = None
    p99: float | None = None


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Scores of a run against truth, all 0-1.

    Attributes:
        n: scored frames.
        global_accuracy: G, share of right pixels.
        class_accuracy: C, mean over classes of the share of right pixels.
        miou: mean intersection over union.
        bf: boundary F1, None when it was not asked for.
        streaming_miou: mIoU of the newest prediction available when each labelled frame arrived;
            None unless a labelled source was replayed at a pace.
        per_class_iou: by class name; None for a class that truth and labels both lack.
    """

    n: int
    global_accuracy: float
    class_accuracy: float
    miou: float
    bf: float | None = None
    streaming_miou: float | None = None
    per_class_iou: Mapping[str, float | None] | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """One run, as written to JSON: times in ms, memory in bytes, ratios 0-1.

    Attributes:
        bundle: what ran.
        machine: fingerprint of where it ran; only equal fingerprints compare in absolute figures.
        source: the frame source, without credentials.
        frames: frames that got labels, warm-up not counted.
        dropped: frames overwritten by newer ones before they got labels; 0 for files.
        reconnects: times a live source was lost and found again.
        fps: (stamps - 1) / (last - first) of finished frames; None below two frames.
        latency_ms: by stage. `end_to_end` runs from the start of capture to the end of the sinks
            and includes `wait`, the time a frame stood between stages.
        memory: peak memory, None where it cannot be read.
        frame_age_ms: arrival to labels ready; None for files, whose frames have no age.
        power_w: by rail, None where no sensor can be read.
        temperature_c: by zone, None where no sensor can be read.
        energy: `joules_per_frame`, `mean_w` and `method`; None without a power sensor or when the
            run was too short for one.
        hardware: load, clocks, power method and what slowed the machine; a value that cannot be
            read is None. None when nothing was measured.
        accuracy: None without truth.
        rate: FPS and infer times over the run, and burst against sustained; None for short runs.
        connection: of a camera: its state at the end, its newest changes of state, and how many
            stale frames were refused; None for files and replays.
        shadow: agreement with a reference network that ran beside this one, None without one.
        flicker: how often labels change where the picture stands still; None when nothing stood.
        backend: runtime, its version, the precision that really ran, threads.
        run: how it ran: warm-up runs, why it stopped, errors of sinks.
        cost: what is known before anything runs: `bundle_bytes`, `onnx_bytes`, `params`, `macs`,
            `int8_conv_share`; a figure that cannot be read has no key.
        intervals: 95 % intervals of figures, by the name that `edgeseg gate` gives the figure.
        reference: a row measured in turn with this one.
    """

    bundle: BundleId
    machine: Mapping[str, Any]
    source: str
    frames: int
    dropped: int
    reconnects: int
    fps: float | None
    latency_ms: Mapping[str, Percentiles]
    memory: Memory | None
    frame_age_ms: Percentiles | None = None
    power_w: Mapping[str, float] | None = None
    temperature_c: Mapping[str, float] | None = None
    energy: Mapping[str, Any] | None = None
    hardware: Mapping[str, Any] | None = None
    accuracy: Accuracy | None = None
    rate: Mapping[str, Any] | None = None
    connection: Mapping[str, Any] | None = None
    shadow: Mapping[str, Any] | None = None
    flicker: Mapping[str, Any] | None = None
    backend: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cost: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    reference: Reference | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeseg stream --json`."""
        document = {"format": FORMAT, **dataclasses.asdict(self)}
        if self.memory is not None:
            memory = document["memory"]
            document["memory"] = {**memory.pop("details"), **memory}
        return document

    def _check(self) -> None:
        """Check the types; raise on a malformed report.

        Raises:
            TypeError: a field has another type than it is declared with.
        """
        figures: dict[str, object] = {
            "frames": self.frames,
            "dropped": self.dropped,
            "reconnects": self.reconnects,
        }
        if self.fps is not None:
            figures["fps"] = self.fps
        for stage, times in (*self.latency_ms.items(), ("frame age", self.frame_age_ms)):
            if times is not None:
                figures |= {f"{stage} {key}": one for key, one in vars(times).items()}
        if self.memory is not None:
            figures["peak_bytes"] = self.memory.peak_bytes
        for name, value in figures.items():
            if not _is_number(value):
                raise TypeError(f"{name} is {value!r}, expected a number")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Report:
        """Build a report from to_json's document; unknown keys of later versions are ignored.

        Raises:
            UsageError: the document is not a report, or has a format that this version cannot read.
        """
        try:
            if document["format"] != FORMAT:
                raise UsageError(
                    f"report format {document['format']!r}, this edgeseg reads {FORMAT}; "
                    "measure again with this version"
                )
            names = {field.name for field in dataclasses.fields(cls)}
            given = {key: value for key, value in document.items() if key in names}
            given["bundle"] = _known(BundleId, given["bundle"])
            given["latency_ms"] = {
                stage: _known(Percentiles, value) for stage, value in given["latency_ms"].items()
            }
            if given["memory"] is not None:
                details = dict(given["memory"])
                given["memory"] = Memory(details.pop("method"), details.pop("peak_bytes"), details)
            given["intervals"] = {
                name: (low, high) for name, (low, high) in given.get("intervals", {}).items()
            }
            kinds = (
                ("frame_age_ms", Percentiles),
                ("accuracy", Accuracy),
                ("reference", Reference),
            )
            for name, kind in kinds:
                if given.get(name) is not None:
                    given[name] = _known(kind, given[name])
            report = cls(**given)
            report._check()
            return report
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(
                f"the document is no report ({error!r}); give the JSON of edgeseg stream"
            ) from error


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON; the file appears complete or not at all."""
    atomic_write_text(path, json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")


def read_report(path: Path) -> Report:
    """Read a report that write_report or `edgeseg stream --json` wrote.

    Raises:
        UsageError: the file is missing, is not JSON, or is not a report.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a readable JSON report ({error})") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no report; give the JSON of edgeseg stream")
    return Report.from_json(document)


def _known(kind: type, document: Mapping[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in document.items() if key in names})
