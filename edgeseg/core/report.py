"""The report of one run: what it measured, as an object and as JSON. It reads no clock."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.bounded import read_json
from edgeseg.core.stage_times import Percentiles
from edgeseg.errors import UsageError

FORMAT = 1
# No figure of a run comes near the first; a float holds the second.
MOST, MOST_ANYWHERE = 10**18, 10**300
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
        latency_ms: by stage. `wait` is the time a frame stood between stages. `end_to_end` of a
            camera runs from the start of capture to the end of the sinks, `wait` included; files
            are read ahead, and there it is the sum of the stages without `wait`.
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
        """Check types and ranges of all that a gate looks at; raise on what no run can give.

        Raises:
            ValueError: a field has another type than it is declared with, or an impossible value.
        """
        _check_texts(self)
        for name in ("frames", "dropped", "reconnects"):
            _number(name, getattr(self, name), whole=True)
        if self.fps is not None:
            _number("fps", self.fps, above=True)
        for stage, times in (*self.latency_ms.items(), ("frame_age", self.frame_age_ms)):
            if times is not None:
                # No network takes no time; a stage that does nothing may.
                _check_times(stage, times, above=stage == "infer")
        if self.memory is not None:
            _text("memory.method", self.memory.method)
            _number("peak_bytes", self.memory.peak_bytes, whole=True, above=True)
            for name, more in self.memory.details.items():
                _number(f"memory.{name}", more, low=-math.inf)
        if self.accuracy is not None:
            _check_accuracy(self.accuracy)
        for name, value in self.cost.items():
            share = name.endswith("_share")
            most = 1.0 if share else float(MOST)
            _number(f"cost.{name}", value, high=most, above=name.endswith("_bytes"))
        for name, (low, high) in self.intervals.items():
            _number(f"the lower end of {name}", low)
            _number(f"the upper end of {name}", high, low=float(low))
        if self.reference is not None:
            _check_reference(self.reference)
        if self.energy is not None:
            _text("energy.method", self.energy.get("method"))
            for name in ("joules_per_frame", "mean_w"):
                _number(f"energy.{name}", self.energy.get(name), above=True)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Report:
        """Build a report from to_json's document; unknown keys of later versions are ignored.

        Raises:
            UsageError: the document is not a report, or has a format that this version cannot read.
        """
        try:
            _check_finite(document)
            if document["format"] != FORMAT or isinstance(document["format"], bool):
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
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            said = str(error) if type(error) is ValueError else repr(error)
            raise UsageError(
                f"the document is no report ({said}); give the JSON of edgeseg stream or bench"
            ) from error


def _number(
    name: str,
    value: object,
    *,
    low: float = 0.0,
    high: float = float(MOST),
    whole: bool = False,
    above: bool = False,
) -> None:
    """Raise ValueError unless a value is a finite number from `low` to `high`.

    Args:
        name: of the field.
        value: what the document holds.
        low: smallest value.
        high: largest value.
        whole: whether it counts something.
        above: whether it must lie above `low`.
    """
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"{name} is {value!r}, expected a {'whole ' if whole else ''}number")
    if not low <= value <= high or (above and value == low):
        words = "above" if above else "of at least"
        end = f" and at most {high:g}"
        raise ValueError(f"{name} is {value!r}, expected a number {words} {low:g}{end}")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}, expected a text")


def _check_texts(report: Report) -> None:
    for name, value in vars(report.bundle).items():
        _text(f"bundle.{name}", value)
    _text("source", report.source)
    for name in ("machine", "backend", "run", "cost", "energy", "hardware"):
        value = getattr(report, name)
        absent = value is None and name in ("energy", "hardware")
        if not absent and not isinstance(value, Mapping):
            raise ValueError(f"{name} is {value!r}, expected an object")
    for name in ("live",):
        if not isinstance(report.run.get(name, False), bool):
            raise ValueError(f"run.{name} is {report.run[name]!r}, expected true or false")
    if "name" in report.run:
        _text("run.name", report.run["name"])


def _check_times(stage: str, times: Percentiles, *, above: bool) -> None:
    for name, value in vars(times).items():
        _number(f"{stage} {name}", value, above=above)
    if not times.p50 <= times.p90 <= times.p99:
        raise ValueError(f"{stage} has p50, p90 and p99 that do not rise: {vars(times)}")


def _check_accuracy(accuracy: Accuracy) -> None:
    _number("accuracy.n", accuracy.n, whole=True, above=True)
    for name in ("global_accuracy", "class_accuracy", "miou", "bf", "streaming_miou"):
        value = getattr(accuracy, name)
        if value is not None or name not in ("bf", "streaming_miou"):
            _number(f"accuracy.{name}", value, high=1.0)
    if accuracy.per_class_iou is None:
        return
    for name, iou in accuracy.per_class_iou.items():
        if iou is not None:
            _number(f"the IoU of {name}", iou, high=1.0)
    if all(iou is None for iou in accuracy.per_class_iou.values()):
        raise ValueError("no class has an IoU, and the document has a mean of them")


def _check_reference(reference: Reference) -> None:
    for name in ("name", "sha256", "backend", "precision"):
        _text(f"reference.{name}", getattr(reference, name))
    for name in ("low", "time_ratio", "high", "p90", "p99"):
        value = getattr(reference, name)
        if value is not None or name not in ("p90", "p99"):
            _number(f"reference.{name}", value, above=True)
    if not reference.low <= reference.time_ratio <= reference.high:
        raise ValueError("reference.time_ratio lies outside its own interval")
    if None not in (found := (reference.p90, reference.p99)) and not found[0] <= found[1]:  # type: ignore[operator]
        raise ValueError("reference.p90 is above reference.p99")


def _check_finite(value: object, name: str = "") -> None:
    """Raise ValueError on the first number that is infinite or none, at any depth."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_finite(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for each in value:
            _check_finite(each, name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, expected a finite number")
    elif isinstance(value, int) and abs(value) > MOST_ANYWHERE:
        raise ValueError(f"{name} has {len(hex(value))} digits, expected a number of a run")


def class_ious(report: Report) -> Mapping[str, float | None]:
    """Return IoU by class name; empty where the report has none."""
    return (report.accuracy.per_class_iou if report.accuracy else None) or {}


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON; the file appears complete or not at all."""
    atomic_write_text(path, json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")


def read_report(path: Path) -> Report:
    """Read a report that write_report or `edgeseg stream --json` wrote.

    Raises:
        UsageError: the file is missing, is not JSON, or is not a report.
    """
    return Report.from_json(read_document(path))


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON document of edgeseg: no NaN, no infinity, no name twice.

    Raises:
        UsageError: the file is missing, too large, or holds no such JSON object.
    """
    advice = "give the report of edgeseg stream or bench as JSON"
    document = read_json(path, UsageError, advice=advice)
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no report; {advice}")
    return document


def _known(kind: type, document: Mapping[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in document.items() if key in names})
