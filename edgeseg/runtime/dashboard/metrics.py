"""Writes the page's figures in Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeseg.core.text.names import prometheus

KIND = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES = (("p50", "0.5"), ("p90", "0.9"), ("p99", "0.99"))
STATES = ("connecting", "live", "stale", "lost")


def metrics_text(status: Mapping[str, Any]) -> str:
    """Return the document of /status as metrics; what is unknown has no line."""
    page = _Page()
    bundle = status["bundle"]
    page.add("build_info", "gauge", "What runs.", 1, bundle=bundle["name"],
             precision=bundle["precision"], version=status["version"])  # fmt: skip
    page.add("uptime_seconds", "gauge", "Time since the page was opened.", status["uptime_s"])
    for number, camera in enumerate(status["cameras"]):
        _camera(page, number, camera, [one["name"] for one in status["classes"]])
    _system(page, status["system"])
    return page.text()


def _camera(page: _Page, number: int, camera: Mapping[str, Any], classes: list[str]) -> None:
    # The number too: what tells two cameras of one recorder apart may be a secret that is left out.
    of = {"camera": str(number), "source": camera["source"]}
    for key, name, text in (
        ("frames", "frames_total", "Frames that got labels."),
        ("dropped", "frames_dropped_total", "Frames overwritten by newer ones."),
        ("refused", "frames_refused_total", "Frames that came too late to be shown."),
        ("reconnects", "reconnects_total", "Times the source was lost and found again."),
    ):
        page.add(name, "counter", text, camera[key], **of)
    page.add("fps", "gauge", "Frames per second over five seconds.", camera["fps"], **of)
    for stage, found in camera["latency_ms"].items():
        for key, quantile in QUANTILES:
            page.add("latency_seconds", "gauge", "Duration of a stage over recent frames.",
                     found[key] / 1e3, **of, stage=stage, quantile=quantile)  # fmt: skip
    for key, quantile in QUANTILES if camera["frame_age_ms"] else ():
        page.add("frame_age_seconds", "gauge", "Arrival to labels ready.",
                 camera["frame_age_ms"][key] / 1e3, **of, quantile=quantile)  # fmt: skip
    for state in STATES if camera["state"] else ():
        page.add("source_state", "gauge", "1 for the state the source is in.",
                 int(camera["state"] == state), **of, state=state)  # fmt: skip
    for name, share in zip(classes, camera["shares"] or (), strict=False):
        page.add("class_pixels_ratio", "gauge", "Share of a recent frame's pixels.",
                 share, **of, **{"class": name})  # fmt: skip
    shadow = camera["shadow"] or {}
    page.add("agreement_ratio", "gauge", "Pixels labelled as the reference labels them.",
             shadow.get("agreement"), **of)  # fmt: skip


def _system(page: _Page, system: Mapping[str, Any] | None) -> None:
    if system is None:
        return
    page.add("memory_bytes", "gauge", "Memory by the method the page names.",
             system["memory_bytes"], method=system["memory_method"])  # fmt: skip
    page.add("power_watts", "gauge", "Power of the whole, by the page's method.", system["power_w"])
    for rail, watts in (system["rails_w"] or {}).items():
        page.add("rail_watts", "gauge", "Power by rail.", watts, rail=rail)
    for zone, degrees in (system["temperature_c"] or {}).items():
        page.add("temperature_celsius", "gauge", "Temperature by zone.", degrees, zone=zone)
    page.add("gpu_load_ratio", "gauge", "Share of time the GPU was busy.", system["gpu_load"])
    page.add("gpu_clock_hertz", "gauge", "GPU clock.", system["gpu_hz"])
    throttle = system["throttle"]
    if throttle is not None:
        page.add("throttled", "gauge", "1 while a cooling device slows the machine.",
                 int(bool(throttle["active"])))  # fmt: skip
        for name, count in throttle["events"].items():
            page.add("throttle_events_total", "counter", "Over-current and thermal events.",
                     count, event=name)  # fmt: skip


class _Page:
    """Collects samples by metric, since all of one metric must stand together."""

    def __init__(self) -> None:
        self._metrics: dict[str, list[str]] = {}

    def add(
        self, name: str, kind: str, text: str, value: float | int | None, **labels: str
    ) -> None:
        if value is None:
            return
        name = f"edgeseg_{name}"
        lines = self._metrics.setdefault(name, [f"# HELP {name} {text}", f"# TYPE {name} {kind}"])
        inside = ",".join(f'{key}="{prometheus(label)}"' for key, label in labels.items())
        lines.append(f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}")

    def text(self) -> str:
        return "".join("\n".join(lines) + "\n" for lines in self._metrics.values())
