"""The day of a drive: sun, haze, white balance, exposure, lens and sensor."""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.synthetic.textures import Colour, jitter

HAZE_LEVELS = 16
SHADE, PLAIN, SUNNY = 0, 1, 2


class Light:
    """The light of a seed.

    Attributes:
        overcast: no sun, so no shadows but those under cars.
        sun: -1 or +1, the side of the street that the sun stands on.
        run: metres that a shadow runs in x and z for each metre of height.
        haze: RGB of the far haze.
        shade: share of the light that shaded ground keeps.
    """

    def __init__(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> None:
        """Choose the day and lay its tables out."""
        height, width = size_hw
        self.overcast = bool(rng.random() < 0.35)
        self.sun = int(rng.choice([-1, 1]))
        self.run = (-self.sun * float(rng.uniform(0.3, 0.9)), float(rng.uniform(-0.4, 0.5)))
        self.haze = jitter(rng, (206, 210, 214) if self.overcast else (190, 206, 222), 14)
        self.shade = 0.75 if self.overcast else float(rng.uniform(0.4, 0.6))
        self._haze_run = float(rng.uniform(110, 420))
        self._gains = (0.5 + 0.5 * self.shade, 1.0, 1.16)
        self._balance = np.array([rng.uniform(0.9, 1.12), 1.0, rng.uniform(0.88, 1.14)])
        self._gain, self._gamma = float(rng.uniform(0.72, 1.2)), float(rng.uniform(0.75, 1.2))
        self._flicker = float(rng.uniform(0, 2 * math.pi))
        self._soft = float(rng.choice([0.0, 0.6, 0.9]))
        self._tables = self._haze_tables()
        self._tints: dict[tuple[Colour, int, int], Colour] = {}
        noise = rng.normal(0, float(rng.uniform(2.0, 6.0)), (height + 64, width + 64, 3))
        self._noise_up = np.clip(noise, 0, 255).astype(np.uint8)
        self._noise_down = np.clip(-noise, 0, 255).astype(np.uint8)
        down, across = np.linspace(-1, 1, height) ** 2, np.linspace(-1, 1, width) ** 2
        fall = 1 - float(rng.uniform(0.0, 0.22)) * (down[:, None] + across) / 2
        self._vignette = np.repeat((255 * fall).astype(np.uint8)[..., None], 3, axis=2)

    def level(self, ahead: float) -> int:
        """Return the haze level at a distance in metres."""
        return int((1 - math.exp(-ahead / self._haze_run)) * (HAZE_LEVELS - 1) + 0.5)

    def levels(self, ahead: np.ndarray) -> np.ndarray:
        """Return the haze levels of many distances."""
        return ((1 - np.exp(-ahead / self._haze_run)) * (HAZE_LEVELS - 1) + 0.5).astype(int)

    def table(self, level: int, lit: int) -> UInt8[np.ndarray, "1 256 4"]:
        """Return the look-up table that lights and hazes RGB and leaves the label alone."""
        return self._tables[level, lit]

    def tint(self, colour: Colour, level: int, lit: int) -> Colour:
        """Return one colour as `table` would give it."""
        key = (colour, level, lit)
        if key not in self._tints:
            mix = level / (HAZE_LEVELS - 1) * 0.9
            gain = self._gains[lit] * (1 - mix)
            red, green, blue = (
                min(255, int(c * gain + h * mix)) for c, h in zip(colour, self.haze, strict=True)
            )
            self._tints[key] = (red, green, blue)
        return self._tints[key]

    def on_front(self, x: float) -> int:
        """Return the light on a front at `x` that faces the street."""
        if self.overcast:
            return PLAIN
        return SUNNY if x * self.sun < 0 else SHADE

    def shaded(self, ground: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
        """Return the ground as it lies in shadow."""
        steps = np.arange(256)
        table = np.repeat((steps * self.shade).astype(np.uint8)[:, None], 4, axis=1)
        table[:, 3] = steps
        return cv2.LUT(ground, table[None])

    def expose(
        self, rgb: UInt8[np.ndarray, "h w 3"], i: int, time: float
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Turn the scene into what a sensor gives: blur, vignette, exposure, noise."""
        height, width = rgb.shape[:2]
        if self._soft:
            rgb = cv2.GaussianBlur(rgb, (3, 3), self._soft)
        rgb = _darkened(rgb, self._vignette)
        gain = self._gain * (1 + 0.08 * math.sin(0.31 * time + self._flicker))
        level = np.arange(256)[:, None] / 255
        table = 255 * np.clip(level * gain * self._balance, 0, 1) ** self._gamma
        rgb = cv2.LUT(rgb, table.astype(np.uint8)[None])
        # a hash moves the noise tile; a Generator for each frame would cost a hundred times more
        dy, dx = (i * 2654435761 >> 7) % 65, (i * 2246822519 >> 5) % 65
        rgb = cv2.add(rgb, self._noise_up[dy : dy + height, dx : dx + width])
        return cv2.subtract(rgb, self._noise_down[dy : dy + height, dx : dx + width])

    def _haze_tables(self) -> np.ndarray:
        tables = np.empty((HAZE_LEVELS, 3, 1, 256, 4), np.uint8)
        steps = np.arange(256)[:, None]
        for level in range(HAZE_LEVELS):
            mix = level / (HAZE_LEVELS - 1) * 0.9
            for lit, gain in enumerate(self._gains):
                colour = steps * (gain * (1 - mix)) + np.array(self.haze) * mix
                tables[level, lit, 0, :, :3] = np.clip(colour, 0, 255)
                tables[level, lit, 0, :, 3] = np.arange(256)
        return tables


def _darkened(
    rgb: UInt8[np.ndarray, "h w 3"], share: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return rgb * share / 255, rounded: cv2.multiply rounds on x86 and cuts off on Arm."""
    product = np.multiply(rgb, share, dtype=np.uint16)
    product += 127
    product //= 255
    return product.astype(np.uint8)
