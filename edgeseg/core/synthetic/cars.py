"""Cars of the synthetic drive: side profiles drawn out to bodies."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from edgeseg.core.synthetic.light import PLAIN, SUNNY
from edgeseg.core.synthetic.street import Item
from edgeseg.core.synthetic.textures import Colour

Outline = tuple[tuple[float, float], ...]

HALF_WIDTH_M = 0.87
# Share of the length from the rear, share of the height. Top line of the body, rear to front.
TOP: dict[str, Outline] = {
    "hatch": ((0.0, 0.18), (0.0, 0.58), (0.10, 0.97), (0.18, 1.0), (0.55, 1.0), (0.75, 0.64),
              (0.97, 0.56), (1.0, 0.45), (1.0, 0.18)),
    "saloon": ((0.0, 0.18), (0.0, 0.60), (0.16, 0.66), (0.30, 0.98), (0.36, 1.0), (0.58, 1.0),
               (0.76, 0.66), (0.97, 0.56), (1.0, 0.45), (1.0, 0.18)),
    "van": ((0.0, 0.15), (0.0, 0.95), (0.03, 1.0), (0.72, 1.0), (0.88, 0.62), (0.99, 0.52),
            (1.0, 0.4), (1.0, 0.15)),
}  # fmt: skip
# Edges of TOP that are glass: rear window, windscreen.
GLASS = {"hatch": (1, 4), "saloon": (2, 5), "van": (3,)}
# The flank in convex parts: deck and cabin.
FLANK: dict[str, tuple[Outline, Outline]] = {
    "hatch": (((0.0, 0.18), (0.0, 0.59), (0.75, 0.64), (0.97, 0.56), (1.0, 0.45), (1.0, 0.18)),
              ((0.0, 0.58), (0.10, 0.97), (0.18, 1.0), (0.55, 1.0), (0.75, 0.64))),
    "saloon": (((0.0, 0.18), (0.0, 0.60), (0.16, 0.66), (0.76, 0.66), (0.97, 0.56), (1.0, 0.45),
                (1.0, 0.18)),
               ((0.16, 0.66), (0.30, 0.98), (0.36, 1.0), (0.58, 1.0), (0.76, 0.66))),
    "van": (((0.0, 0.15), (0.0, 0.62), (0.88, 0.62), (0.99, 0.52), (1.0, 0.4), (1.0, 0.15)),
            ((0.0, 0.61), (0.0, 0.95), (0.03, 1.0), (0.72, 1.0), (0.88, 0.62))),
}  # fmt: skip
WINDOWS: dict[str, tuple[Outline, ...]] = {
    "hatch": (((0.14, 0.90), (0.11, 0.64), (0.38, 0.64), (0.38, 0.94)),
              ((0.41, 0.94), (0.41, 0.64), (0.71, 0.66), (0.55, 0.94))),
    "saloon": (((0.33, 0.93), (0.23, 0.68), (0.45, 0.68), (0.45, 0.94)),
               ((0.48, 0.94), (0.48, 0.68), (0.73, 0.68), (0.58, 0.94))),
    "van": (((0.62, 0.92), (0.62, 0.64), (0.85, 0.64), (0.73, 0.92)),),
}  # fmt: skip
PAINTS: tuple[Colour, ...] = (
    (30, 30, 34), (190, 192, 196), (128, 132, 138), (150, 28, 32), (34, 52, 104), (222, 222, 220),
    (44, 78, 58), (86, 88, 94), (176, 150, 96), (60, 88, 130), (110, 40, 60), (62, 64, 68),
)  # fmt: skip
PARTS: dict[str, Colour] = {
    "glass": (42, 48, 56), "tyre": (22, 22, 24), "hub": (140, 140, 144), "bumper": (58, 58, 62),
    "tail lamp": (188, 24, 28), "head lamp": (236, 234, 214), "rear plate": (222, 186, 52),
    "front plate": (232, 232, 226),
}  # fmt: skip
# The sun's own side of a body; the painter knows which that is.
FLANK_LIGHT = -1


class Face(NamedTuple):
    """A convex polygon of a body: its corners' range, what it is of, and its light."""

    start: int
    stop: int
    part: str
    lit: int


