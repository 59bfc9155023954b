"""Tables and the page that `edgeseg qat` shows of a ranking and a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import edgeseg
from edgeseg.cli.common.output import print_json, print_table, say
from edgeseg.cli.pages.bench_charts import grouped_bars
from edgeseg.cli.pages.html import markup, write_page

if TYPE_CHECKING:
    from edgeseg.host.quantization.compare import Comparison
    from edgeseg.host.quantization.rank_layers import Ranking
    from edgeseg.host.quantization.sensitivity import Sensitivity

PAGE = "sensitivity.html"
# Rows of the table, and bars of the page: more are not read one by one.
SHOWN, DRAWN = 15, 40


def print_comparison(comparison: Comparison, as_json: bool) -> None:
    """Print the mIoU of every way into INT8."""
    from edgeseg.host.quantization.compare import FLOAT

    if as_json:
        print_json(comparison.to_json())
        return
    reference = comparison.rows[FLOAT]["miou"]
    print_table(
        ("network", "mIoU", "against float", "C", "G"),
        [
            (
                name,
                f"{row['miou']:.4f}",
                f"{row['miou'] - reference:+.4f}",
                f"{row['class_accuracy']:.4f}",
                f"{row['global_accuracy']:.4f}",
            )
            for name, row in comparison.rows.items()
        ],
    )


def print_ranking(ranking: Ranking, as_json: bool) -> None:
    """Write the ranking's page; print the ranking and the layers picked, if any were asked for."""
    from edgeseg.host.quantization.rank_layers import SENSITIVITY

    found, folder = ranking.found, ranking.folder
    page = write_ranking_page(folder, found)
    if as_json:
        chosen = {} if ranking.kept is None else {"keep_float": list(ranking.kept)}
        print_json({"run": str(folder), **found.to_json(), **chosen})
        return
    print_table(
        ("layer", "lost alone", "regained in float", "labels changed"),
        [
            (
                trial.layer,
                f"{trial.alone_drop:+.4f}",
                f"{trial.restored_gain:+.4f}",
                f"{trial.alone_changed:.4f}",
            )
            for trial in found.trials[:SHOWN]
        ],
        title=f"float {found.float_miou:.4f}, all in INT8 {found.int8_miou:.4f} "
        f"({found.n_images} images)",
    )
    usual, spread = found.usual_gain, found.gain_spread
    say(f"leaving any one layer in float gains {usual:+.4f} ± {spread:.4f}; look beyond it")
    say(f"all {len(found.trials)} layers: {folder / SENSITIVITY}, page: {page}")


def draw_ranking(folder: Path) -> None:
    """Write the page of the ranking that a run with --keep-float auto left in its folder."""
    from edgeseg.host.quantization.rank_layers import SENSITIVITY
    from edgeseg.host.quantization.sensitivity import Sensitivity

    path = folder / SENSITIVITY
    if path.is_file():
        write_ranking_page(folder, Sensitivity.from_json(json.loads(path.read_text())))


def write_ranking_page(folder: Path, found: Sensitivity) -> Path:
    """Write two bars for each layer, the costliest on top, and return the page's path.

    The band behind the bars is what leaving any layer in float gains: the median over the layers,
    plus and minus two deviations.
    """
    trials = found.trials[:DRAWN]
    names = ("lost, quantized alone", "regained, left in float alone")
    values = (
        [trial.alone_drop for trial in trials],
        [trial.restored_gain for trial in trials],
    )
    middle, spread = found.usual_gain, 2 * found.gain_spread
    band = (middle - spread, middle + spread)
    ends = [0.0, *band, *values[0], *values[1]]
    write_page(
        folder / PAGE,
        "ranking.html",
        version=edgeseg.__version__,
        float_miou=f"{found.float_miou:.4f}",
        int8_miou=f"{found.int8_miou:.4f}",
        n_images=found.n_images,
        drawn=len(trials),
        layers=len(found.trials),
        names=names,
        band=f"{band[0]:+.4f} to {band[1]:+.4f}",
        chart=markup(
            grouped_bars(
                [trial.layer for trial in trials],
                list(zip(names, values, strict=True)),
                "difference of mIoU",
                ends=(min(ends), max(ends)),
                digits=3,
                band=band,
            )
        ),
    )
    return folder / PAGE
