"""Where the camera is, and how metres become pixels."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float64, Int32

# Nothing nearer is painted; what reaches past the camera is cut there.
NEAR_M = 1.3
# Corners are handed to OpenCV in sixteenths of a pixel, so that motion is smooth.
SUBPIXEL = 4


@dataclasses.dataclass(frozen=True)
class View:
    """The camera at one instant.

    Small angles: turning is a shear, and a bend of the street a parabola, so that verticals stay
    vertical and each ground row has one distance.

    Attributes:
        size_hw: pixels.
        focal: pixels.
        eye: height of the camera, metres.
        horizon: row of the horizon.
        x: metres right of the centre line.
        z: metres along the street.
        yaw: radians, the street's vanishing point moves right.
        bend: 1 / radius of the street, per metre.
    """

    size_hw: tuple[int, int]
    focal: float
    eye: float
    horizon: float
    x: float
    z: float
    yaw: float
    bend: float

    @functools.cached_property
    def centre(self) -> float:
        """Column of the street's vanishing point, before the bend."""
        return 0.5 * self.size_hw[1] + self.focal * self.yaw

    def point(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return column and row of one point; z is cut at the near plane."""
        ahead = max(z - self.z, NEAR_M)
        scale = self.focal / ahead
        column = self.centre + (x - self.x) * scale + 0.5 * self.focal * self.bend * ahead
        return column, self.horizon + (self.eye - y) * scale

    def corners(self, points: Float64[np.ndarray, "n 3"]) -> Int32[np.ndarray, "n 2"]:
        """Return columns and rows of points (x, y, z), in sixteenths of a pixel."""
        ahead = np.maximum(points[:, 2] - self.z, NEAR_M)
        scale = self.focal / ahead
        out = np.empty((len(points), 2))
        out[:, 0] = (points[:, 0] - self.x) * scale + 0.5 * self.focal * self.bend * ahead
        out[:, 1] = (self.eye - points[:, 1]) * scale
        out += (self.centre, self.horizon)
        return fixed(out)


class Camera:
    """How the camera of a seed moves; `at(time)` is its View."""

    def __init__(self, rng: np.random.Generator, size_hw: tuple[int, int], lane: float) -> None:
        """Choose mount, lens and driving style."""
        height, width = size_hw
        self._size_hw = size_hw
        self._lane = lane
        self._focal = float(rng.uniform(0.8, 1.0)) * max(width, 1.2 * height)
        self._eye = float(rng.uniform(1.25, 1.7))
        self._level = float(rng.uniform(0.40, 0.50)) * height
        self._speed = float(rng.uniform(7.0, 10.0))
        self._bend = float(rng.uniform(0.0, 0.006))
        self._phase: list[float] = rng.uniform(0, 2 * math.pi, 7).tolist()

    def at(self, time: float) -> View:
        """Return the view at `time` seconds."""

        def wave(number: int, rate: float, along: float) -> float:
            return math.sin(rate * along + self._phase[number])

        z = self._speed * time + 3.0 * wave(0, 0.21, time)
        nod = 0.006 * wave(5, 2.3, time) + 0.003 * wave(6, 7.1, time)
        return View(
            size_hw=self._size_hw,
            focal=self._focal,
            eye=self._eye,
            horizon=self._level + nod * self._size_hw[0],
            x=self._lane + 0.35 * wave(1, 0.17, time),
            z=z,
            yaw=0.05 * wave(2, 0.13, time) + 0.012 * wave(3, 0.7, time),
            bend=self._bend * wave(4, 0.011, z),
        )


def fixed(pixels: Float64[np.ndarray, "n 2"]) -> Int32[np.ndarray, "n 2"]:
    """Return pixel positions in sixteenths. NEAR_M keeps them far below what an int32 holds."""
    return (pixels * (1 << SUBPIXEL)).astype(np.int32)