class Body(NamedTuple):
    """A car in units of its own half width, height and length, faces far to near.

    Attributes:
        corners: "n 3": across (-1 left to 1 right), up (0-1), along (0 at the near end).
        faces: in painting order.
    """

    corners: Float64[np.ndarray, "n 3"]
    faces: tuple[Face, ...]


def style_of(item: Item) -> str:
    """Return the body style of a car."""
    return ("hatch", "saloon", "hatch", "saloon")[item.look % 4] if item.height < 1.75 else "van"


def paint_of(item: Item) -> Colour:
    """Return the colour of a car's body."""
    return PAINTS[(item.look >> 3) % len(PAINTS)]


@functools.cache
def body(style: str, heading: int, side: int, detailed: bool) -> Body:
    """Return a body.

    Args:
        style: a key of TOP.
        heading: +1 shows the rear, -1 the front.
        side: -1 shows the left flank, +1 the right, 0 none.
        detailed: with lamps, windows and wheels; without, for the distance.
    """
    corners: list[tuple[float, float, float]] = []
    faces: list[Face] = []

    def along(share: float) -> float:
        return share if heading > 0 else 1.0 - share

    def add(points: list[tuple[float, float, float]], part: str, lit: int = PLAIN) -> None:
        faces.append(Face(len(corners), len(corners) + len(points), part, lit))
        corners.extend(points)

    def across(
        low: tuple[float, float],
        high: tuple[float, float],
        part: str,
        span: tuple[float, float] = (-1.0, 1.0),
        lit: int = PLAIN,
    ) -> None:
        """Add a band from (height, along) to (height, along)."""
        (y0, z0), (y1, z1) = low, high
        add([(span[0], y0, z0), (span[1], y0, z0), (span[1], y1, z1), (span[0], y1, z1)],
            part, lit)  # fmt: skip

    top = TOP[style]
    edges = sorted(range(len(top) - 1), key=lambda k: -min(along(top[k][0]), along(top[k + 1][0])))
    for k in edges:
        (s0, y0), (s1, y1) = top[k], top[k + 1]
        z0, z1 = along(s0), along(s1)
        if (y1 - y0) * (z1 - z0) < 0 or min(z0, z1) == 1.0:
            continue  # slopes away from the camera, or is the far end
        across((y0, z0), (y1, z1), "paint", lit=SUNNY if abs(y1 - y0) < 0.1 else PLAIN)
        if k in GLASS[style]:
            low = (y0 + 0.12 * (y1 - y0), z0 + 0.12 * (z1 - z0))
            high = (y1 - 0.12 * (y1 - y0), z1 - 0.12 * (z1 - z0))
            across(low, high, "glass", (-0.84, 0.84))
    if detailed:
        end = "tail" if heading > 0 else "head"
        for left in (-0.94, 0.66):
            across((0.0, 0.07), (0.2, 0.07), "tyre", (left, left + 0.28))
        across((0.16, 0.0), (0.30, 0.0), "bumper")
        for left in (-0.94, 0.60):
            across((0.42, 0.0), (0.53, 0.0), f"{end} lamp", (left, left + 0.34), SUNNY)
        across((0.32, 0.0), (0.39, 0.0), "rear plate" if heading > 0 else "front plate",
               (-0.28, 0.28))  # fmt: skip
    if side:
        for outline in FLANK[style]:
            add([(float(side), y, along(s)) for s, y in outline], "paint", FLANK_LIGHT)
        for outline in WINDOWS[style]:
            add([(float(side), y, along(s)) for s, y in outline], "glass")
        count = 10 if detailed else 6
        turns = [2 * math.pi * k / count for k in range(count)]
        for s in (0.19, 0.81):
            for share, part in ((1.0, "tyre"), (0.55, "hub"))[: 2 if detailed else 1]:
                rim = [(0.21 * share * math.sin(t), 0.078 * share * math.cos(t)) for t in turns]
                add([(float(side), 0.21 + up, along(s) + on) for up, on in rim], part)
    return Body(np.array(corners), tuple(faces))
