"""`edgeseg lint`: what would stop or slow TensorRT, before any board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import Named, json_option, needs
from edgeseg.cli.common.output import megabytes, print_json, print_table
from edgeseg.core.text.names import one_line
from edgeseg.errors import ExportError
from edgeseg.lint.boards import BOARDS
from edgeseg.lint.tensorrt_versions import LINES

if TYPE_CHECKING:
    import onnx

    from edgeseg.lint.check import LintResult
    from edgeseg.lint.engine_prediction import Layer
    from edgeseg.lint.roofline import Roofline

# So many more nodes of one kind of finding are named.
NAMED = 3
COLOURS = {"error": "red", "warning": "yellow", "info": "dim"}


@click.command(
    name="lint",
    cls=Verb,
    epilog="Example: edgeseg lint deeplabv3plus-mobilenetv2-camvid --target trt10.3",
)
@click.argument("model")
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=Named("TensorRT line", LINES),
    help="TensorRT line; may be repeated.  [default: all]",
)
@click.option("--layers", is_flag=True, help="List the layers that the engine will probably have.")
@click.option(
    "--board",
    type=Named("board", BOARDS),
    help="Add the least time each layer can take on a board: computed.",
)
@click.option("--quiet", is_flag=True, help="Leave out findings of severity info.")
@json_option
@needs("onnx")
def command(
    model: str,
    targets: tuple[str, ...],
    layers: bool,
    board: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check MODEL, a bundle, a zoo name or an ONNX file, against TensorRT's rules.

    Each finding names the node, the reason and the cure. Exit code 1 on errors: what the builder
    refuses, or what changes labels. Warnings cost time.
    """
    from edgeseg.lint.boards import find_board
    from edgeseg.lint.check import lines_of, lint
    from edgeseg.lint.roofline import roofline

    lines = lines_of(targets)
    on = None if board is None else find_board(board)
    name, graph, islands, fp16 = _read(model)
    result = lint(graph, islands=islands, lines=lines, fp16=fp16)
    floors = None
    if on is not None and result.plans:
        floors = roofline(next(iter(result.plans.values())), on)
    if as_json:
        document = result.to_json()
        print_json(document if floors is None else {**document, "roofline": floors.to_json()})
    else:
        _print(name, result, quiet=quiet, layers=layers, floors=floors)
    if not result.ok:
        counts = ", ".join(
            f"{count} error{'s' * (count > 1)} for {line}"
            for line, count in result.errors.items()
            if count
        )
        clean = [line for line, count in result.errors.items() if not count]
        raise ExportError(
            f"{name} has {counts}"
            + f" and none for {', '.join(clean)}" * bool(clean)
            + "; each finding names its cure"
        )


def _read(text: str) -> tuple[str, onnx.ModelProto, onnx.ModelProto | None, bool]:
    """Return name, graph, its form with FP16 islands, and whether its engine may choose FP16."""
    from edgeseg.core.graph.fp16_islands import with_fp16_islands
    from edgeseg.core.graph.load import bundle_graph, read_graph
    from edgeseg.core.zoo import find_bundle

    path = Path(text)
    if path.suffix == ".onnx" or path.is_file():
        return path.name, read_graph(path), None, True
    bundle = find_bundle(text)
    model = bundle_graph(bundle)
    if bundle.islands_path is not None:
        return bundle.name, model, bundle_graph(bundle, islands=True), True
    if bundle.precision != "int8":
        return bundle.name, model, None, bundle.precision != "fp32"
    try:
        # As `build` does on the board for a bundle that leaves this form out.
        return bundle.name, model, with_fp16_islands(model), True
    except ExportError:
        # Its float parts then run in FP32, which a rule says.
        return bundle.name, model, None, True


def _moved(plan: Sequence[Layer]) -> str:
    moved = megabytes(sum(layer.moved_bytes for layer in plan))
    unknown = sum(bool(layer.unknown) for layer in plan)
    return f"{moved}, {unknown} layers of unknown size left out," if unknown else str(moved)


def _verdict(result: LintResult) -> str:
    bad = [f"{line} ({count})" for line, count in result.errors.items() if count]
    good = [line for line, count in result.errors.items() if not count]
    if not bad:
        return "no errors"
    told = f"would not build, or would change labels, on {', '.join(bad)}"
    return told + f"; no errors on {', '.join(good)}" * bool(good)


def _print(
    name: str, result: LintResult, *, quiet: bool, layers: bool, floors: Roofline | None
) -> None:
    from rich.console import Console
    from rich.text import Text

    from edgeseg.lint.check import folded

    console = Console(width=None if Console().is_terminal else 140)
    shown = [f for f in result.findings if not (quiet and f.severity == "info")]
    everywhere = tuple(result.plans)
    for finding, others in folded(shown):
        head = Text()
        head.append(finding.severity, style=COLOURS[finding.severity])
        head.append(f"  {finding.rule}  ")
        head.append(one_line(finding.node) or "whole graph", style="bold")
        if finding.targets != everywhere:
            head.append(f"  ({', '.join(finding.targets)})", style="dim")
        console.print(head)
        console.print(Text("    " + one_line(finding.message)))
        if others:
            names = ", ".join(others[:NAMED]) + ", …" * (len(others) > NAMED)
            console.print(Text(f"    {len(others) + 1} of this kind, also {one_line(names)}"))
        console.print(Text("    cure: " + one_line(finding.cure), style="dim"))
    counts = {s: sum(f.severity == s for f in result.findings) for s in COLOURS}
    print_table(
        ("", name),
        [
            ("verdict", _verdict(result)),
            ("findings", ", ".join(f"{n} {s}" for s, n in counts.items())),
            ("checked against", ", ".join(everywhere) or "nothing: the graph cannot be read"),
            ("convolutions in INT8", f"{result.convs_int8} of {result.convs}"),
            ("2:4 sparse convolutions", f"{result.sparse_convs} of {result.convs}"),
            *(
                (f"layers for {target}", f"{len(plan)}, moving {_moved(plan)} a frame")
                for target, plan in result.plans.items()
            ),
        ],
        title="Lint",
    )
    if result.float_islands:
        print_table(
            ("from", "to", "runs in", "bytes a frame"),
            [
                (
                    i["first"] + (" (head)" if i["head"] else ""),
                    i["last"],
                    i["precision"],
                    megabytes(i["bytes"]),
                )
                for i in result.float_islands
            ],
            title="Float islands between INT8 layers",
        )
    if layers and result.plans:
        target, plan = next(iter(result.plans.items()))
        print_table(
            ("layer", "kind", "precision", "nodes", "reads", "writes", "weights", "MACs"),
            [
                (
                    layer.name, layer.kind, layer.precision, len(layer.nodes),
                    layer.read_bytes, layer.written_bytes, layer.weight_bytes, layer.macs,
                )
                for layer in plan
            ],
            title=f"Layers that {target} will probably build",
        )  # fmt: skip
    if floors is not None:
        from edgeseg.lint.roofline import NOTE, table_rows

        print_table(
            ("layer", "kind", "precision", "moves", "MACs", "floor ms", "bound by"),
            table_rows(floors, 0 if layers else 10),
            title=f"{floors.board.name}: {floors.floor_ms:.2f} ms",
        )
        if floors.selections:
            names = ", ".join(floors.selections)
            console.print(Text(f"{names} may take many times its floor: a selection (TopK)"))
        if floors.unknown:
            console.print(
                Text(f"{floors.unknown} layers read or write a tensor of unknown size: too low")
            )
        console.print(Text(NOTE, style="dim"))
        console.print(Text(f"figures: {floors.board.source}", style="dim"))
