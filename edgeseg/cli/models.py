"""`edgeseg models`: the architectures and the zoo."""

from __future__ import annotations

import re
from typing import Any

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import SIZE, json_option
from edgeseg.cli.common.output import megabytes, print_json, print_table, ratio, say
from edgeseg.core.packages import is_installed


@click.command(name="models", cls=Verb, epilog="Example: edgeseg models --size 360x480")
@click.option(
    "--size", type=SIZE, default=(360, 480), show_default="360x480", help="Input size for the MACs."
)
@json_option
def command(size: tuple[int, int], as_json: bool) -> None:
    """List the architectures with their cost, and the bundles of the zoo.

    The source is the architecture's paper; --json names those of its backbone as well.
    """
    architectures = _architectures(size)
    zoo = _zoo()
    if as_json:
        print_json({"architectures": architectures, "zoo": zoo})
        return
    if architectures:
        height, width = size
        print_table(
            ("architecture", "params", "MACs", "source"),
            [
                (
                    row["name"],
                    f"{row['params'] / 1e6:.2f} M",
                    f"{row['macs'] / 1e9:.2f} G",
                    _paper(row["source"]),
                )
                for row in architectures
            ],
            title=f"Architectures, one frame of {height}x{width}",
        )
    if not zoo:
        say("this install ships no bundle")
        return
    print_table(
        ("bundle", "precision", "size", "bytes", "mIoU"),
        [
            (
                row["name"],
                row["precision"],
                "x".join(map(str, row["size_hw"])),
                megabytes(row["bytes"]),
                ratio(row["reference"].get("miou")),
            )
            for row in zoo
        ],
        title="Zoo, mIoU as its card says",
    )


def _paper(source: str) -> str:
    # The whole source would fold every row at 80 columns.
    found = re.search(r"arXiv [\d.]+", source)
    return found.group() if found else source


def _architectures(size: tuple[int, int]) -> list[dict[str, Any]]:
    if not is_installed("torch"):
        say("the architectures are listed where torch is: pip install 'edgeseg[host]'")
        return []
    from edgeseg.core.spec import ModelSpec
    from edgeseg.host.cost import spec_cost
    from edgeseg.host.models import MODELS

    rows = []
    for name, model in MODELS.classes():
        spec = ModelSpec(name, size_hw=size, output_stride=model.stride)
        cost = spec_cost(spec)
        rows.append(
            {
                "name": name,
                "params": cost.params,
                "macs": cost.macs,
                "size_hw": list(size),
                "source": str(model.source),
            }
        )
    return rows


def _zoo() -> list[dict[str, Any]]:
    from edgeseg.core.zoo import find_bundle, zoo_names

    rows = []
    for name in zoo_names():
        bundle = find_bundle(name)
        rows.append(
            {
                "name": name,
                "path": str(bundle.path),
                "arch": bundle.spec.arch,
                "precision": bundle.precision,
                "size_hw": list(bundle.spec.size_hw),
                "bytes": bundle.size_bytes,
                "params": bundle.reference.get("params"),
                "macs": bundle.reference.get("macs"),
                "reference": dict(bundle.reference),
            }
        )
    return rows
