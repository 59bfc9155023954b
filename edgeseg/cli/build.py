"""`edgeseg build`: a bundle's TensorRT engines on this machine, and which is fastest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import PATH, json_option, precision_options
from edgeseg.cli.common.output import (
    answer,
    bundle_json,
    megabytes,
    print_json,
    print_table,
    progress_bar,
    say,
)
from edgeseg.cli.common.runtimes import engine_cache, engine_plugin


@click.command(
    name="build",
    cls=Verb,
    epilog="Example: edgeseg build deeplabv3plus-mobilenetv2-camvid --explain",
)
@click.argument("bundle")
@precision_options(
    int8="The INT8 engine alone.", fp16="The FP16 engine alone.", fp32="The FP32 engine alone."
)
@click.option("--explain", is_flag=True, help="List every layer's type, and every reformat.")
@click.option(
    "--race",
    is_flag=True,
    help="Build also with float depthwise convolutions and with another label head: up to six "
    "engines, of which the fastest is what --precision auto runs.",
)
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
    help="Builder optimization level: higher builds longer.  [default: TensorRT's own]",
)
@click.option("--plugin", type=PATH, help="Library with plugins that the graph names.")
@json_option
def command(
    bundle: str,
    precision: str | None,
    explain: bool,
    race: bool,
    rebuild: bool,
    workspace: int,
    level: int | None,
    plugin: Path | None,
    as_json: bool,
) -> None:
    """Build BUNDLE's engine for this GPU and TensorRT, or say that the cache has it.

    An INT8 bundle gets its FP16 baseline as well: the same weights without quantization. Both run
    the golden frame in turns; a warning tells when INT8 is not the faster. One engine that can be
    built is enough, and stream, verify and eval take the fastest. Engines lie in the folder that
    EDGESEG_CACHE names, by default ~/.cache/edgeseg/engines.
    """
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.bench.int8_against_fp16 import BuildOptions, build_engines

    loaded = find_bundle(bundle)
    options = BuildOptions(
        precision=precision,
        explain=explain,
        race=race,
        rebuild=rebuild,
        workspace_bytes=workspace << 20,
        level=level,
        plugin=plugin or engine_plugin(),
        cache=engine_cache(),
    )
    with progress_bar("build") as bar:
        document = {
            "bundle": bundle_json(loaded),
            **build_engines(loaded, options, progress=bar.update),
        }
    if as_json:
        print_json(document)
    else:
        _print(document)
    for warning in document["warnings"]:
        say(f"warning: {warning}")


def _print(document: dict[str, Any]) -> None:
    print_table(
        ("engine", "runs in", "state", "plan", "device memory", "p50", "p99", "pipelined",
         "golden", "CUDA graph"),
        [
            (
                " ".join((row["precision"], *row["edits"])),
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
        answer(f"time of FP16 / time of INT8: {document['fp16_over_int8']:.2f}")
    if document["fastest"] is not None:
        fastest = document["fastest"]
        answer(f"fastest: {' '.join((fastest['precision'], *fastest['edits']))}")
    for name, reason in document["failed"].items():
        answer(f"not built: {name}: {reason}")
    for row in document["engines"]:
        counts = ", ".join(f"{n} {kind}" for kind, n in row["layers"].items()) or "no details"
        dla = row["dla"]
        could = f"; a DLA could take {dla['able']} of {dla['layers']}" if dla["cores"] else ""
        answer(f"{row['precision']} layers: {counts}; {row['reformats']} reformats{could}")
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
            if row["layer_info"] is not None:
                answer(f"for NVIDIA's viewers, as trtexec --exportLayerInfo: {row['layer_info']}")
