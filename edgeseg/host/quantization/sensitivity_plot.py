"""The picture of a sensitivity run: two bars a layer, costliest on top, and what is noise."""

from __future__ import annotations

import io
from pathlib import Path

from edgeseg.core.files import atomic_write_bytes
from edgeseg.host.quantization.sensitivity import Sensitivity

# More bars than this are not read one by one.
MOST = 40


def plot_sensitivity(path: Path, found: Sensitivity) -> bool:
    """Write a PNG; return False, and write nothing, where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    trials = found.trials[:MOST]
    figure = Figure(figsize=(8, 1.2 + 0.26 * len(trials)), layout="constrained")
    axes = figure.add_subplot(xlabel="difference of mIoU")
    places = range(len(trials))
    axes.barh(
        [place - 0.2 for place in places],
        [trial.alone_drop for trial in trials],
        0.4,
        label="lost, quantised alone",
    )
    axes.barh(
        [place + 0.2 for place in places],
        [trial.restored_gain for trial in trials],
        0.4,
        label="regained, left float alone",
    )
    axes.set_yticks(list(places), [trial.layer for trial in trials], fontsize=8)
    axes.set_ylim(len(trials) - 0.4, -0.6)
    axes.axvline(0, color="0.3", linewidth=0.8)
    middle, spread = found.usual_gain, 2 * found.gain_spread
    axes.axvspan(
        middle - spread, middle + spread, color="0.85", zorder=0,
        label="gain of just any layer (median ± 2 deviations)",
    )  # fmt: skip
    shown = f"{len(trials)} costliest of " if len(found.trials) > len(trials) else ""
    axes.set_title(
        f"float {found.float_miou:.4f}, all INT8 {found.int8_miou:.4f} on {found.n_images} images; "
        f"{shown}{len(found.trials)} layers",
        fontsize=10,
    )
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    atomic_write_bytes(path, buffer.getvalue())
    return True
