"""Units: the channels that pruning keeps or removes together."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Member:
    """One side of one layer in a unit.

    Attributes:
        layer: its name.
        takes: whether the channels are the layer's inputs.
        gives: whether they are its outputs; both for depthwise convolutions and batch norms.
        channels: pairs (channel of the unit, channel of the layer).
    """

    layer: str
    takes: bool
    gives: bool
    channels: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Unit:
    """Channels that stay or go together in every layer they run through.

    Attributes:
        name: the first convolution that computes them.
        width: number of channels.
        producers: every convolution that computes them; several where they are added up.
        segments: the unit's channels, split where the set of producers changes (an addition to a
            concatenation), so that a rounded segment is a rounded width in every producer.
        members: the layers concerned.
        group: the same for Torch-Pruning's importances.
    """

    name: str
    width: int
    producers: tuple[str, ...]
    segments: tuple[tuple[int, ...], ...]
    members: tuple[Member, ...]
    group: Any = dataclasses.field(repr=False, compare=False)
