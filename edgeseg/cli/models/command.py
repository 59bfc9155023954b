"""`edgeseg models`: the architectures and the shipped models, or one of them."""

from __future__ import annotations

import functools
import re
from typing import Any

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import SIZE, json_option, refuse_given
from edgeseg.cli.common.output import megabytes, print_json, print_table, ratio, say
from edgeseg.core.options import parse_settings
from edgeseg.core.packages import is_installed
from edgeseg.core.suggest import unknown
from edgeseg.errors import BackendUnavailable, UsageError

RUNTIME = "onnxruntime"


@click.command(
    name="models",
    cls=Verb,
    epilog="Example: edgeseg models    edgeseg models deeplabv3plus-mobilenetv2 --size 288x512",
)
@click.argument("name", required=False)
@click.option(
    "--size", type=SIZE, default=(360, 480), show_default="360x480", help="Input size for the MACs."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="With the NAME of an architecture: what it costs with this option; may be repeated.",
)
@click.option(
    "--fetch",
    metavar="FROM",
    help="Bring the checkpoint of the shipped NAME, or of all, into this install: from a clone of "
    "edgeseg, its edgeseg-zoo wheel, or the address of either. Only training on and exporting "
    "in another precision need it; its SHA-256 is checked.",
)
@json_option
def command(
    name: str | None,
    size: tuple[int, int],
    settings: tuple[str, ...],
    fetch: str | None,
    as_json: bool,
) -> None:
    """List the architectures and the shipped models, or tell about the one of this NAME.

    Of an architecture: its options for --set with their defaults, its cost, and what it is for. Of
    a shipped model: when to take it, its accuracy, time and licence.
    """
    from edgeseg.core.zoo import zoo_names

    if fetch is not None:
        refuse_given(("size", "settings"), "--fetch brings checkpoints")
        _fetch(fetch, name, as_json)
    elif name is None:
        refuse_given(("settings",), "no architecture is named")
        _list(size, as_json)
    elif name in zoo_names():
        refuse_given(("size", "settings"), f"{name} is a shipped model, and fixed")
        _model(name, as_json)
    else:
        _architecture(name, size, parse_settings(settings), as_json)


def _fetch(source: str, name: str | None, as_json: bool) -> None:
    from edgeseg.core.zoo_fetch import fetch_checkpoints

    found = {}
    for one, place in fetch_checkpoints(source, [name] if name else []):
        say(f"{one}: {place}")
        found[one] = str(place)
    if as_json:
        print_json({"fetched": found})


def _list(size: tuple[int, int], as_json: bool) -> None:
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
        ("shipped model", "mIoU", "time", "MACs", "bytes"),
        [
            (
                row["name"],
                ratio(row["miou"]),
                _ratio(row["time_ratio"]),
                f"{row['macs'] / 1e9:.2f} G" if row["macs"] else None,
                megabytes(row["bytes"]),
            )
            for row in zoo
        ],
        title="Shipped models in INT8: mIoU on CamVid's validation clip (101 images); time as a "
        "share of the first one's in FP32, one CPU thread, ONNX Runtime",
    )
    print_table(
        ("take", "when"), [(row["name"], row["take_when"]) for row in zoo if row["take_when"]]
    )


