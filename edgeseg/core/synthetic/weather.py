"""Weather over a painted frame: what a camera sees worse, while the truth stays what it was."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError

WEATHERS = ("clear", "rain", "fog", "snow", "night")
HORIZON = 0.42  # share of the height; the drive's cameras look about level
FOG_RGB = (200, 203, 206)


class Weather:
    """Lays one kind of weather over frames; frame i is the same whenever it is asked for.

    fog: Koschmieder's law, more air light the farther a row of the road lies; rain: streaks and
    less contrast; snow: flakes and a paler picture; night: little light, blue, more sensor noise.

    Args:
        kind: one of WEATHERS; "clear" changes nothing.
        seed: of flakes, streaks and noise.
        size_hw: of the frames.

    Raises:
        UsageError: unknown kind.
    """

    def __init__(self, kind: str, seed: int, size_hw: tuple[int, int]) -> None:
        if kind not in WEATHERS:
            raise UsageError(unknown("weather", kind, WEATHERS))
        self._kind = kind
        self._seed = seed
        height, width = size_hw
        # Distance on flat ground goes with 1 / (rows below the horizon); above it all is far.
        below = np.maximum(np.arange(height) / height - HORIZON, 0.02)
        share = 0.85 * (1 - np.exp(-0.09 / below))
        self._fog = np.repeat(share.astype(np.float32)[:, None], width, axis=1)[..., None]

    def over(self, rgb: UInt8[np.ndarray, "h w 3"], i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return frame `i` under this weather; a new array except for "clear"."""
        if self._kind == "clear":
            return rgb
        rng = np.random.default_rng((self._seed, i, WEATHERS.index(self._kind)))
        if self._kind == "fog":
            air = np.array(FOG_RGB, np.float32)
            return (rgb * (1 - self._fog) + air * self._fog).astype(np.uint8)
        if self._kind == "night":
            dark = rgb * np.array([0.22, 0.25, 0.34], np.float32)
            return np.clip(dark + rng.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)
        if self._kind == "rain":
            pale = cv2.addWeighted(rgb, 0.75, np.full_like(rgb, 120), 0.25, -12)
            return self._marks(pale, rng, length=0.06, thickness=1, share=0.35)
        pale = cv2.addWeighted(rgb, 0.7, np.full_like(rgb, 225), 0.3, 0)
        return self._marks(pale, rng, length=0.0, thickness=3, share=0.9)

    def _marks(
        self, rgb: np.ndarray, rng: np.random.Generator, *, length: float, thickness: int,
        share: float,
    ) -> np.ndarray:  # fmt: skip
        height, width = rgb.shape[:2]
        layer = rgb.copy()
        n = max(20, height * width // 700)
        for x, y, slant in rng.random((n, 3)):
            at = int(x * width), int(y * height)
            to = int(at[0] + (slant - 0.2) * length * height / 3), int(at[1] + length * height)
            cv2.line(layer, at, to, (235, 238, 242), thickness)
        return cv2.addWeighted(layer, share, rgb, 1 - share, 0)
