"""The Pareto front: what nothing else beats on every figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def unbeaten(items: Sequence[Item], gains: Callable[[Item, Item], Sequence[float]]) -> list[int]:
    """Return the indices of the items that no other item beats.

    One beats another when it gains on it in some figure and loses in none.

    Args:
        items: what is compared.
        gains: by how much the first is better than the second, one number per figure; an empty
            sequence where the two cannot be compared.
    """

    def beats(one: Item, other: Item) -> bool:
        gained = gains(one, other)
        return all(gain >= 0 for gain in gained) and any(gain > 0 for gain in gained)

    return [
        index
        for index, item in enumerate(items)
        if not any(beats(other, item) for other in items if other is not item)
    ]
