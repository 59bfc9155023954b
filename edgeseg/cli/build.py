"""`edgeseg build`: a bundle's TensorRT engines on this machine, and which is fastest."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.common.options import PATH, json_option, precision_options
from edgeseg.cli.common.output import (
    bundle_json,
    megabytes,
    print_json,
    print_table,
    progress_bar,
    say,
)
from edgeseg.cli.common.runtimes import backend_options
from edgeseg.errors import BackendError, UsageError

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.runtime.backends.tensorrt import TensorRtBackend
    from edgeseg.runtime.bench.int8_against_fp16 import Lap

BASELINE = "fp16"


@click.command(name="build", epilog="Example: edgeseg build runs/export/model --explain")
@click.argument("bundle")
@precision_options(
    int8="The INT8 engine alone.", fp16="The FP16 engine alone.", fp32="The FP32 engine alone."
)
@click.option("--explain", is_flag=True, help="List every layer's type, and every reformat.")
@click.option("--rebuild", is_flag=True, help="Build although the cache has the engine.")
@click.option(
    "--workspace",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Most MiB of scratch memory for one kernel.",
)
@click.option(
    "--level",
    type=click.IntRange(0, 5),
    help="Builder optimisation level: higher builds longer.  [default: TensorRT's own]",
)
@click.option("--plugin", type=PATH, help="Library with plugins that the graph names.")
@json_option
def command(
    bundle: str,
    precision: str | None,
    explain: bool,
    rebuild: bool,
    workspace: int,
    level: int | None,
    plugin: Path | None,
    as_json: bool,
) -> None:
    """Build BUNDLE's engine for this GPU and TensorRT, or say that the cache has it.

    An INT8 bundle gets its FP16 baseline as well: the same weights without quantisation. Both run
    the golden frame in turns; a warning tells when INT8 is not the faster. Engines lie in the
    folder that EDGESEG_CACHE names, by default ~/.cache/edgeseg/engines.
    """
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.bench.int8_against_fp16 import race

    loaded = find_bundle(bundle)
    options = backend_options("tensorrt", 0) | {
        "workspace_bytes": workspace << 20,
        "level": -1 if level is None else level,
        "rebuild": "asked for with --rebuild" if rebuild else "",
    }
    if plugin is not None:
        options["plugin"] = plugin
    wanted = [precision or loaded.precision]
    if precision is None and loaded.precision == "int8":
        wanted.append(BASELINE)
    with contextlib.ExitStack() as stack:
        backends: dict[str, Any] = {}
        skipped: dict[str, str] = {}
        for name in wanted:
            with progress_bar(f"build {name}") as bar:
                try:
                    opened = open_backend(
                        "tensorrt", loaded, **options, precision=name, progress=bar.update
                    )
                except (UsageError, BackendError) as error:
                    # Only the baseline may be out of reach: a bundle without an FP16 graph, or with
                    # constants that FP16 cannot hold.
                    if name == wanted[0]:
                        raise
                    skipped[name] = str(error)
                    continue
                backends[name] = stack.enter_context(opened)
        golden = loaded.golden()
        agreement = {
            name: float((backend.infer(golden.frame) == golden.labels).mean())
            for name, backend in backends.items()
        }
        with progress_bar("measure") as bar:
            laps = race(backends, golden.frame, progress=bar.update)
        document = _document(loaded, backends, laps, agreement, skipped, explain=explain)
    if as_json:
        print_json(document)
    else:
        _print(document)
    for warning in document["warnings"]:
        say(f"warning: {warning}")


def _document(
    bundle: Bundle,
    backends: dict[str, TensorRtBackend],
    laps: dict[str, Lap],
    agreement: dict[str, float],
    skipped: dict[str, str],
    *,
    explain: bool,
) -> dict[str, Any]:
    from edgeseg.runtime.bench.int8_against_fp16 import lap_json, ratio

    engines = []
    warnings = [f"no {name} baseline: {reason}" for name, reason in skipped.items()]
    for name, backend in backends.items():
        engine = backend.engine
        row: dict[str, Any] = {
            "precision": name,
            "runs_in": backend.io.precision,
            "plan": str(engine.path),
            "built": bool(engine.reason),
            "reason": engine.reason,
            "golden_agreement": agreement[name],
            "cuda_graph": not backend.graph_note,
            "cuda_graph_note": backend.graph_note,
            **engine.facts,
            **lap_json(laps[name]),
            "layers": engine.layers.counts,
            "reformats": len(engine.layers.reformats),
        }
        if explain:
            row["explain"] = engine.layers.to_json()
        engines.append(row)
        if engine.facts.get("note"):
            warnings.append(f"{name}: {engine.facts['note']}")
    found: float | None = None
    if {"int8", BASELINE} <= set(laps):
        found = ratio(laps[BASELINE], laps["int8"])
        if found <= 1:
            warnings.append(
                f"INT8 is not faster than FP16 here: time of FP16 over INT8 is {found:.2f}; use "
                f"--fp16, or look for reformats and float layers with --explain"
            )
    first = next(iter(backends.values()))
    return {
        "bundle": bundle_json(bundle),
        "runtime": first.io.runtime,
        "device": first.io.device,
        "engines": engines,
        "fp16_over_int8": found,
        "warnings": warnings,
    }


def _print(document: dict[str, Any]) -> None:
    print_table(
        ("engine", "runs in", "state", "plan", "device memory", "p50", "p99", "pipelined",
         "golden", "CUDA graph"),
        [
            (
                row["precision"],
                row["runs_in"],
                f"built in {row['seconds']:.0f} s" if row["built"] else "cached",
                megabytes(row["bytes"]),
                megabytes(row["device_memory_bytes"]),
                f"{row['latency_ms']['p50']:.3f} ms",
                f"{row['latency_ms']['p99']:.3f} ms",
                None if row["pipelined_fps"] is None else f"{row['pipelined_fps']:.0f} fps",
                f"{row['golden_agreement']:.4f}",
                "yes" if row["cuda_graph"] else row["cuda_graph_note"],
            )
            for row in document["engines"]
        ],
        title=f"{document['runtime']} on {document['device']}",
    )  # fmt: skip
    if document["fp16_over_int8"] is not None:
        print(f"time of FP16 / time of INT8: {document['fp16_over_int8']:.2f}")
    for row in document["engines"]:
        counts = ", ".join(f"{n} {kind}" for kind, n in row["layers"].items()) or "no details"
        dla = row["dla"]
        could = f"; a DLA could take {dla['able']} of {dla['layers']}" if dla["cores"] else ""
        print(f"{row['precision']} layers: {counts}; {row['reformats']} reformats{could}")
        if "explain" in row:
            print_table(
                ("layer", "type", "precision", "in", "out", "moves"),
                [
                    (
                        layer["name"],
                        layer["kind"],
                        layer["precision"],
                        " ".join(layer["inputs"]),
                        " ".join(layer["outputs"]),
                        megabytes(layer["bytes_moved"]),
                    )
                    for layer in row["explain"]
                ],
                title=f"{row['precision']} engine, in order",
            )
