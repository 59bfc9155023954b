"""The engine cache: one plan per machine, TensorRT, graph and options, with a sidecar of facts.

FOLDER/NAME/PRECISION-KEY.plan   what TensorRT runs; works on this GPU with this TensorRT only
FOLDER/NAME/PRECISION-KEY.json   the key, the plan's SHA-256, the layers
FOLDER/NAME/PRECISION-KEY.layers.json  the inspector's JSON, as trtexec --exportLayerInfo writes it
FOLDER/NAME/PRECISION-KEY.failed why the last build failed; it is not tried again by itself
FOLDER/NAME/fastest.json         the engine that `edgeseg build` found fastest here
FOLDER/timing-….cache            times of kernels, which make the next build short
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.files import atomic_write_bytes, atomic_write_text, sha256_file
from edgeseg.core.files.bounded import read_json
from edgeseg.core.packages import is_installed
from edgeseg.core.text.names import component
from edgeseg.errors import BackendError, UsageError
from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.runtime.engine.build import BuildRequest, Built, build_plan
from edgeseg.runtime.engine.failure import Failure
from edgeseg.runtime.engine.graph_choice import Graph, graph_of, note_of
from edgeseg.runtime.engine.layer_report import LayerReport
from edgeseg.runtime.engine.subprocess_call import call_in_subprocess
from edgeseg.runtime.engine.tensorrt_api import reads_int8_weights
from edgeseg.runtime.telemetry import ROOT, fingerprint

FORMAT = 1
# Of the folders that are made here.
PRIVATE = 0o700
LAYERS = ".layers.json"
# Below a user's home, as other tools' caches; the command line reads EDGESEG_CACHE.
DEFAULT_CACHE = Path(".cache") / "edgeseg" / "engines"
WORKSPACE_BYTES = 1 << 30
# As a precision: the recorded winner, else the bundle's own, else FP16.
AUTO = "auto"
# Raise this when strip_quantization.py writes another graph: earlier baselines are stale then.
UNQUANTIZED_REVISION = 2
# The same for core/fp16islands.py, where the bundle leaves that form to the board.
HALVED_REVISION = 1
# The same for core/graph/float_weights.py.
FLOAT_WEIGHTS_REVISION = 1
LOG = logging.getLogger("edgeseg.engine")


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """How an engine is built; every field is part of the cache's key.

    Attributes:
        precision: "int8", "fp16" or "fp32"; empty takes the bundle's own. Lower ones of an INT8
            bundle run the same weights without its quantization, for comparison.
        workspace_bytes: most scratch memory a kernel may want. On a Jetson it is main memory.
        level: builder optimization level 0-5; -1 leaves TensorRT's own, 3.
        plugin: library with plugins that the graph names, None for none.
        edits: keys of EDITS (core/graph/engine_edits.py), done to the graph before it is built.
    """

    precision: str = ""
    workspace_bytes: int = WORKSPACE_BYTES
    level: int = -1
    plugin: Path | None = None
    edits: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Engine:
    """A plan on disk that fits this machine.

    Attributes:
        path: the plan.
        sha256: of the plan.
        key: what it was built for.
        layers: what its layers compute in.
        facts: seconds the build took, device memory, warnings, notes, DLA.
        reason: why it was built now; empty when it was there already.
    """

    path: Path
    sha256: str
    key: Mapping[str, Any]
    layers: LayerReport
    facts: Mapping[str, Any]
    reason: str = ""

    @property
    def memory(self) -> dict[str, int]:
        """Return the plan's size and, where TensorRT says it, its scratch memory on the device."""
        found = {"engine_file_bytes": self.path.stat().st_size}
        scratch = self.facts.get("device_memory_bytes")
        return found if scratch is None else {**found, "engine_device_bytes": int(scratch)}


