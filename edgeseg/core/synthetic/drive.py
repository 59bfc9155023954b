"""The synthetic drive: a labelled camera that every machine has.

A street in perspective with a moving camera, in CamVid's 11 classes. Colours and labels are
painted by the same calls into one four-channel canvas, so a mask is exact by construction.
Frame `i` of a seed is the same whatever was asked for before it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_IGNORE, CAMVID_PALETTE
from edgeseg.core.synthetic.backdrop import Backdrop
from edgeseg.core.synthetic.ground import Ground
from edgeseg.core.synthetic.light import Light
from edgeseg.core.synthetic.painter import Painter
from edgeseg.core.synthetic.street import Street
from edgeseg.core.synthetic.view import NEAR_M, Camera
from edgeseg.errors import UsageError

# The longest thing, a plot of 13 m, may begin this far behind the camera and still be in sight.
BEHIND_M = 13.5


class _Scenery(NamedTuple):
    """What all drives of one seed and size share; nothing changes it once it is built."""

    street: Street
    camera: Camera
    light: Light
    backdrop: Backdrop
    ground: Ground
    painter: Painter


# An export paints its golden frame, and a test opens its data, several times over.
@functools.lru_cache(maxsize=4)
def _scenery(size_hw: tuple[int, int], seed: int) -> _Scenery:
    street = Street(seed)
    rng = np.random.default_rng((seed, 0))
    camera = Camera(rng, size_hw, street.layout.hand * 1.7)
    light = Light(rng, size_hw)
    backdrop = Backdrop(rng, size_hw, light)
    ground = Ground(rng, street)
    return _Scenery(street, camera, light, backdrop, ground, Painter(rng, size_hw, light))


class SyntheticDrive:
    """A seeded drive of `n` frames along an endless street.

    The labels are CamVid's 11 classes in CamVid's order; none is void. Frames may be painted from
    several threads at once.
    """

    class_names = CAMVID_CLASSES
    palette = CAMVID_PALETTE
    ignore_index = CAMVID_IGNORE

    def __init__(
        self,
        size_hw: tuple[int, int] = (360, 480),
        seed: int = 0,
        n: int = 500,
        fps: float = 15.0,
    ) -> None:
        """Build the street and the day of a seed; a few tenths of a second at 360x480.

        Args:
            size_hw: height and width of the frames, at least 32 each.
            seed: of the street, its traffic, the light and the camera's mount; 0 or more.
            n: number of frames.
            fps: frames per second; the camera moves at 7 to 10 m/s.

        Raises:
            UsageError: the size is too small, or the seed, n or fps is negative.
        """
        if min(size_hw) < 32:
            raise UsageError(
                f"size {size_hw[0]}x{size_hw[1]} is too small for the drive; use 32x32 or more"
            )
        if seed < 0 or n < 0 or fps <= 0:
            raise UsageError(
                f"seed {seed}, n {n}, fps {fps}: expected seed and n of 0 or more, fps above 0"
            )
        self.size_hw, self.seed, self.n, self.fps = (size_hw[0], size_hw[1]), seed, n, fps
        scenery = _scenery(size_hw, seed)
        self._street, self._camera, self._light = scenery.street, scenery.camera, scenery.light
        self._backdrop, self._ground, self._painter = (
            scenery.backdrop,
            scenery.ground,
            scenery.painter,
        )

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.n

    def frame(self, i: int) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
        """Paint frame `i`.

        Returns:
            The RGB image and the label of each pixel, 0-10; both are new arrays.

        Raises:
            IndexError: `i` is outside 0..n-1.
        """
        if not 0 <= i < self.n:
            raise IndexError(f"frame {i} of a drive of {self.n} frames")
        time = i / self.fps
        view = self._camera.at(time)
        items = self._street.items(view.z + NEAR_M - BEHIND_M, view.z, time)
        canvas = self._backdrop.canvas(view)
        self._ground.paint(canvas, view, self._light, items)
        self._painter.paint(canvas, view, items)
        labels = cv2.extractChannel(canvas, 3)
        return self._light.expose(cv2.cvtColor(canvas, cv2.COLOR_RGBA2RGB), i, time), labels
