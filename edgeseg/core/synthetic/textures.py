"""Surfaces of the synthetic drive: noise, house fronts, fences. Drawn once per seed."""

from __future__ import annotations

import math

import cv2
import numpy as np

Colour = tuple[int, int, int]

BRICKS: tuple[Colour, ...] = (
    (142, 84, 66), (168, 132, 96), (182, 172, 152), (120, 104, 92), (196, 190, 180),
    (104, 72, 60), (150, 150, 150), (176, 148, 120), (92, 92, 96), (206, 198, 176),
)  # fmt: skip
DYES: tuple[Colour, ...] = (
    (28, 28, 34), (40, 44, 62), (96, 30, 32), (176, 172, 164), (52, 74, 108), (84, 76, 60),
    (190, 60, 44), (60, 92, 66), (120, 110, 116), (206, 188, 60), (30, 60, 120), (66, 50, 42),
)  # fmt: skip


def noise_tile(rng: np.random.Generator, size: int, slope: float) -> np.ndarray:
    """Return a tileable float32 noise square of unit deviation, spectrum 1/f**slope."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency**slope
    spectrum[0, 0] = 0.0
    tile = np.fft.irfft2(spectrum, s=(size, size))
    return (tile / tile.std()).astype(np.float32)


def textured(
    tile: np.ndarray,
    height: int,
    width: int,
    colour: Colour,
    depth: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return `colour` modulated by a random cut of a noise tile, uint8 "h w 3"."""
    y, x = rng.integers(0, tile.shape[0], 2)
    rows = np.arange(y, y + height) % tile.shape[0]
    cols = np.arange(x, x + width) % tile.shape[1]
    gain = 1.0 + depth * tile[rows[:, None], cols[None, :]]
    return np.clip(np.asarray(colour, np.float32) * gain[..., None], 0, 255).astype(np.uint8)


def jitter(rng: np.random.Generator, colour: Colour, by: int) -> Colour:
    """Return a colour moved by up to `by` per channel."""
    red, green, blue = (int(np.clip(c + rng.integers(-by, by + 1), 0, 255)) for c in colour)
    return red, green, blue


def greyed(rng: np.random.Generator, colour: Colour, by: int) -> Colour:
    """Return a colour made lighter or darker by up to `by`, its hue nearly kept."""
    step = int(rng.integers(-by, by + 1))
    red, green, blue = (min(max(c + step, 0), 255) for c in colour)
    return jitter(rng, (red, green, blue), 7)


