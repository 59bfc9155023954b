"""Prints a report as tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from edgeseg.core.metrics import fewer_classes
from edgeseg.core.report import STAGES, Report
from edgeseg.core.stage_times import Percentiles
from edgeseg.core.text.names import one_line

PIPE_WIDTH = 120
MIB = 1 << 20
# Further readings of a report's memory and how they are called.
MEMORY = {
    "mem_available_drop_bytes": "MemAvailable fell",
    "pss_bytes": "PSS",
    "nvmap_rise_bytes": "NvMap rose",
    "nvmap_process_bytes": "NvMap of the process",
    "engine_device_bytes": "engine's scratch",
    "engine_file_bytes": "engine's file",
}


def print_report(report: Report) -> None:
    """Print a report as tables on standard output."""
    # Imported here: a JSON run does not pay for it.
    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    # Names may hold brackets, which would be read as styles.
    console = Console(width=width, highlight=False, markup=False)
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _facts(report):
        facts.add_row(one_line(name), one_line(value), style=None)
    console.print(facts)
    if report.latency_ms or report.frame_age_ms:
        times = Table(box=box.SIMPLE_HEAD)
        for column, justify in (
            ("ms", "left"),
            ("p50", "right"),
            ("p90", "right"),
            ("p99", "right"),
        ):
            times.add_column(column, justify=justify)  # type: ignore[arg-type]
        series = [(_stage(name), report.latency_ms.get(name)) for name in STAGES]
        for name, found in (*series, ("frame age", report.frame_age_ms)):
            if found is not None:
                times.add_row(name, *_figures(found))
        console.print(times)
        if not report.run.get("live"):
            console.print("Files are read ahead: end to end is the sum of the stages, no queue.")


def _stage(name: str) -> str:
    return "queue" if name == "wait" else name.replace("_", " ")


def _facts(report: Report) -> list[tuple[str, str]]:
    backend, run, accuracy = report.backend, report.run, report.accuracy
    bundle = report.bundle
    rows = [
        ("bundle", f"{bundle.name} ({bundle.precision}, {bundle.sha256[:12]})"),
        (
            "runs on",
            f"{backend.get('runtime', 'unknown')} in {backend.get('precision', 'unknown')}, "
            f"{backend.get('device', 'unknown device')}, "
            f"threads {backend.get('threads') or 'as the runtime chooses'}",
        ),
        ("source", report.source),
        (
            "frames",
            f"{report.frames}, dropped {report.dropped}, "
            f"warm-up {run.get('warmup_runs', 0)} runs before and not counted",
        ),
    ]
    # What this machine cannot read has no line; in the JSON it is null.
    if report.fps is not None:
        rows.append(("FPS", f"{report.fps:.2f}"))
    memory = report.memory
    if memory is not None:
        rows.append(("memory", f"{memory.peak_bytes / MIB:.1f} MiB ({memory.method})"))
    details = {} if memory is None else memory.details
    found = [f"{words} {details[k] / MIB:.1f} MiB" for k, words in MEMORY.items() if k in details]
    if found:
        rows.append(("further", ", ".join(found)))
    for name, readings, unit in (
        ("power", report.power_w, "W"),
        ("temperature", report.temperature_c, "°C"),
    ):
        text = ", ".join(f"{key} {value:.1f} {unit}" for key, value in (readings or {}).items())
        rows += [(name, text)] if text else []
    energy, hardware = report.energy, report.hardware or {}
    if energy is not None:
        text = f"{energy['joules_per_frame']:.3f} J per frame ({energy['method']})"
        rows.append(("energy", text))
    load, throttling = hardware.get("gpu_load"), hardware.get("throttling")
    rows += [] if load is None else [("GPU load", f"{load:.0%}")]
    rows += [] if throttling is None else [("throttled by", _slowed(throttling))]
    if accuracy is None:
        rows.append(("accuracy", "none: no labelled frame was scored"))
    else:
        scores = [("mIoU", accuracy.miou), ("G", accuracy.global_accuracy)]
        scores += [("C", accuracy.class_accuracy)]
        scores += [("BF", accuracy.bf)] if accuracy.bf is not None else []
        if accuracy.streaming_miou is not None:
            scores.append(("streaming mIoU", accuracy.streaming_miou))
        text = ", ".join(f"{name} {value:.4f}" for name, value in scores)
        rows.append(("accuracy", f"{text} over {accuracy.n} frames"))
        if said := fewer_classes((accuracy.per_class_iou or {}).values()):
            rows.append(("", said))
    rows += stream_facts(report)
    rows += [("written", f"{s['path']}: {s['held']}{_lost(s)}") for s in run.get("sinks", ())]
    if run.get("ended_by") not in (None, "end"):
        rows.append(("ended by", run["ended_by"]))
    return rows


def _lost(left: Mapping[str, Any]) -> str:
    return "" if left["held"] >= left["wrote"] else f" of {left['wrote']} can be read back"


def _slowed(throttling: Mapping[str, Any]) -> str:
    events = [f"{name} {count} times" for name, count in throttling["events"].items() if count]
    return ", ".join([*throttling["slowed_by"], *events]) or "nothing"


def _figures(series: Percentiles) -> tuple[str, str, str]:
    return f"{series.p50:.2f}", f"{series.p90:.2f}", f"{series.p99:.2f}"


def stream_facts(report: Report) -> list[tuple[str, str]]:
    """Return rows of a name and a text; none for what the run did not have."""
    rows = []
    if report.run.get("crf"):
        rows.append(("dense CRF", _crf(report)))
    if report.connection is not None:
        found = report.connection
        rows.append(
            (
                "camera",
                f"{found['state']} at the end, {report.reconnects} reconnects, "
                f"{found['refused']} stale frames refused",
            )
        )
    if report.rate is not None:
        rate = report.rate
        text = f"burst {rate['burst_fps']:.2f} FPS, sustained {rate['sustained_fps']:.2f}"
        if rate["fps_drift"] is not None:
            text += f", drift {100 * rate['fps_drift']:+.1f} %"
        if rate["infer_drift"] is not None:
            text += f" (infer time {100 * rate['infer_drift']:+.1f} %)"
        rows.append(("over time", f"{text} in {rate['seconds']:.0f} s"))
    if report.flicker is not None:
        flicker = report.flicker
        rows.append(
            (
                "flicker",
                f"{flicker['rate']:.4f} of the labels change where the picture stands still "
                f"({100 * flicker['still_share']:.0f} % of it)",
            )
        )
    if report.shadow is not None:
        rows += _shadow(report)
    return rows


def _crf(report: Report) -> str:
    found = report.run["crf"]
    if found["ms_per_frame"] is None:
        return "no frame was refined"
    text = f"{found['ms_per_frame']:.0f} ms a frame"
    infer = report.latency_ms.get("infer")
    if infer is not None and infer.p50 > 0:
        text += f", {min(1.0, found['ms_per_frame'] / infer.p50):.0%} of infer"
    return text


def _shadow(report: Report) -> list[tuple[str, str]]:
    found = report.shadow or {}
    reference = found["reference"]["name"]
    if found["agreement"] is None:
        why = found["error"] or "too short"
        text = f"nothing compared with {reference}, {found['skipped']} frames were due: {why}"
        return [("shadow", text)]
    text = f"agreement {found['agreement']:.4f}, mIoU {found['miou']:.4f} against {reference}"
    text += f" over {found['n']} frames, {found['skipped']} skipped"
    if found["trend_per_1000_frames"] is not None:
        text += f"; trend {found['trend_per_1000_frames']:+.4f} per 1000 frames"
    rows = [("shadow", text)]
    if found["alarms"]:
        rows.append(
            (
                "alarm",
                f"below {found['alarm']:g} {found['alarms']} times, first at frame "
                f"{found['first_alarm_frame']}{', still on' if found['alarm_on'] else ''}",
            )
        )
    if found["harvested"] is not None:
        rows.append(("harvest", f"{found['harvested']} frames saved"))
    if found["error"]:
        rows.append(("shadow ended", found["error"]))
    return rows
