"""The Gaussian kernel on the permutohedral lattice: linear in the pixels, for any features.

A Gaussian over d features is a blur in d dimensions. The lattice covers that space with simplices
of d + 1 corners; each pixel is spread over the corners of its simplex, the corners are blurred
along the d + 1 directions of the lattice, and each pixel reads the result where it was spread.

Source: Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice",
Eurographics 2010, sections 3.1-3.3.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from edgeseg.errors import UsageError

# Corner numbers of all dimensions share one int64.
MOST_CORNERS = 2**62


class LatticeKernel:
    """Sums over all pixels, weighted by about exp(-|f_i - f_j|² / 2), up to one factor for all.

    The factor is the lattice's own; whoever divides by the sum of weights never sees it.

    Args:
        features: one row per pixel, in units of the kernel's widths.

    Raises:
        UsageError: the features span more lattice corners than can be numbered.
    """

    def __init__(self, features: Float32[np.ndarray, "n d"]) -> None:
        d = features.shape[1]
        origin, rank, weights = _simplices(features)
        corners, self._corner, unit = _number_corners(origin, rank)
        self._weights = weights
        # The last place of a row of values stays 0: what a corner that no pixel touches holds.
        self._size = len(corners)
        self._neighbours = []
        for axis in range(d + 1):
            # One step along an axis adds d to its coordinate and takes 1 off every other; the last
            # coordinate follows from the others, whose sum it cancels.
            step = ((d + 1) * unit[axis] if axis < d else 0) - int(unit.sum())
            self._neighbours.append(
                tuple(_find(corners, corners + sign * step) for sign in (1, -1))
            )

    def __call__(self, values: Float32[np.ndarray, "c n"]) -> Float32[np.ndarray, "c n"]:
        """Return, for each pixel, the weighted sum of all pixels' values, its own included."""
        lattice = self._splat(values)
        for up, down in self._neighbours:
            blurred = np.take(lattice, up, axis=1)
            blurred += np.take(lattice, down, axis=1)
            blurred *= 0.5
            lattice[:, :-1] += blurred
        return self._slice(lattice, values.shape[1])

    def _splat(self, values: np.ndarray) -> np.ndarray:
        lattice = np.zeros((len(values), self._size + 1), np.float32)
        corner = self._corner.ravel()
        shares = np.empty(self._weights.shape, np.float64)
        for plane, row in zip(values, lattice, strict=True):
            np.multiply(self._weights, plane, out=shares)
            row[:-1] = np.bincount(corner, shares.ravel(), minlength=self._size)
        return lattice

    def _slice(self, lattice: np.ndarray, pixels: int) -> np.ndarray:
        result = np.zeros((len(lattice), pixels), np.float32)
        read = np.empty(pixels, np.float32)
        for row, out in zip(lattice, result, strict=True):
            for corner, weight in zip(self._corner, self._weights, strict=True):
                # mode="clip" reads into `read` without a copy; every number is within bounds.
                np.take(row, corner, out=read, mode="clip")
                read *= weight
                out += read
        return result


def _simplices(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the simplex that each pixel lies in.

    Returns:
        d + 1 coordinates of the simplex's corner of remainder 0, per pixel; the rank of each
        coordinate's distance from it, largest first; the pixel's weight at each corner, corner by
        pixel.
    """
    n, d = features.shape
    lifted = features @ _lifting(d).T
    origin = np.rint(lifted / (d + 1)).astype(np.int64) * (d + 1)
    excess = origin.sum(1) // (d + 1)
    order = np.argsort(origin - lifted, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(d + 1)[None], axis=1)
    # Rounded coordinates that do not sum to 0 are no corner: those rounded furthest go back.
    rank += excess[:, None]
    for out, back in ((rank < 0, d + 1), (rank > d, -(d + 1))):
        origin[out] += back
        rank[out] += back
    distance = ((lifted - origin) / np.float32(d + 1)).astype(np.float32)
    sorted_distance = np.empty_like(distance)
    np.put_along_axis(sorted_distance, rank, distance, axis=1)
    weights = np.empty((d + 1, n), np.float32)
    weights[0] = 1.0 + sorted_distance[:, d] - sorted_distance[:, 0]
    for corner in range(1, d + 1):
        weights[corner] = sorted_distance[:, d - corner] - sorted_distance[:, d - corner + 1]
    return origin, rank, weights


def _lifting(d: int) -> np.ndarray:
    """Return the d + 1 by d matrix onto the plane of the lattice, scaled to its blur's width.

    The blur along d + 1 axes and the two interpolations together are a Gaussian of the standard
    deviation (d + 1) sqrt(2/3) in lattice units (section 3.1).
    """
    matrix = np.zeros((d + 1, d))
    for column in range(d):
        size = 1.0 / np.sqrt((column + 1) * (column + 2))
        matrix[: column + 1, column] = size
        matrix[column + 1, column] = -(column + 1) * size
    return (matrix * (d + 1) * np.sqrt(2.0 / 3.0)).astype(np.float32)


def _number_corners(
    origin: np.ndarray, rank: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give every corner of a simplex with a pixel in it a number.

    Returns:
        The corners' keys in ascending order; the place in them of each pixel's corners, corner by
        pixel; what one step of each of the first d coordinates adds to a key.
    """
    d = origin.shape[1] - 1
    kept = origin[:, :d]
    # A margin for corners and their neighbours, so that no step carries over into the next digit.
    margin = 3 * (d + 1)
    low = kept.min(0) - margin
    span = (kept.max(0) + margin - low + 1).tolist()
    unit = [1]
    for size in span:
        unit.append(unit[-1] * size)
    if unit[-1] > MOST_CORNERS:
        raise UsageError(
            "the dense CRF's kernel is too narrow for this picture: its lattice has more corners "
            "than can be numbered; give a larger position or colour"
        )
    steps = np.array(unit[:-1], np.int64)
    base = (kept - low) @ steps
    keys, places, known = [], np.empty((d + 1, len(origin)), np.intp), 0
    for corner in range(d + 1):
        # Corner k adds k to each coordinate, less d + 1 where its rank is among the last k.
        offset = np.where(rank[:, :d] <= d - corner, corner, corner - (d + 1))
        # Corners of different k are never the same, so that each k has its own small sort.
        found, place = np.unique(base + offset @ steps, return_inverse=True)
        keys.append(found)
        places[corner] = place.reshape(-1) + known
        known += len(found)
    joined = np.concatenate(keys)
    order = np.argsort(joined)
    moved = np.empty_like(order)
    moved[order] = np.arange(len(order))
    return joined[order], moved[places], steps


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of each wanted key; the length of the list where the key is absent."""
    place = np.searchsorted(keys, wanted)
    place[place == len(keys)] = 0
    return np.where(keys[place] == wanted, place, len(keys))
