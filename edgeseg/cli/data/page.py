"""The page of a data set: shares, sizes, and the pictures to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import edgeseg
from edgeseg.cli.pages.bench_charts import grouped_bars
from edgeseg.cli.pages.html import markup, picture, write_page
from edgeseg.core.data.census import Census
from edgeseg.core.images.fit import resize_rgb
from edgeseg.core.images.paint import overlay
from edgeseg.runtime.data.describe import (
    Pointed,
    doubtful_masks,
    look_alikes,
    telling_pictures,
)

WIDTH = 320
SIZES_SHOWN = 12
A_ROW = 4


def write_data_page(
    path: Path, title: str, seen: str, parts: dict[str, Census], findings: Sequence[str]
) -> None:
    """Write the page.

    Args:
        path: of the page.
        title: what the data is called.
        seen: what it was recognized as.
        parts: the census by split.
        findings: what is doubtful or refused.
    """
    censuses = list(parts.values())
    names = censuses[0].dataset.class_names
    palette = censuses[0].dataset.palette
    shares = [(what, _shares(part)) for what, part in parts.items()]
    sizes: dict[tuple[int, int], dict[str, int]] = {}
    for what, part in parts.items():
        for size, count in part.sizes.items():
            sizes.setdefault(size, {})[what] = count
    alike = look_alikes(parts["train"], parts["val"]) if {"train", "val"} <= set(parts) else []
    write_page(
        path,
        "data.html",
        version=edgeseg.__version__,
        title=title,
        facts=[
            ("read as", seen),
            *((f"{what} pictures", len(part.dataset)) for what, part in parts.items()),
            ("without a mask", sum(part.unlabelled for part in censuses)),
            ("void", f"{100 * _void_share(censuses):.1f} %"),
        ],
        findings=list(findings),
        shares=markup(grouped_bars(names, shares, "share of the labelled pixels", digits=3)),
        counts=[
            (name, *(f"{int(part.pixels[label]):,}" for part in censuses))
            for label, name in enumerate(names)
        ],
        splits=list(parts),
        sizes=[
            (f"{h}x{w}", *(found.get(what, 0) for what in parts))
            for (h, w), found in sorted(sizes.items(), key=lambda item: -sum(item[1].values()))
        ][:SIZES_SHOWN],
        telling=_rows(telling_pictures(censuses)),
        alike=[[_painted(one), _painted(other)] for one, other in alike],
        doubtful=_rows([pointed for part in censuses for pointed in doubtful_masks(part)]),
        palette=list(zip(names, palette, strict=True)),
    )


def _rows(pointed: Sequence[Pointed]) -> list[list[tuple[str, str]]]:
    painted = [_painted(one) for one in pointed]
    return [painted[start : start + A_ROW] for start in range(0, len(painted), A_ROW)]


def _shares(part: Census) -> list[float | None]:
    counts = part.pixels
    total = int(counts.sum())
    return [float(count) / total if total else None for count in counts]


def _void_share(parts: Sequence[Census]) -> float:
    void = sum(part.void for part in parts)
    return void / max(1, void + sum(int(part.pixels.sum()) for part in parts))


def _painted(pointed: Pointed) -> tuple[str, str]:
    """Return caption and data URI of a picture with its labels laid over it."""
    sample = pointed.dataset[pointed.index]
    rgb = sample.rgb
    if sample.labels is not None:
        rgb = overlay(rgb, sample.labels, pointed.dataset.palette)
    height, width = rgb.shape[:2]
    if width > WIDTH:
        rgb = resize_rgb(rgb, (max(1, round(height * WIDTH / width)), WIDTH))
    return f"{sample.name}: {pointed.why}", picture(rgb, photo=True)
