"""What lies behind the street: the sky, and the hazy outline that closes the view."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.core.synthetic.light import Light
from edgeseg.core.synthetic.street import BUILDING, SKY, TREE
from edgeseg.core.synthetic.textures import jitter, labelled, noise_tile
from edgeseg.core.synthetic.view import View


class Backdrop:
    """A panorama twice as wide as the frame; turning the camera moves along it."""

    def __init__(self, rng: np.random.Generator, size_hw: tuple[int, int], light: Light) -> None:
        """Paint it once."""
        self._sky = _sky(rng, size_hw, light)
        self._far, self._mask = _skyline(rng, size_hw, light)

    def canvas(self, view: View) -> np.ndarray:
        """Return a new canvas "h w 4" with sky and skyline."""
        height, width = view.size_hw
        shift = int(min(max(width / 2 - view.focal * view.yaw, 0), width))
        canvas = self._sky[:, shift : shift + width].copy()
        # a little below the horizon: the ground is painted from 150 m on
        bottom = min(height, int(view.horizon + 0.03 * height) + 1)
        top = max(0, bottom - len(self._far))
        part = (slice(len(self._far) - (bottom - top), None), slice(shift, shift + width))
        cv2.copyTo(self._far[part], self._mask[part], canvas[top:bottom])
        return canvas


def _sky(rng: np.random.Generator, size_hw: tuple[int, int], light: Light) -> np.ndarray:
    height, width = size_hw[0], 2 * size_hw[1]
    top = np.array(jitter(rng, (176, 182, 190) if light.overcast else (98, 142, 204), 24))
    low = np.array(jitter(rng, (222, 224, 226), 16))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 0.8
    sky = np.repeat(top * (1 - down) + low * down, width, axis=1)
    cloud = cv2.resize(noise_tile(rng, 256, 1.7), (width, height))
    cover = np.clip(cloud * 0.35 + float(rng.uniform(-0.3, 0.5)), 0, 1)[..., None]
    sky = sky * (1 - cover) + np.array((236, 236, 238)) * cover
    return labelled(np.clip(sky, 0, 255).astype(np.uint8), SKY)


def _skyline(
    rng: np.random.Generator, size_hw: tuple[int, int], light: Light
) -> tuple[np.ndarray, np.ndarray]:
    height, width = size_hw[0], 2 * size_hw[1]
    tall = max(4, int(height * 0.16))
    image = np.zeros((tall, width, 4), np.uint8)
    mask = np.zeros((tall, width), np.uint8)
    x = 0
    while x < width:
        span = int(rng.uniform(0.02, 0.10) * size_hw[1]) + 2
        rise = max(2, int(tall * rng.uniform(0.25, 0.95)))
        trees = rng.random() < 0.5
        near = jitter(rng, (96, 104, 84) if trees else (142, 128, 120), 20)
        hazed = [int(0.55 * c + 0.45 * h) for c, h in zip(near, light.haze, strict=True)]
        shape = np.zeros_like(mask)
        foot = rise // 2 if trees else rise
        cv2.rectangle(shape, (x, tall - foot), (x + span, tall), 255, -1)
        for _ in range(5 if trees else 0):
            centre = (x + int(rng.integers(span)), tall - rise // 2)
            cv2.circle(shape, centre, max(2, int(rise * rng.uniform(0.3, 0.55))), 255, -1)
        image[shape > 0] = (*hazed, TREE if trees else BUILDING)
        mask |= shape
        x += span
    return image, mask