def facade(rng: np.random.Generator, tile: np.ndarray, size: int) -> np.ndarray:
    """Return a house front, uint8 "size size 3": wall, windows in rows, a door or a shop."""
    wall = jitter(rng, BRICKS[int(rng.integers(len(BRICKS)))], 14)
    image = textured(tile, size, size, wall, float(rng.uniform(0.04, 0.10)), rng)
    if rng.random() < 0.5:
        course = max(2, size // 48)
        image[::course] = (image[::course] * 0.88).astype(np.uint8)
    floors, columns = int(rng.integers(2, 5)), int(rng.integers(2, 6))
    frame = jitter(rng, (214, 212, 206) if rng.random() < 0.6 else (60, 52, 48), 20)
    shop = rng.random() < 0.45
    step_y, step_x = size / floors, size / columns
    tall, wide = float(rng.uniform(0.45, 0.68)), float(rng.uniform(0.35, 0.66))
    edge = max(1, size // 90)
    for row in range(floors):
        if shop and row == floors - 1:
            break
        for col in range(columns):
            glass = jitter(rng, (62, 70, 82), 26)
            if rng.random() < 0.15:
                glass = jitter(rng, (150, 160, 170), 40)
            x0 = int((col + 0.5 - wide / 2) * step_x)
            y0 = int((row + 0.5 - tall / 2) * step_y)
            x1, y1 = int(x0 + wide * step_x), int(y0 + tall * step_y)
            if row == floors - 1 and col == columns // 2:
                y1, glass = size, jitter(rng, (70, 50, 46), 40)
            cv2.rectangle(image, (x0 - edge, y0 - edge), (x1 + edge, y1 + edge), frame, -1)
            cv2.rectangle(image, (x0, y0), (x1, y1), glass, -1)
            cv2.line(image, (x0, (y0 + y1) // 2), (x1, (y0 + y1) // 2), frame, edge)
            cv2.line(image, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), frame, edge)
    if shop:
        top = int(size * (1 - 0.95 / floors))
        cv2.rectangle(image, (0, top), (size, size), jitter(rng, (56, 48, 46), 40), -1)
        cv2.rectangle(
            image,
            (0, top),
            (size, top + size // 14),
            jitter(rng, DYES[int(rng.integers(len(DYES)))], 30),
            -1,
        )
        bays = int(rng.integers(2, 5))
        for bay in range(bays):
            x0, x1 = int((bay + 0.08) * size / bays), int((bay + 0.92) * size / bays)
            cv2.rectangle(
                image,
                (x0, top + size // 11),
                (x1, int(size * 0.97)),
                jitter(rng, (74, 80, 86), 34),
                -1,
            )
    return image


def fence(rng: np.random.Generator, tile: np.ndarray, size: int, style: int) -> np.ndarray:
    """Return a fence panel, uint8 "size size 3": boards, railings, brick or guard rail."""
    if style % 4 == 0:
        image = textured(tile, size, size, jitter(rng, (116, 86, 60), 20), 0.12, rng)
        image[:, :: max(3, size // 10)] //= 2
    elif style % 4 == 1:
        image = textured(tile, size, size, jitter(rng, (88, 92, 82), 24), 0.2, rng)
        bars = jitter(rng, (36, 40, 42), 12)
        for x in range(0, size, max(4, size // 14)):
            image[:, x : x + max(1, size // 40)] = bars
        image[: size // 16] = image[-size // 10 :] = bars
    elif style % 4 == 2:
        image = textured(tile, size, size, jitter(rng, (132, 92, 74), 16), 0.1, rng)
        image[:: max(3, size // 14)] = (image[:: max(3, size // 14)] * 0.75).astype(np.uint8)
        image[: size // 12] = jitter(rng, (168, 160, 148), 14)
    else:
        image = textured(tile, size, size, jitter(rng, (104, 102, 100), 14), 0.12, rng)
        bars = jitter(rng, (172, 174, 172), 20)
        for x in range(0, size, max(4, size // 12)):
            image[:, x : x + max(1, size // 32)] = bars
        image[: size // 14] = image[size // 2 : size // 2 + size // 16] = bars
    return image


def gable(rng: np.random.Generator, tile: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Return the side wall to a house front: its colour, with one window or none."""
    size = front.shape[0] // 2
    red, green, blue = (int(v) for v in np.median(front, axis=(0, 1)))
    image = textured(tile, size, size, (red, green, blue), float(rng.uniform(0.05, 0.12)), rng)
    for _ in range(int(rng.integers(0, 4))):
        x, y = (int(size * rng.uniform(0.1, 0.75)) for _ in range(2))
        glass = jitter(rng, (62, 70, 82), 26)
        cv2.rectangle(image, (x, y), (x + size // 9, y + size // 7), glass, -1)
    return image


def cutout(size_hw: tuple[int, int], colour: Colour) -> np.ndarray:
    """Return an empty cut-out, uint8 "h w 4": a colour under a mask of zeros."""
    image = np.zeros((*size_hw, 4), np.uint8)
    image[..., :3] = colour
    return image


def labelled(image: np.ndarray, label: int) -> np.ndarray:
    """Return RGB with a label as its fourth channel."""
    return np.dstack([image, np.full(image.shape[:2], label, np.uint8)])


def pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Return an image and its halvings down to about 12 pixels."""
    levels = [image]
    while min(levels[-1].shape[:2]) > 12:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return levels


def level_for(tall: int, levels: int, rows: float) -> int:
    """Return the smallest halving that is still at least 0.8 of `rows` tall.

    Args:
        tall: rows of the whole picture.
        levels: number of halvings there are, the whole picture included.
        rows: rows on the screen.
    """
    ratio = 1.25 * tall / max(rows, 1.0)
    return min(int(math.log2(ratio)), levels - 1) if ratio > 1 else 0