def engine_from_bundle(
    bundle: Bundle,
    options: EngineOptions,
    gpu: Gpu,
    cache: Path,
    *,
    version: str,
    strongly_typed: bool,
    rebuild: str = "",
    retry: bool = False,
    root: Path = ROOT,
    progress: Callable[..., None] = lambda *args: None,
    build: Callable[..., Built] | None = None,
) -> Engine:
    """Return the cached engine of a bundle, or build it.

    Args:
        bundle: what to build.
        options: how.
        gpu: the device, which must have been found before TensorRT was imported.
        cache: folder of the engines.
        version: TensorRT's version.
        strongly_typed: whether this TensorRT takes every type from the graph.
        rebuild: a reason to build although a plan is there, empty for none.
        retry: build although the last build of this very engine failed.
        root: the file system's root, another one in tests.
        progress: told (done, total, note) while it builds.
        build: builds a plan from a BuildRequest; by default in a process of its own.

    Raises:
        UsageError: the precision cannot be built from this bundle.
        BackendError: TensorRT refused the graph, ran out of memory or ended its process.
    """
    graph = graph_of(bundle, options.precision or bundle.precision, strongly_typed=strongly_typed)
    key = engine_key(graph, options, gpu, version=version, root=root)
    folder = cache / component(bundle.name)
    plan = folder / f"{graph.precision}-{_digest(key)}.plan"
    if not rebuild and not _stale(plan, key):
        return _read(plan)
    failure = Failure(plan.with_suffix(".failed"))
    with _alone(plan, cache):
        # Who has waited here finds what the other one built.
        reason = rebuild or _stale(plan, key)
        if not reason:
            return _read(plan)
        if not (rebuild or retry):
            failure.refuse(graph.precision, bundle.name)
        _check_graph(bundle, graph)
        LOG.warning(
            "edgeseg: building the %s engine of %s, which may take minutes: %s",
            graph.precision,
            bundle.name,
            reason,
        )
        hardware = [version, gpu.name, gpu.sm, *filter(None, [key["board"]])]
        timing = cache / f"timing-{component('-'.join(hardware))}.cache"
        request = BuildRequest(
            onnx=graph.path,
            digest=graph.digest,
            precision=graph.precision,
            unquantized=graph.unquantized,
            halved=graph.halved,
            workspace_bytes=options.workspace_bytes,
            level=options.level,
            timing=timing,
            plugin=options.plugin,
            float_weights=bool(key["float_weights"]),
            edits=options.edits,
            # Of the two lines of parsers, the older one stops at opset 17.
            opset=18 if reads_int8_weights(version) else 17,
        )
        what = f"building the {graph.precision} engine of {bundle.name} with TensorRT {version}"
        with failure.kept():
            built: Built = (
                call_in_subprocess(build_plan, request, what=what, progress=progress)
                if build is None
                else build(request, progress=progress)
            )
        floats = built.facts.get("float_convolutions", ())
        note = note_of(graph, bundle.name, built.facts.get("not_halved", ""))
        if floats:
            told = f"no INT8 kernel for {', '.join(floats)}: built in float"
            note = "; ".join(filter(None, (note, told)))
            LOG.warning("edgeseg: %s: %s", bundle.name, told)
        return _keep(built, plan, timing, key, note, reason)


def _check_graph(bundle: Bundle, graph: Graph) -> None:
    """Refuse a graph that is not what the manifest says, where the onnx package can read it.

    Raises:
        BundleError: as check_constants.
    """
    if not is_installed("onnx"):
        return
    from edgeseg.core.graph.load import bundle_graph

    bundle_graph(bundle, islands=graph.path == bundle.islands_path)


def _keep(
    built: Built, plan: Path, timing: Path, key: Mapping[str, Any], note: str, reason: str
) -> Engine:
    """Write what was built, the sidecar last: a plan without one is built again."""
    digest = hashlib.sha256(built.plan).hexdigest()
    facts = {**built.facts, "note": note, "bytes": len(built.plan)}
    try:
        if built.timing:
            atomic_write_bytes(timing, built.timing)
        atomic_write_bytes(plan, built.plan)
        if built.inspected:
            atomic_write_text(plan.with_suffix(LAYERS), built.inspected)
        atomic_write_text(
            plan.with_suffix(".json"),
            json.dumps(
                {
                    "format": FORMAT,
                    "key": key,
                    "sha256": digest,
                    "facts": facts,
                    "layers": built.layers.to_json(),
                },
                indent=1,
            )
            + "\n",
        )
    except OSError as error:
        raise _unwritable(plan.parent.parent, error) from error
    return Engine(plan, digest, key, built.layers, facts, reason)