def _model(name: str, as_json: bool) -> None:
    from edgeseg.core.zoo import find_bundle, zoo_facts, zoo_times

    bundle = find_bundle(name)
    (row,) = [row for row in _zoo() if row["name"] == name]
    facts, times = zoo_facts(), zoo_times()
    terms = [facts["terms"][one] for one in row["terms"]]
    if as_json:
        print_json({**row, "terms": terms, "times": times["rows"].get(name, {})})
        return
    reference = bundle.reference
    scored = reference.get(bundle.precision, {}).get("camvid val", {})
    lines = [
        ("take it when", row["take_when"]),
        (
            "network",
            f"{bundle.spec.arch}, {bundle.precision}, {'x'.join(map(str, bundle.spec.size_hw))}",
        ),
        ("cost", f"{row['params'] / 1e6:.2f} M parameters, {row['macs'] / 1e9:.2f} GMAC"),
        ("bundle", megabytes(row["bytes"])),
        *(
            (
                f"on {runtime}",
                f"mIoU {scores['miou']:.4f}, boundary F1 {scores['bf']:.3f}, CamVid val",
            )
            for runtime, scores in scored.items()
        ),
        *(
            (f"time on {runtime}", f"{_interval(one)} of {times['reference']}")
            for runtime, one in times["rows"].get(name, {}).items()
        ),
        ("licence", row["licence"]),
        *(("learnt from", f"{one['what']}: {one['licence']}") for one in terms),
        ("folder", str(bundle.path)),
    ]
    print_table(("", name), [line for line in lines if line[1]])


def _architecture(
    name: str, size: tuple[int, int], settings: dict[str, Any], as_json: bool
) -> None:
    if not is_installed("torch"):
        raise BackendUnavailable(
            f"models {name} builds the network and needs torch; pip install 'edgeseg[host]'"
        )
    from edgeseg.core.spec import ModelSpec
    from edgeseg.core.zoo import zoo_names
    from edgeseg.host.cost import spec_cost
    from edgeseg.host.models import MODELS
    from edgeseg.host.models.settings import MEANINGS, network_options

    if name not in MODELS:
        raise UsageError(unknown("architecture or shipped model", name, [*MODELS, *zoo_names()]))
    network = MODELS.load(name)
    stride = settings.pop("output_stride", network.stride)
    cost = spec_cost(ModelSpec(name, size_hw=size, output_stride=stride, options=settings))
    options = network_options(network)
    document = {
        "name": name,
        "source": str(network.source),
        "suits": network.suits,
        "size_hw": list(size),
        "set": settings,
        "params": cost.params,
        "macs": cost.macs,
        "options": {
            key: {"default": value, "meaning": MEANINGS.get(key, "")}
            for key, value in options.items()
        },
    }
    if as_json:
        print_json(document)
        return
    height, width = size
    print_table(
        ("", name),
        [
            ("source", document["source"]),
            ("for", document["suits"]),
            (
                f"cost at {height}x{width}",
                f"{cost.params / 1e6:.2f} M parameters, {cost.macs / 1e9:.2f} GMAC",
            ),
        ],
    )
    print_table(
        ("--set", "default", "what it is"),
        [
            (key, "its own" if value is None else str(value), MEANINGS.get(key, ""))
            for key, value in options.items()
        ],
    )


def _interval(one: dict[str, float]) -> str:
    return f"{one['ratio']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def _ratio(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _paper(source: str) -> str:
    # The whole source would fold every row at 80 columns.
    found = re.search(r"arXiv [\d.]+", source)
    return found.group() if found else source


@functools.cache
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
    from edgeseg.core.zoo import find_bundle, zoo_facts, zoo_names, zoo_times

    facts, times = zoo_facts()["models"], zoo_times()["rows"]
    rows = []
    for name in zoo_names():
        bundle = find_bundle(name)
        reference, about = bundle.reference, facts.get(name, {})
        scored = reference.get(bundle.precision, {}).get("camvid val", {})
        rows.append(
            {
                "name": name,
                "path": str(bundle.path),
                "arch": bundle.spec.arch,
                "precision": bundle.precision,
                "size_hw": list(bundle.spec.size_hw),
                "bytes": bundle.size_bytes,
                "params": reference.get("params"),
                "macs": reference.get("macs"),
                "miou": scored.get(RUNTIME, {}).get("miou", reference.get("miou")),
                "time_ratio": times.get(name, {}).get(RUNTIME, {}).get("ratio"),
                "take_when": about.get("take_when", ""),
                "licence": about.get("licence", ""),
                "terms": about.get("terms", []),
                "reference": dict(reference),
            }
        )
    return rows
