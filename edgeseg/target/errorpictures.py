"""Pictures of what went wrong: one panel for a frame, one chart for the confusion matrix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int64, UInt8

from edgeseg.core.image import Palette, colorize, write_png
from edgeseg.target.evaluate import WorstFrame

GAP = 4
CELL = 44
MARGIN = 120
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
LEGEND = ("down: truth", "across: predicted", "% of each row")
# RANK_NAME.png: ranks begin at 001 and get a fourth digit only when they need it.
PANEL_NAME = re.compile(r"(?!000)(\d{3}|[1-9]\d{3,})_.+\.png")
WHITE, INK, WRONG, VOID = (255, 255, 255), (30, 30, 30), (220, 40, 40), (0, 0, 0)


def write_panels(
    folder: Path, frames: Sequence[WorstFrame], palette: Palette, ignore_index: int
) -> None:
    """Write the panels of the worst frames, worst first.

    Those that an earlier evaluation left there are removed: beside the new ones they would pass
    for frames of this one.
    """
    if folder.is_dir():
        for path in folder.iterdir():
            if PANEL_NAME.fullmatch(path.name) and path.is_file():
                path.unlink()
    for rank, frame in enumerate(frames, start=1):
        panel = error_panel(frame, palette, ignore_index)
        write_png(folder / f"{rank:03d}_{frame.name}.png", panel)


def error_panel(
    frame: WorstFrame, palette: Palette, ignore_index: int
) -> UInt8[np.ndarray, "h wide 3"]:
    """Return image | truth | prediction | difference, side by side with a white gap.

    The difference is red where a counted pixel is wrong, black where the truth is void, and the
    image in grey where it is right.
    """
    void = frame.truth == ignore_index
    grey = np.repeat(frame.rgb.mean(2, keepdims=True), 3, 2) * 0.5 + 110
    difference = grey.clip(0, 255).astype(np.uint8)
    difference[(frame.truth != frame.prediction) & ~void] = WRONG
    difference[void] = VOID
    gap = np.full((frame.rgb.shape[0], GAP, 3), 255, np.uint8)
    parts = (frame.rgb, colorize(frame.truth, palette), colorize(frame.prediction, palette))
    return np.hstack([x for part in parts for x in (part, gap)] + [difference])


def confusion_chart(
    counts: Int64[np.ndarray, "k k1"], class_names: Sequence[str]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a confusion matrix: truth down, prediction across, per cent of the truth's pixels.

    A row without pixels is left white. The last column, "no class", is drawn only if counted.
    """
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], tuple(class_names)
    else:
        columns = (*class_names, "no class")
    totals = counts.sum(1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    rows, across = share.shape
    chart = np.full((MARGIN + rows * CELL + GAP, MARGIN + across * CELL + GAP, 3), 255, np.uint8)
    for row in range(rows):
        top = MARGIN + row * CELL
        _write(chart, class_names[row], (6, top + 27))
        for column in range(across):
            left, value = MARGIN + column * CELL, float(share[row, column])
            # From white to a dark blue.
            colour = tuple(round(255 - value * (255 - dark)) for dark in (20, 60, 130))
            cv2.rectangle(chart, (left, top), (left + CELL - 2, top + CELL - 2), colour, -1)
            if totals[row, 0] and value >= 0.0005:
                ink = WHITE if value > 0.5 else INK
                # "100.0" would touch the rim of its cell.
                figure = "100" if value >= 0.9995 else f"{100 * value:.1f}"
                _write(chart, figure, (left + (CELL - _width(figure)) // 2, top + 27), ink)
    _write_columns(chart, columns)
    for line, text in enumerate(LEGEND):
        _write(chart, text, (6, 24 + 16 * line))
    return chart


def _write_columns(chart: UInt8[np.ndarray, "h w 3"], names: Sequence[str]) -> None:
    """Write the column names upwards: drawn flat on a strip that is then turned."""
    strip = np.full((len(names) * CELL, MARGIN - 6, 3), 255, np.uint8)
    for column, name in enumerate(names):
        _write(strip, name, (2, column * CELL + 27))
    chart[6:MARGIN, MARGIN : MARGIN + len(names) * CELL] = np.rot90(strip)


def _write(
    image: UInt8[np.ndarray, "h w 3"],
    text: str,
    place: tuple[int, int],
    ink: tuple[int, int, int] = INK,
) -> None:
    cv2.putText(image, text, place, FONT, FONT_SCALE, ink, 1, cv2.LINE_AA)


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0])
