"""The car of the synthetic drive: a side profile drawn out to a body."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeseg.core.sprites import Colour
from edgeseg.core.street import Item

# (position along the length, rear to front; share of the height), origin: own sketches
PROFILES: dict[str, tuple[tuple[float, float], ...]] = {
    "hatch": ((0.0, 0.18), (0.0, 0.58), (0.10, 0.97), (0.18, 1.0), (0.55, 1.0), (0.75, 0.64), (0.97, 0.56),
              (1.0, 0.45), (1.0, 0.18)),
    "saloon": ((0.0, 0.18), (0.0, 0.60), (0.16, 0.66), (0.30, 0.98), (0.36, 1.0), (0.58, 1.0), (0.76, 0.66),
               (0.97, 0.56), (1.0, 0.45), (1.0, 0.18)),
    "van": ((0.0, 0.15), (0.0, 0.95), (0.03, 1.0), (0.72, 1.0), (0.88, 0.62), (0.99, 0.52), (1.0, 0.4),
            (1.0, 0.15)),
}  # fmt: skip
# profile edges that are glass: rear window, windscreen
GLASS = {"hatch": (1, 4), "saloon": (2, 5), "van": (3,)}
SIDE_GLASS = {
    "hatch": ((0.15, 0.9), (0.13, 0.62), (0.72, 0.62), (0.56, 0.93)),
    "saloon": ((0.32, 0.92), (0.22, 0.66), (0.73, 0.66), (0.58, 0.93)),
    "van": ((0.60, 0.92), (0.60, 0.60), (0.85, 0.60), (0.73, 0.92)),
}
PAINT: tuple[Colour, ...] = (
    (30, 30, 34), (190, 192, 196), (128, 132, 138), (150, 28, 32), (34, 52, 104), (222, 222, 220),
    (44, 78, 58), (86, 88, 94), (176, 150, 96), (60, 88, 130), (110, 40, 60), (62, 64, 68),
)  # fmt: skip
WINDOW: Colour = (42, 48, 56)
TYRE: Colour = (22, 22, 24)
HALF_WIDTH = 0.87

Face = tuple[np.ndarray, Colour, int]


def car_faces(item: Item, camera_x: float) -> Iterator[Face]:
    """Yield the faces of a car far to near: corners "n 3" in metres, colour, light level."""
    style = ("hatch", "saloon", "hatch", "van")[item.look % 4] if item.height < 1.75 else "van"
    paint = PAINT[(item.look >> 3) % len(PAINT)]
    profile = PROFILES[style]
    left, right = item.x - HALF_WIDTH, item.x + HALF_WIDTH

    def z(s: float | int) -> float:
        return item.z + item.length * (s if item.heading > 0 else 1 - s)

    def across(y0: float, y1: float, z0: float, z1: float, a: float | int,
               b: float | int) -> np.ndarray:
        """Return a band from share a to share b of the width, between two heights."""
        x0, x1 = left + a * (right - left), left + b * (right - left)
        return np.asarray([(x0, y0, z0), (x1, y0, z0), (x1, y1, z1), (x0, y1, z1)])

    edges = list(range(len(profile) - 1))
    edges.sort(key=lambda k: -min(z(profile[k][0]), z(profile[k + 1][0])))
    for k in edges:
        (s0, h0), (s1, h1) = profile[k], profile[k + 1]
        y0, y1, z0, z1 = h0 * item.height, h1 * item.height, z(s0), z(s1)
        yield across(y0, y1, z0, z1, 0, 1), paint, 2 if abs(h1 - h0) < 0.1 else 1
        if k in GLASS[style]:
            inset = 0.12
            ya, yb = y0 + inset * (y1 - y0), y1 - inset * (y1 - y0)
            za, zb = z0 + inset * (z1 - z0), z1 - inset * (z1 - z0)
            yield across(ya, yb, za, zb, 0.08, 0.92), WINDOW, 1
    yield from _near_end(item, across)
    if abs(item.x - camera_x) > HALF_WIDTH:
        yield from _side(item, style, paint, z, left if item.x > camera_x else right)


def _near_end(item: Item, across) -> Iterator[Face]:
    """Yield wheels, bumper, lamps and plate of the end that faces the camera."""
    tall, end = item.height, item.z
    for a, b in ((0.03, 0.17), (0.83, 0.97)):
        yield across(0.0, 0.2 * tall, end + 0.3, end + 0.3, a, b), TYRE, 1
    yield across(0.16 * tall, 0.30 * tall, end, end, 0, 1), (58, 58, 62), 1
    lamp: Colour = (188, 24, 28) if item.heading > 0 else (236, 234, 214)
    for a, b in ((0.03, 0.2), (0.8, 0.97)):
        yield across(0.42 * tall, 0.53 * tall, end, end, a, b), lamp, 2
    plate: Colour = (222, 186, 52) if item.heading > 0 else (232, 232, 226)
    yield across(0.32 * tall, 0.39 * tall, end, end, 0.36, 0.64), plate, 1


def _side(item: Item, style: str, paint: Colour, z, x: float) -> Iterator[Face]:
    """Yield the flank that faces the camera: body, windows, wheels."""

    def flank(outline: tuple[tuple[float, float], ...]) -> np.ndarray:
        return np.asarray([(x, h * item.height, z(s)) for s, h in outline])

    # cut into convex parts: lower body, cabin
    body = PROFILES[style]
    lower = ((0.0, body[0][1]), (0.0, 0.62), (1.0, 0.5), (1.0, body[-1][1]))
    yield flank(lower), paint, 0
    yield flank(body[1:-2]), paint, 0
    yield flank(SIDE_GLASS[style]), WINDOW, 1
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    for s in (0.19, 0.81):
        for radius, colour in ((0.33, TYRE), (0.18, (140, 140, 144))):
            wheel = np.empty((10, 3))
            wheel[:, 0] = x
            wheel[:, 1] = 0.32 + radius * np.sin(turn)
            wheel[:, 2] = z(s) + radius * np.cos(turn)
            yield wheel, colour, 1
