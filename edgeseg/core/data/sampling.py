"""Evenly spread choices of samples."""

from __future__ import annotations


def spread_indices(length: int, count: int) -> list[int]:
    """Return at most `count` indices spread evenly over 0 to `length`, the first always 0."""
    count = min(count, length)
    return [number * length // count for number in range(count)]
