"""Charts of a bench as SVG text: distributions, bars in groups, stacked bars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from edgeseg.core.charts import LETTER, WIDTH, svg, ticks

LABEL = 210
RIGHT = 96
ROW = 34
AXIS = 40
THIN = 9


def distribution_chart(
    rows: Sequence[tuple[str, int, Sequence[float]]], x_title: str, bins: int = 48
) -> str:
    """Draw the spread of each (name, colour, values) as a hill over one axis, with its median.

    Values beyond the 99th percentile of their row are left out of the axis, not of the hill's sum.
    """
    rows = [row for row in rows if row[2]]
    if not rows:
        return ""
    ends = [sorted(values)[min(len(values) - 1, int(0.99 * len(values)))] for _, _, values in rows]
    axis = _Axis(0.0, max(ends))
    parts = []
    for index, (name, colour, values) in enumerate(rows):
        base = (index + 1) * ROW
        ordered = sorted(values)
        counts = [0] * (bins + 1)
        for value in values:
            counts[min(bins, int(bins * value / axis.high))] += 1
        top = max(counts)
        points = [f"{axis.x(0):.1f},{base}"]
        for place, count in enumerate(counts):
            x = axis.x(min(axis.high, (place + 0.5) * axis.high / bins))
            points.append(f"{x:.1f},{base - (ROW - 8) * count / top:.1f}")
        points.append(f"{axis.x(axis.high):.1f},{base}")
        median = ordered[len(ordered) // 2]
        x = axis.x(median)
        parts += [
            f'<line class="grid" x1="{LABEL}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>',
            f'<polygon class="hill s{colour}" points="{" ".join(points)}"/>',
            f'<line class="mark s{colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{base - ROW + 6}" '
            f'y2="{base}"/>',
            _name(name, base - 9),
            f'<text class="tick" x="{WIDTH - RIGHT + 8}" y="{base - 9}">{median:.1f} ms</text>',
        ]
    height = len(rows) * ROW
    return svg(height + AXIS, [*parts, axis.draw(height, x_title)])


def grouped_bars(
    groups: Sequence[str],
    series: Sequence[tuple[str, Sequence[float | None]]],
    x_title: str,
    *,
    ends: tuple[float, float] = (0.0, 1.0),
    digits: int = 2,
    band: tuple[float, float] | None = None,
) -> str:
    """Draw, for each group, one thin bar for each (name, values), from zero.

    Args:
        groups: what the bars are of.
        series: a name and a value for each group, None for no bar.
        x_title: what the values are.
        ends: values that the axis holds; the first may be negative.
        digits: of the figures beside the bars.
        band: a range of values drawn behind the bars.
    """
    if not groups or not series:
        return ""
    axis = _Axis(*ends)
    step = len(series) * (THIN + 1) + 10
    height = len(groups) * step
    parts = []
    if band is not None:
        low, high = axis.x(max(band[0], axis.low)), axis.x(min(band[1], axis.high))
        parts.append(
            f'<rect class="band" x="{low:.1f}" y="0" width="{max(0.0, high - low):.1f}" '
            f'height="{height}"/>'
        )
    zero = axis.x(0.0)
    for place, group in enumerate(groups):
        top = place * step + 2
        parts.append(_name(group, top + (step - 10) / 2 + 4))
        for index, (name, values) in enumerate(series):
            y, value = top + index * (THIN + 1), values[place]
            if value is None:
                continue
            x = axis.x(value)
            parts.append(
                f'<rect class="bar s{index}" x="{min(zero, x):.1f}" y="{y}" '
                f'width="{abs(x - zero):.1f}" '
                f'height="{THIN}" rx="2"><title>{escape(name)}: {value:.{digits + 1}f}</title>'
                "</rect>"
            )
        best = [values[place] for _, values in series if values[place] is not None]
        if best:
            text = " ".join(f"{value:.{digits}f}" for value in best[:3])
            x, middle = WIDTH - RIGHT + 8, top + (step - 10) / 2 + 4
            parts.append(f'<text class="tick" x="{x}" y="{middle}">{text}</text>')
    return svg(height + AXIS, [*parts, axis.draw(height, x_title)])


def stacked_bars(
    rows: Sequence[tuple[str, Mapping[str, float]]],
    stages: Sequence[str],
    x_title: str,
    digits: int = 1,
) -> str:
    """Draw one bar for each (name, value by stage), its stages side by side."""
    if not rows:
        return ""
    axis = _Axis(0.0, max(sum(values.values()) for _, values in rows))
    parts = []
    for index, (name, values) in enumerate(rows):
        y, start = index * ROW + 6, 0.0
        parts.append(_name(name, y + 15))
        for colour, stage in enumerate(stages):
            value = values.get(stage, 0.0)
            x, end = axis.x(start), axis.x(start + value)
            parts.append(
                f'<rect class="bar s{colour}" x="{x:.1f}" y="{y}" width="{max(0.0, end - x):.1f}" '
                f'height="20"><title>{escape(stage)}: {value:.2f} ms</title></rect>'
            )
            start += value
        parts.append(
            f'<text class="tick" x="{axis.x(start) + 8:.1f}" y="{y + 15}">'
            f"{start:.{digits}f} ms</text>"
        )
    height = len(rows) * ROW
    return svg(height + AXIS, [*parts, axis.draw(height, x_title)])


def _name(text: str, y: float) -> str:
    # Several lines where one would run out of the drawing; long names break at - . and /.
    lines = [""]
    for part in re.findall(r"[^\s./-]*[\s./-]+|[^\s./-]+", text):
        if lines[-1] and len(lines[-1] + part.rstrip()) * LETTER > LABEL - 14:
            lines.append("")
        lines[-1] += part
    first = y - 6.5 * (len(lines) - 1)
    return "".join(
        f'<text class="name" x="{LABEL - 10}" y="{first + 13 * index:.1f}" '
        f'text-anchor="end">{escape(line.strip())}</text>'
        for index, line in enumerate(lines)
    )


class _Axis:
    """A scale from the names' right edge to the figures' left edge."""

    def __init__(self, low: float, high: float) -> None:
        self._ticks = ticks(low, high)
        self.low, self.high = self._ticks[0], self._ticks[-1]

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return LABEL + (WIDTH - LABEL - RIGHT) * share

    def draw(self, height: float, title: str) -> str:
        parts = [
            f'<text class="tick" x="{self.x(tick):.1f}" y="{height + 16}" '
            f'text-anchor="middle">{tick:g}</text>'
            for tick in self._ticks
        ]
        middle = (LABEL + WIDTH - RIGHT) / 2
        parts.append(
            f'<text class="title" x="{middle}" y="{height + 34}" text-anchor="middle">'
            f"{escape(title)}</text>"
        )
        return "".join(parts)
