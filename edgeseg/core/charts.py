"""Charts as SVG text, drawn without any package; STYLE gives their colours in light and dark."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

Number = int | float
WIDTH = 640
HEIGHT = 280
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 44
BAR = 22
GAP = 12
LABEL = 190
KEY = 18
# About the width of a letter and the height of a line in the page's 12 px type.
LETTER, LINE = 6.6, 14.0
RADIUS, LARGEST = 5.0, 16.0
# For the page that holds the charts, or the drawing itself where it stands alone.
STYLE = """\
:root {
  color-scheme: light dark;
  --ground: #ffffff; --ink: #1d2329; --soft: #5b6670; --line: #d9dee3; --panel: #f5f7f9;
  --c0: #2563a8; --c1: #c2570c; --c2: #2f7d4f; --c3: #8046a8;
  --c4: #b3265c; --c5: #13808c; --c6: #8a6d0b; --c7: #5b6670;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14181c; --ink: #e6eaee; --soft: #9aa6b1; --line: #333c45; --panel: #1c2228;
    --c0: #6fa8e8; --c1: #f0975a; --c2: #72c394; --c3: #c092e8;
    --c4: #f07aa4; --c5: #56c2cf; --c6: #d8b84a; --c7: #9aa6b1;
  }
}
svg { width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); }
svg .tick, svg .title { fill: var(--soft); }
svg .name { fill: var(--ink); }
svg .line { fill: none; stroke-width: 2; }
svg .front { fill: none; stroke: var(--soft); stroke-dasharray: 4 4; }
svg .ring { fill: var(--panel); stroke-width: 2; }
svg .s0 { --mine: var(--c0); } svg .s1 { --mine: var(--c1); }
svg .s2 { --mine: var(--c2); } svg .s3 { --mine: var(--c3); }
svg .s4 { --mine: var(--c4); } svg .s5 { --mine: var(--c5); }
svg .s6 { --mine: var(--c6); } svg .s7 { --mine: var(--c7); }
svg .hill { fill: var(--mine); fill-opacity: .35; stroke: var(--mine); }
svg .mark { stroke: var(--mine); stroke-width: 2; }
svg circle { fill-opacity: .75; }
svg .line, svg .ring { stroke: var(--mine); }
svg .bar, svg .dot, svg .key { fill: var(--mine); }
"""


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a scatter chart.

    Attributes:
        x: position to the right.
        y: position upwards.
        name: written beside it.
        group: picks its colour; equal groups share one.
        best: no other point is better in both directions; drawn filled and joined by a line.
        size: 0-1, the point's area as a share of the largest; None for a plain small point.
    """

    x: Number
    y: Number
    name: str
    group: str
    best: bool
    size: Number | None = None

    @property
    def radius(self) -> float:
        """Its radius in the drawing: the area follows the size."""
        return RADIUS if self.size is None else max(4.0, LARGEST * math.sqrt(self.size))


def line_chart(
    series: Sequence[tuple[str, Sequence[tuple[Number, Number]]]],
    x_title: str,
    y_title: str,
    *,
    best: Callable[..., tuple[Number, Number]] | None = None,
) -> str:
    """Draw one line for each (name, points) of `series` over shared axes; x counts something.

    Args:
        series: the lines.
        x_title: of the axis to the right.
        y_title: of the axis upwards.
        best: `max` or `min`: writes the value of the last point and of the best one; None neither.
    """
    points = [point for _, line in series for point in line]
    if not points:
        return ""
    frame = _Frame(points, y_from_zero=True, counts=True)
    parts = [frame.axes(x_title, y_title)]
    taken: list[_Box] = []
    for index, (name, line) in enumerate(series):
        if not line:
            continue
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in line)
        parts.append(f'<polyline class="line s{index}" points="{path}"/>')
        if len(line) == 1:
            # A line of one point is nothing to see.
            x, y = line[0]
            spot = f'cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}"'
            parts.append(f'<circle class="s{index} dot" {spot} r="{RADIUS}"/>')
        if best is not None:
            # Where the line is not: above what is best when high, below what is best when low.
            shift = -LINE if best is max else LINE
            named = dict.fromkeys((line[-1], best(line, key=lambda point: point[1])))
            for x, y in named:
                parts += _value(frame, index, x, y, shift, taken)
        # Below the axis, where no line comes.
        place = f'x="{LEFT}" y="{HEIGHT + 4 + KEY * index}"'
        parts.append(f'<text class="s{index} key" {place}>{escape(name)}</text>')
    return svg(HEIGHT + KEY * len(series), parts)


