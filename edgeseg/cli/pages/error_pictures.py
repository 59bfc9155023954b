"""Pictures of what went wrong: one panel for a frame, one chart for the confusion matrix."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int64, UInt8

from edgeseg.core.files import atomic_write_text
from edgeseg.core.images.io import write_png
from edgeseg.core.images.paint import Palette, colorize
from edgeseg.core.text.names import component
from edgeseg.errors import UsageError
from edgeseg.runtime.evaluation.evaluate import WorstFrame

GAP = 4
CELL = 44
# Room for names: as much as the longest needs, within these.
LEAST_MARGIN, MOST_MARGIN = 120, 400
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
LEGEND = ("down: truth", "across: predicted", "% of each row")
# RANK_NAME.png: ranks begin at 001 and get a fourth digit only when they need it.
PANEL_NAME = re.compile(r"(?!000)(\d{3}|[1-9]\d{3,})_.+\.png")
# Beside the panels: the names of those that an evaluation wrote, which the next may remove.
LISTED = ".edgeseg-panels"
WHITE, INK, WRONG, VOID = (255, 255, 255), (30, 30, 30), (220, 40, 40), (0, 0, 0)


def check_panels(folder: Path) -> None:
    """Refuse a folder with pictures that could be taken for panels and are not known as such.

    Raises:
        UsageError: it holds files named like panels that no evaluation listed.
    """
    if not folder.is_dir():
        return
    listed = _listed(folder)
    strangers = sorted(
        path.name
        for path in folder.iterdir()
        if PANEL_NAME.fullmatch(path.name) and path.name not in listed
    )
    if strangers:
        more = f" and {len(strangers) - 1} more like it" if len(strangers) > 1 else ""
        raise UsageError(
            f"{folder} holds {strangers[0]}{more}, which no evaluation noted as its own; give "
            "another folder to -o"
        )


def write_panels(
    folder: Path, frames: Sequence[WorstFrame], palette: Palette, ignore_index: int
) -> None:
    """Write the panels of the worst frames, worst first.

    Those that an earlier evaluation left there are removed: beside the new ones they would pass
    for frames of this one.

    Raises:
        UsageError: see check_panels.
    """
    check_panels(folder)
    names = [
        f"{rank:03d}_{component(frame.name)}.png" for rank, frame in enumerate(frames, start=1)
    ]
    earlier = _listed(folder)
    # Noted first: a panel that is not on the list would be taken for the user's own.
    atomic_write_text(folder / LISTED, "\n".join(sorted(earlier | set(names))) + "\n")
    for name in earlier:
        (folder / name).unlink(missing_ok=True)
    for name, frame in zip(names, frames, strict=True):
        write_png(folder / name, error_panel(frame, palette, ignore_index))
    atomic_write_text(folder / LISTED, "\n".join(names) + "\n")


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
    names = [_drawable(name, number) for number, name in enumerate(columns)]
    margin = min(MOST_MARGIN, max(LEAST_MARGIN, 12 + max(map(_width, names))))
    chart = np.full((margin + rows * CELL + GAP, margin + across * CELL + GAP, 3), 255, np.uint8)
    for row in range(rows):
        top = margin + row * CELL
        _write(chart, _fitting(names[row], margin - 12), (6, top + 27))
        for column in range(across):
            left, value = margin + column * CELL, float(share[row, column])
            # From white to a dark blue.
            colour = tuple(round(255 - value * (255 - dark)) for dark in (20, 60, 130))
            cv2.rectangle(chart, (left, top), (left + CELL - 2, top + CELL - 2), colour, -1)
            if totals[row, 0] and value >= 0.0005:
                ink = WHITE if value > 0.5 else INK
                # "100.0" would touch the rim of its cell.
                figure = "100" if value >= 0.9995 else f"{100 * value:.1f}"
                _write(chart, figure, (left + (CELL - _width(figure)) // 2, top + 27), ink)
    _write_columns(chart, [_fitting(name, margin - 12) for name in names], margin)
    for line, text in enumerate(LEGEND):
        _write(chart, text, (6, 24 + 16 * line))
    return chart


def _listed(folder: Path) -> set[str]:
    """Return the panels that an evaluation noted there; whatever else the list says is no panel."""
    path = folder / LISTED
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {line for line in lines if PANEL_NAME.fullmatch(line) and "/" not in line}


def _drawable(name: str, number: int) -> str:
    """Return a class name in the letters that OpenCV can draw, or its number."""
    plain = (
        unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    )
    return plain.strip() or f"class {number}"


def _fitting(name: str, width: int) -> str:
    while _width(name) > width:
        name = name.removesuffix("...")[:-1] + "..."
    return name


def _write_columns(chart: UInt8[np.ndarray, "h w 3"], names: Sequence[str], margin: int) -> None:
    """Write the column names upwards: drawn flat on a strip that is then turned."""
    strip = np.full((len(names) * CELL, margin - 6, 3), 255, np.uint8)
    for column, name in enumerate(names):
        _write(strip, name, (2, column * CELL + 27))
    chart[6:margin, margin : margin + len(names) * CELL] = np.rot90(strip)


def _write(
    image: UInt8[np.ndarray, "h w 3"],
    text: str,
    place: tuple[int, int],
    ink: tuple[int, int, int] = INK,
) -> None:
    cv2.putText(image, text, place, FONT, FONT_SCALE, ink, 1, cv2.LINE_AA)


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0])
