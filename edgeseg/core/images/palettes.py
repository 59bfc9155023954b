"""Palettes to look at: the network's own, or colours that cannot be mistaken for one another."""

from __future__ import annotations

import functools

from edgeseg.errors import UsageError

Palette = tuple[tuple[int, int, int], ...]

# What `--palette` takes.
PALETTES = ("own", "readable")
# Steps of each channel among which colours are chosen.
STEPS = (0, 51, 102, 153, 204, 255)
# Lightness of CIELAB, and least distance from grey. Void is black, a bright sky is white.
DARK, BRIGHT = 45.0, 92.0


def display_palette(name: str, own: Palette) -> Palette:
    """Return the colours of a palette by name, one for each of the network's classes.

    Raises:
        UsageError: there is no such palette.
    """
    if name not in PALETTES:
        raise UsageError(f"palette is {name!r}, expected one of {', '.join(PALETTES)}")
    return own if name == "own" else readable(len(own))


@functools.lru_cache(maxsize=8)
def readable(n: int) -> Palette:
    """Return `n` colours, each as far as can be from all before it, by their distance in CIELAB.

    Colours come again where there are more classes than distinct ones.
    """
    # Imported here: the command line reads PALETTES where neither is installed.
    import cv2
    import numpy as np

    grid = np.array([(r, g, b) for r in STEPS for g in STEPS for b in STEPS], np.uint8)
    lab = cv2.cvtColor(grid[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    fit = (lab[:, 0] > DARK) & (lab[:, 0] < BRIGHT)
    # Grey is what most pictures consist of.
    fit &= np.hypot(lab[:, 1], lab[:, 2]) > DARK
    grid, lab = grid[fit], lab[fit]
    chosen = [int(np.argmax(np.hypot(lab[:, 1], lab[:, 2])))]
    nearest = np.full(len(grid), np.inf)
    while len(chosen) < min(n, len(grid)):
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(nearest)))
    colours = [(int(r), int(g), int(b)) for r, g, b in grid[chosen]]
    return tuple(colours[i % len(colours)] for i in range(n))