@contextlib.contextmanager
def _alone(plan: Path, cache: Path) -> Iterator[None]:
    """Let one builder of a plan in at a time; each wants gigabytes of a small board's memory."""
    try:
        cache.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        plan.parent.mkdir(mode=PRIVATE, exist_ok=True)
        lock = plan.with_suffix(".lock").open("w")
    except OSError as error:
        # Found out now rather than after minutes of building.
        raise _unwritable(cache, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unwritable(cache: Path, error: OSError) -> BackendError:
    return BackendError(
        f"the engine cannot be kept in {cache} ({error.strerror or error}); "
        "set EDGESEG_CACHE to a folder with space that you may write"
    )


def engine_key(
    graph: Graph, options: EngineOptions, gpu: Gpu, *, version: str, root: Path = ROOT
) -> dict[str, Any]:
    """Return everything that makes a plan unfit when it differs."""
    machine = fingerprint(root)
    return {
        "tensorrt": version,
        "gpu": gpu.name,
        "sm": gpu.sm,
        # Modules of one chip, as Orin Nano and AGX Orin, share name and SM, not their cores.
        "board": machine["board"],
        "l4t": machine["l4t"],
        "onnx_sha256": graph.digest,
        "precision": graph.precision,
        "unquantized": UNQUANTIZED_REVISION if graph.unquantized else 0,
        "float_weights": (
            FLOAT_WEIGHTS_REVISION
            if graph.precision == "int8" and not reads_int8_weights(version)
            else 0
        ),
        "halved": HALVED_REVISION if graph.halved else 0,
        "workspace_bytes": options.workspace_bytes,
        "level": options.level,
        # Engines of an edgeseg that never asked for sparse kernels lack it and are built again.
        "sparse_weights": graph.precision != "fp32",
        "edits": list(options.edits),
        "plugin_sha256": None if options.plugin is None else _plugin_digest(options.plugin),
    }


def _stale(plan: Path, key: Mapping[str, Any]) -> str:
    """Return why the plan cannot be used, empty when it can."""
    if not plan.is_file():
        return _difference(plan, key)
    # TensorRT's plans are code: what another user may have written is built again.
    foreign = _foreign(plan, plan.with_suffix(".json"), plan.parent, plan.parent.parent)
    if foreign:
        return foreign
    try:
        sidecar = _sidecar(plan)
        if sidecar["format"] != FORMAT or sidecar["key"] != key:
            return "its sidecar is not of this edgeseg"
        LayerReport.from_json(sidecar["layers"])
        same = sidecar["sha256"] == sha256_file(plan)
    except (BackendError, OSError, ValueError, KeyError, TypeError):
        return f"{plan.with_suffix('.json')} is missing or damaged"
    return "" if same else f"{plan} is damaged: its bytes are not the ones that were built"


def _foreign(*paths: Path) -> str:
    """Return which of these another user has written or may write, empty for none.

    The group of this process may: many systems give each user one of his own.
    """
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        if found.st_uid not in (os.geteuid(), 0):
            return f"{path} belongs to another user (uid {found.st_uid})"
        others = found.st_mode & stat.S_IWOTH
        group = found.st_mode & stat.S_IWGRP and found.st_gid not in (os.getegid(), 0)
        if others or group:
            return f"other users may write {path}; chmod go-w it, or set EDGESEG_CACHE elsewhere"
    return ""


def _difference(plan: Path, key: Mapping[str, Any]) -> str:
    """Say in what the nearest other engine of this bundle differs."""
    best: list[str] | None = None
    for path in sorted(plan.parent.glob(f"{key['precision']}-*.json")):
        try:
            other = _sidecar(path)["key"]
            found = [
                f"{name} was {_short(other.get(name))}, is {_short(value)}"
                for name, value in key.items()
                if other.get(name) != value
            ]
        except (BackendError, KeyError, TypeError, AttributeError):
            continue
        if best is None or len(found) < len(best):
            best = found
    return "no engine yet" if not best else "; ".join(best)


def _read(plan: Path) -> Engine:
    sidecar = _sidecar(plan)
    layers = LayerReport.from_json(sidecar["layers"])
    return Engine(plan, sidecar["sha256"], sidecar["key"], layers, sidecar["facts"])


def _sidecar(plan: Path) -> Any:
    """Return what the file beside a plan says.

    Raises:
        BackendError: it is missing or damaged.
    """
    return read_json(plan.with_suffix(".json"), BackendError, advice="build the engine again")


def _plugin_digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise UsageError(
            f"plugin library {path} cannot be read ({error.strerror}); build deploy/plugin first"
        ) from error


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text
