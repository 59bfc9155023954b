"""Dashboard: the live page of a run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.runtime.closeable import Closeable
from edgeseg.runtime.dashboard.camera import CameraSink, Shadow
from edgeseg.runtime.dashboard.events import EventLog
from edgeseg.runtime.dashboard.metrics import KIND, metrics_text
from edgeseg.runtime.dashboard.page import page
from edgeseg.runtime.dashboard.series import Series
from edgeseg.runtime.http.address import Address
from edgeseg.runtime.http.server import Answer, Server
from edgeseg.runtime.sinks.base import Sink
from edgeseg.runtime.sources.base import Source
from edgeseg.runtime.telemetry import Sample, Telemetry, board, fingerprint, is_jetson
from edgeseg.runtime.telemetry.readings import ROOT

TICK_S = 1.0
FRAME_WAIT_S = 1.0
SILENT_S = 10.0
JOIN_S = 2.0
SYSTEM = ("memory", "power", "temperature", "gpu_load")
JSON = "application/json"


def no_shadow() -> None:
    """Tell nothing: no reference runs beside the model."""


class Dashboard(Closeable):
    """Serves the live page; `camera` gives a sink for each source of the run.

    Whatever viewers do, the loop only ever counts and now and then copies one frame.

    Args:
        address: where, and with which token.
        bundle: what runs.
        backend: what runs it, as its `io.to_json()` says.
        telemetry: watches the machine; None shows no figures of it.
        version: edgeseg's own.

    Raises:
        SinkError: the port is taken or not allowed.
    """

    def __init__(
        self,
        address: Address,
        bundle: Bundle,
        backend: Mapping[str, Any],
        telemetry: Telemetry | None = None,
        version: str = "",
    ) -> None:
        self._bundle = bundle
        self._backend = dict(backend)
        self._telemetry = telemetry
        self._version = version
        self._machine = board() or fingerprint()["cpu"] or backend.get("device")
        self._jetson = is_jetson(ROOT)
        self._cameras: list[CameraSink] = []
        self._log = EventLog()
        self._series = Series(SYSTEM)
        self._system: dict[str, Any] | None = None
        self._throttled: tuple[str, ...] = ()
        self._begin = time.monotonic()
        self._closing = threading.Event()
        paths = {
            "/": self._page,
            "/status": self._status,
            "/frame": self._frame,
            "/metrics": self._metrics,
            "/healthz": self._health,
        }
        # Whoever watches over the process needs no token to learn that it lives.
        self._server = Server(address, paths, self._closing, open_paths=("/healthz",))
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.url = f"http://{host}:{self._server.port}/"
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="edgeseg-dashboard"
        )
        self._thread.start()

    def camera(self, source: Source, shadow: Shadow = no_shadow) -> Sink:
        """Return a sink that shows one source.

        Args:
            source: open; its state and counters are read once a second.
            shadow: what shadow evaluation found so far: `agreement`, `miou`, `threshold`, `alarm`.
        """
        sink = CameraSink(len(self._cameras), source, self._bundle.spec, shadow, self._log)
        sink.tick(self._uptime())
        self._cameras.append(sink)
        return sink

    def close(self) -> None:
        """Drop the viewers and join every thread, within two seconds."""
        self._closing.set()
        for camera in self._cameras:
            camera.close()
        self._server.close()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _run(self) -> None:
        while not self._closing.wait(TICK_S):
            self.tick()

    def tick(self) -> None:
        """Work out the figures of the last second."""
        at_s = self._uptime()
        for camera in list(self._cameras):
            camera.tick(at_s)
        if self._telemetry is None:
            return
        sample = self._telemetry.latest()
        system = self._of(sample)
        memory = system["memory_bytes"]
        hottest = max((system["temperature_c"] or {}).values(), default=None)
        self._series.add(
            at_s,
            {
                "memory": None if memory is None else float(memory),
                "power": system["power_w"],
                "temperature": hottest,
                "gpu_load": system["gpu_load"],
            },
        )
        active = sample.throttle.active if sample.throttle is not None else ()
        for name in sorted(set(active) - set(self._throttled)):
            self._log.add(at_s, "throttle", None, f"{name} slows the machine")
        self._throttled = active
        self._system = system

    def _of(self, sample: Sample) -> dict[str, Any]:
        power, throttle = sample.power, sample.throttle
        drop = self._jetson and sample.memory_drop_bytes is not None
        method = "MemAvailable drop since before the backend" if drop else "PSS of the process"
        return {
            "machine": self._machine,
            "memory_bytes": sample.memory_drop_bytes if drop else sample.pss_bytes,
            "memory_method": method,
            "power_w": None if power is None else power.total_w,
            "power_method": None if power is None else power.method,
            "rails_w": None if power is None else dict(power.rails_w),
            "temperature_c": None if sample.temperature_c is None else dict(sample.temperature_c),
            "gpu_load": sample.clocks.gpu_load,
            "gpu_hz": sample.clocks.gpu_hz,
            "cpu_hz": sample.clocks.cpu_hz,
            "throttle": None
            if throttle is None
            else {"active": list(throttle.active), "events": dict(throttle.events)},
        }

    def _uptime(self) -> float:
        return time.monotonic() - self._begin

    def _document(self) -> dict[str, Any]:
        spec = self._bundle.spec
        return {
            "version": self._version,
            "uptime_s": self._uptime(),
            "bundle": {"name": self._bundle.name, "precision": self._bundle.precision},
            "backend": self._backend,
            "classes": [
                {"name": name, "rgb": list(colour)}
                for name, colour in zip(spec.class_names, spec.palette, strict=True)
            ],
            "cameras": [camera.status() for camera in self._cameras],
            "system": self._system,
        }

    def _page(self, query: Mapping[str, str]) -> Answer:
        body, policy = page()
        return Answer(body, "text/html; charset=utf-8", policy=policy)

    def _status(self, query: Mapping[str, str]) -> Answer:
        since = _number(query.get("since"), -1.0)
        document = self._document()
        for status, camera in zip(document["cameras"], self._cameras, strict=False):
            status["series"] = camera.series.since(since)
        document["series"] = self._series.since(since)
        document["events"] = self._log.to_json()
        return Answer(json.dumps(document, separators=(",", ":")).encode(), JSON)

    def _frame(self, query: Mapping[str, str]) -> Answer:
        number = int(_number(query.get("camera"), 0.0))
        if not 0 <= number < len(self._cameras):
            return Answer(b"no such camera\n", status=404)
        after = int(_number(query.get("after"), 0.0))
        found = self._cameras[number].pictures.after(after, FRAME_WAIT_S)
        if found is None:
            return Answer(status=204)
        return Answer(found.to_bytes(), "application/octet-stream")

    def _metrics(self, query: Mapping[str, str]) -> Answer:
        return Answer(metrics_text(self._document()).encode(), KIND)

    def _health(self, query: Mapping[str, str]) -> Answer:
        silent = [camera.status().get("silent_s") for camera in self._cameras]
        known = [seconds for seconds in silent if seconds is not None]
        ok = bool(known) and max(known) < SILENT_S and len(known) == len(silent)
        text = "ok" if ok else f"a source gave no frame in the last {SILENT_S:g} s"
        return Answer(f"{text}\n".encode(), status=200 if ok else 503)


def _number(text: str | None, default: float) -> float:
    """Return a query value as a number, the default for anything else."""
    try:
        value = float(text) if text else default
    except ValueError:
        return default
    return value if abs(value) < 1e15 else default