def _value(
    frame: _Frame,
    index: int,
    x: Number,
    y: Number,
    shift: float,
    taken: list[_Box],
) -> list[str]:
    """Draw a dot and the value of a point, `shift` below it."""
    right, down = frame.x(x), frame.y(y)
    left, base = _room_for(f"{y:.4f}", right, down + shift, taken, RADIUS - 9)
    return [
        f'<circle class="s{index} dot" cx="{right:.1f}" cy="{down:.1f}" r="{RADIUS - 1}"/>',
        f'<text class="name" x="{left:.1f}" y="{base:.1f}">{y:.4f}</text>',
    ]


def scatter_chart(
    points: Sequence[Point],
    x_title: str,
    y_title: str,
    *,
    limit: tuple[float, str] | None = None,
) -> str:
    """Draw points with their names; the best ones are joined.

    Args:
        points: what is drawn.
        x_title: of the axis to the right.
        y_title: of the axis upwards.
        limit: x of an upright line, and its name.
    """
    if not points:
        return ""
    groups = sorted({point.group for point in points})
    ends = [(point.x, point.y) for point in points]
    frame = _Frame(ends + ([(limit[0], ends[0][1])] if limit else []), y_from_zero=False)
    parts = [frame.axes(x_title, y_title)]
    if limit:
        x = frame.x(limit[0])
        parts.append(
            f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="tick" x="{x + 5:.1f}" y="{TOP + 10}">{escape(limit[1])}</text>'
        )
    front = sorted((p.x, p.y) for p in points if p.best)
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in front)
    parts.append(f'<polyline class="front" points="{path}"/>')
    taken = [_Box.around(frame.x(p.x), frame.y(p.y), p.radius) for p in points]
    for point in points:
        x, y = frame.x(point.x), frame.y(point.y)
        style = f"s{groups.index(point.group)} {'dot' if point.best else 'ring'}"
        parts.append(f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{point.radius:.1f}"/>')
        left, baseline = _room_for(point.name, x, y, taken, point.radius)
        parts.append(
            f'<text class="name" x="{left:.1f}" y="{baseline:.1f}">{escape(point.name)}</text>'
        )
    return svg(HEIGHT, parts)


def bar_chart(bars: Sequence[tuple[str, Number, str]], unit: str) -> str:
    """Draw horizontal bars of (name, value, group) from zero, each with its value."""
    if not bars:
        return ""
    groups = sorted({group for _, _, group in bars})
    largest = max(value for _, value, _ in bars) or 1.0
    room = WIDTH - LABEL - 100
    parts = []
    for index, (name, value, group) in enumerate(bars):
        y = index * (BAR + GAP)
        width = room * value / largest
        middle = y + BAR * 0.7
        parts += [
            f'<text class="name" x="{LABEL - 10}" y="{middle}" text-anchor="end">'
            f"{escape(name)}</text>",
            f'<rect class="bar s{groups.index(group)}" x="{LABEL}" y="{y}" '
            f'width="{width:.1f}" height="{BAR}" rx="3"/>',
            f'<text class="name" x="{LABEL + width + 8:.1f}" y="{middle}">'
            f"{value:.1f} {escape(unit)}</text>",
        ]
    return svg(len(bars) * (BAR + GAP), parts)


def _room_for(
    name: str, x: Number, y: Number, taken: list[_Box], radius: Number
) -> tuple[float, float]:
    """Return the nearest place beside a point where its name covers no circle and no earlier name.

    What the name covers there is added to `taken`.
    """
    width = LETTER * len(name)
    places = [
        (left, y + 4 + shift)
        for shift in sorted((LINE * n for n in range(-12, 13)), key=abs)
        for left in (x + radius + 5, x - radius - 5 - width)
    ]
    inside = [
        (left, base)
        for left, base in places
        if left > LEFT and left + width < WIDTH and TOP < base < HEIGHT - BOTTOM
    ]
    free = [
        (left, base)
        for left, base in inside
        if not any(_Box.of_text(left, base, width).meets(other) for other in taken)
    ]
    left, base = (free or inside or places)[0]
    taken.append(_Box.of_text(left, base, width))
    return left, base


class _Box(NamedTuple):
    """What a name or a circle covers of the drawing."""

    left: float
    right: float
    top: float
    bottom: float

    @classmethod
    def around(cls, x: Number, y: Number, radius: Number) -> _Box:
        return cls(x - radius, x + radius, y - radius, y + radius)

    @classmethod
    def of_text(cls, left: Number, base: Number, width: Number) -> _Box:
        return cls(left, left + width, base - LINE + 3, base + 3)

    def meets(self, other: _Box) -> bool:
        apart = self.left > other.right or other.left > self.right
        return not (apart or self.top >= other.bottom or other.top >= self.bottom)


class _Frame:
    """Maps data to the drawing and draws the axes around it."""

    def __init__(
        self, points: Sequence[tuple[Number, Number]], *, y_from_zero: bool, counts: bool = False
    ) -> None:
        xs, ys = zip(*points, strict=True)
        self._xs = [tick for tick in ticks(0.0, max(xs)) if not counts or tick == int(tick)]
        # One height for all would be a line at the edge: show a little around it.
        room = 0.0 if max(ys) > min(ys) else 0.05 * abs(max(ys))
        self._ys = ticks(0.0 if y_from_zero else min(ys) - room, max(ys) + room)

    def x(self, value: Number) -> float:
        low, high = self._xs[0], self._xs[-1]
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    def y(self, value: Number) -> float:
        low, high = self._ys[0], self._ys[-1]
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    def axes(self, x_title: str, y_title: str) -> str:
        base, middle = HEIGHT - BOTTOM, (HEIGHT - BOTTOM + TOP) / 2
        parts = []
        for tick in self._ys:
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" '
                f'text-anchor="end">{tick:g}</text>'
            )
        for tick in self._xs:
            parts.append(
                f'<text class="tick" x="{self.x(tick):.1f}" y="{base + 18}" '
                f'text-anchor="middle">{tick:g}</text>'
            )
        parts.append(
            f'<text class="title" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" '
            f'text-anchor="middle">{escape(x_title)}</text>'
        )
        parts.append(
            f'<text class="title" transform="rotate(-90 14 {middle})" x="14" y="{middle}" '
            f'text-anchor="middle">{escape(y_title)}</text>'
        )
        return "".join(parts)


def ticks(low: Number, high: Number) -> list[float]:
    """Return about five round values that enclose low..high."""
    if high <= low:
        high = low + 1.0
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * index, 10) for index in range(first, last + 1)]


def standalone(drawings: Sequence[str]) -> str:
    """Return drawings of `svg`, one below the other, as the text of one SVG file."""
    heights = [float(re.findall(r'viewBox="0 0 \S+ (\S+)"', one)[0]) for one in drawings]
    parts, top = [], 0.0
    for drawing, height in zip(drawings, heights, strict=True):
        place = f'<svg y="{top:g}" width="{WIDTH}" height="{height:g}" '
        parts.append(drawing.replace("<svg ", place, 1))
        top += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:g}" '
        f'style="background: var(--ground)"><style>{STYLE}svg svg {{ width: {WIDTH}px; }}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def svg(height: Number, parts: Sequence[str]) -> str:
    """Wrap the parts of a drawing of WIDTH and `height`."""
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg>'
