"""Cut-out figures of the synthetic drive, with trees and signs. Drawn once per seed.

A cut-out is a uint8 array of RGB and, as its fourth channel, its mask (0 or 255).
"""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.core.synthetic.people import cyclist, parked_bike, pedestrian
from edgeseg.core.synthetic.street import BICYCLIST, PEDESTRIAN, SIGN, TREE
from edgeseg.core.synthetic.textures import Colour, cutout, jitter, labelled, pyramid

LEAVES: tuple[Colour, ...] = (
    (62, 84, 40), (78, 96, 52), (48, 66, 38), (96, 98, 58), (92, 74, 48), (70, 88, 60),
)  # fmt: skip


# Steps of a walking or riding cycle.
PHASES = 6

# Halvings of one picture: RGB with its label, and the mask.
Cutout = list[tuple[np.ndarray, np.ndarray]]
# family -> looks -> steps
Figures = dict[str, list[list[Cutout]]]


def build_figures(rng: np.random.Generator, tile: np.ndarray, rows: int) -> Figures:
    """Draw all figures of a seed for frames `rows` pixels tall."""
    unit = min(max(rows * 35 // 100, 48), 400)
    small = max(24, unit // 3)
    drawn: dict[str, tuple[int, list[list[np.ndarray]]]] = {
        "tree": (TREE, [[tree(rng, tile, unit * 8 // 5)] for _ in range(8)]),
        "pedestrian": (PEDESTRIAN, [pedestrian(rng, unit, PHASES) for _ in range(10)]),
        "cyclist": (BICYCLIST, [cyclist(rng, unit, PHASES) for _ in range(6)]),
        "bike": (BICYCLIST, [[parked_bike(rng, unit // 2)] for _ in range(4)]),
        "sign": (SIGN, [[sign(rng, small)] for _ in range(12)]),
        "light": (SIGN, [[traffic_light(rng, small)] for _ in range(3)]),
    }
    return {
        family: [[_halvings(image, label) for image in steps] for steps in looks]
        for family, (label, looks) in drawn.items()
    }


def _halvings(image: np.ndarray, label: int) -> Cutout:
    colours = pyramid(labelled(image[..., :3], label))
    masks = [np.ascontiguousarray(image[..., 3])]
    for colour in colours[1:]:
        size = (colour.shape[1], colour.shape[0])
        masks.append(cv2.resize(masks[-1], size, interpolation=cv2.INTER_AREA))
    return list(zip(colours, masks, strict=True))


def tree(rng: np.random.Generator, tile: np.ndarray, size: int) -> np.ndarray:
    """Return a tree, uint8 "size 0.8*size 4": trunk, boughs and a ragged crown."""
    width = int(size * 0.8)
    leaf = jitter(rng, LEAVES[int(rng.integers(len(LEAVES)))], 12)
    image = cutout((size, width), leaf)
    bare = rng.random() < 0.25
    trunk = (*jitter(rng, (74, 62, 50), 14), 255)
    cv2.line(image, (width // 2, size), (width // 2, size // 2), trunk, max(2, size // 22))
    for _ in range(9 if bare else 5):
        end = (int(width * rng.uniform(0.1, 0.9)), int(size * rng.uniform(0.05, 0.45)))
        cv2.line(
            image, (width // 2, int(size * rng.uniform(0.45, 0.75))), end, trunk, max(1, size // 60)
        )
    crown = np.zeros((size, width), np.float32)
    for _ in range(26):
        centre = (
            int(width * np.clip(rng.normal(0.5, 0.2), 0.22, 0.78)),
            int(size * np.clip(rng.normal(0.35, 0.15), 0.19, 0.66)),
        )
        cv2.circle(crown, centre, int(size * rng.uniform(0.06, 0.16)), 1.0, -1)
    crown = cv2.GaussianBlur(crown, (0, 0), size / 40)
    y, x = rng.integers(0, 200, 2)
    rough = np.roll(tile, (y, x), (0, 1))
    rough = cv2.resize(rough, (max(width, 64), max(size, 64)))[:size, :width]
    # noise frays the crown's edge and leaves nothing hanging in the air beyond it
    inside = (crown + 0.22 * rough > (0.86 if bare else 0.45)) & (crown > 0.1)
    light = 0.85 + 0.28 * rough + 0.35 * (0.45 - np.linspace(0, 1, size)[:, None])
    speckle = 1.0 + 0.25 * rng.standard_normal((size, width)).astype(np.float32)
    crowned = np.clip(np.asarray(leaf) * (light * speckle)[..., None], 0, 255).astype(np.uint8)
    image[..., :3][inside] = crowned[inside]
    image[..., 3][inside] = 255
    return image


def sign(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a traffic sign, uint8 "size size 4": disc, triangle or plate."""
    image = cutout((size, size), (150, 150, 150))
    kind = int(rng.integers(5))
    half, white = size // 2, (*jitter(rng, (226, 226, 222), 12), 255)
    red, blue = (*jitter(rng, (188, 36, 40), 16), 255), (*jitter(rng, (34, 70, 160), 20), 255)
    black = (24, 24, 26, 255)
    if kind == 0:
        cv2.circle(image, (half, half), half - 1, red, -1)
        cv2.circle(image, (half, half), int(half * 0.72), white, -1)
        cv2.putText(
            image,
            str(rng.choice(["20", "30", "40"])),
            (size // 5, int(size * 0.64)),
            cv2.FONT_HERSHEY_SIMPLEX,
            size / 55,
            black,
            max(1, size // 16),
        )
    elif kind == 1:
        corners = np.array([(half, 1), (size - 2, int(size * 0.9)), (1, int(size * 0.9))])
        cv2.fillConvexPoly(image, corners, red)
        inner = (corners - corners.mean(0)) * 0.68 + corners.mean(0)
        cv2.fillConvexPoly(image, inner.astype(np.int32), white)
        cv2.line(image, (half, int(size * 0.4)), (half, int(size * 0.7)), black, size // 12)
    elif kind == 2:
        cv2.circle(image, (half, half), half - 1, blue, -1)
        cv2.arrowedLine(
            image,
            (half, int(size * 0.8)),
            (half, int(size * 0.2)),
            white,
            max(1, size // 9),
            tipLength=0.5,
        )
    elif kind == 3:
        plate = (*jitter(rng, (30, 96, 62) if rng.random() < 0.5 else (226, 222, 206), 14), 255)
        ink = white if sum(plate[:3]) < 380 else black
        cv2.rectangle(image, (0, size // 6), (size - 1, int(size * 0.84)), plate, -1)
        for row in (0.36, 0.54, 0.7):
            cv2.line(
                image,
                (size // 8, int(size * row)),
                (int(size * rng.uniform(0.5, 0.9)), int(size * row)),
                ink,
                size // 14,
            )
    else:
        cv2.rectangle(
            image,
            (size // 6, 0),
            (int(size * 0.84), size - 1),
            blue if rng.random() < 0.5 else (214, 184, 44, 255),
            -1,
        )
        cv2.putText(
            image,
            str(rng.choice(["P", "i", "H"])),
            (size // 4, int(size * 0.78)),
            cv2.FONT_HERSHEY_SIMPLEX,
            size / 34,
            white,
            max(1, size // 9),
        )
    return image


def traffic_light(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a signal head with one lit lamp, uint8 "size 0.4*size 4"."""
    width = int(size * 0.4)
    image = cutout((size, width), (26, 28, 28))
    image[..., 3] = 255
    lit = int(rng.integers(3))
    colours = ((232, 48, 40), (240, 170, 40), (60, 220, 130))
    for row in range(3):
        colour = colours[row] if row == lit else (52, 54, 54)
        cv2.circle(
            image,
            (width // 2, int(size * (0.18 + 0.32 * row))),
            int(width * 0.34),
            (*colour, 255),
            -1,
        )
    return image
