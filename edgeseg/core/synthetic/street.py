"""The street of the synthetic drive: what stands and moves where, built from a seed.

Coordinates are metres: x to the right of the road's centre line, y up, z along the street.
Nothing here draws.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

CHUNK_M = 24.0
SEE_M = 105.0
# Things that move, remembered; some fifty are in sight at a time.
MOST_MOVERS = 256
# A side street's mouth, from the start of its chunk.
MOUTH_M = (6.0, 18.0)
LOOKS = 1 << 20

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)


class Item(NamedTuple):
    """One thing that can be painted.

    Attributes:
        kind: "building", "fence", "car", "sprite" or "post".
        x: the street side of a wall, the middle of anything else.
        z: the near end.
        length: along z for walls and cars, the width of a sprite or post.
        height: of the thing itself.
        base: height above the ground at which it starts.
        look: picks its texture, figure or colours; taken modulo what there is.
        family: the sprite family, or the style of a building, fence or post.
        heading: +1 when it faces the way the camera drives, -1 when it comes towards it.
        phase: step of a walking or riding cycle, 0-1.
        gable: a building's near side wall can be seen.
    """

    kind: str
    x: float
    z: float
    length: float
    height: float
    base: float = 0.0
    look: int = 0
    family: str = ""
    heading: int = 1
    phase: float = 0.0
    gable: bool = True


@dataclasses.dataclass(frozen=True)
class Layout:
    """Widths of the street's strips, the same along the whole drive.

    Attributes:
        road: half the width of the carriageway.
        pavement: width of each pavement.
        parking: cars are parked along both kerbs.
        garden: depth of the front gardens between pavement and houses.
        hand: -1 when traffic keeps left, +1 when it keeps right.
        town: 0 (leafy suburb) to 1 (dense town).
    """

    road: float
    pavement: float
    parking: bool
    garden: float
    hand: int
    town: float

    @property
    def wall(self) -> float:
        """Distance of the house fronts from the centre line."""
        return self.road + self.pavement + self.garden


@dataclasses.dataclass(frozen=True)
class Lane:
    """A file of moving things, one or none to every `spacing` metres."""

    family: str
    x: float
    speed: float
    spacing: float


class Street:
    """An endless street; chunk `k` covers z from k to k + 1 times CHUNK_M."""

    def __init__(self, seed: int) -> None:
        """Fix the layout and the lanes of this seed."""
        rng = np.random.default_rng((seed, 1))
        self._seed = seed
        self._chunks: dict[int, tuple[Item, ...]] = {}
        self._movers: dict[tuple[int, int], tuple[Item, float] | None] = {}
        parking = bool(rng.random() < 0.5)
        self.layout = lay = Layout(
            road=float(rng.uniform(5.0, 6.0) if parking else rng.uniform(3.7, 4.5)),
            pavement=float(rng.uniform(2.2, 3.6) if parking else rng.uniform(2.8, 4.6)),
            parking=parking,
            garden=float(rng.choice([0.0, 1.5, 3.0])),
            hand=int(rng.choice([-1, 1])),
            town=float(rng.uniform(0.1, 1.0)),
        )
        kerbside, walk = lay.road - (2.5 if parking else 0.8), lay.road + 0.5 + 0.5 * lay.pavement
        self._lanes = (
            Lane("car", -lay.hand * 1.7, -9.0, 34.0),
            Lane("cyclist", lay.hand * kerbside, 4.4, 24.0),
            Lane("cyclist", -lay.hand * kerbside, -4.6, 32.0),
            Lane("pedestrian", walk, 1.3, 15.0),
            Lane("pedestrian", walk + 0.5, -1.2, 22.0),
            Lane("pedestrian", -walk, 1.2, 19.0),
            Lane("pedestrian", -walk - 0.5, -1.4, 16.0),
        )
        self._lead = rng.uniform(0, 2 * math.pi, 2)

    def is_crossing(self, chunk: int) -> bool:
        """Tell whether a side street meets the road in this chunk."""
        return bool(self._rng(2, chunk).random() < 0.22)

    def items(self, z: float, camera_z: float, time: float) -> list[Item]:
        """Return all from `z` to as far as one can see, at `time` seconds."""
        found: list[Item] = []
        end = camera_z + SEE_M
        for chunk in range(int(z // CHUNK_M), int(end // CHUNK_M) + 1):
            found.extend(self._chunk(chunk))
        for number, lane in enumerate(self._lanes):
            drift = lane.speed * time
            first, last = (z - drift) // lane.spacing, (end - drift) // lane.spacing
            for k in range(int(first), int(last) + 1):
                mover = self._mover(number, k)
                if mover is not None:
                    item, pace = mover
                    found.append(
                        item._replace(z=item.z + drift, phase=(item.phase + pace * time) % 1.0)
                    )
        # the car ahead in the camera's own lane, nearer and further, never met
        gap = 24.0 + 14.0 * math.sin(0.06 * time + self._lead[0])
        gap += 3.0 * math.sin(0.21 * time + self._lead[1])
        look = int(self._rng(3, 0).integers(LOOKS))
        found.append(Item("car", self.layout.hand * 1.75, camera_z + gap, 4.3, 1.5, look=look))
        return found

    def _rng(self, topic: int, number: int, lane: int = 0) -> np.random.Generator:
        # default_rng takes no negative numbers
        return np.random.default_rng((self._seed, topic, lane, number & 0xFFFFFFFF))

    def _mover(self, number: int, k: int) -> tuple[Item, float] | None:
        """Return thing `k` of a lane as it is at time 0, with its steps per second."""
        if (number, k) not in self._movers:
            if len(self._movers) > MOST_MOVERS:
                self._movers.clear()
            lane, rng = self._lanes[number], self._rng(4, k, number)
            heading, look = (1 if lane.speed > 0 else -1), int(rng.integers(LOOKS))
            where = (k + float(rng.uniform(0.1, 0.6))) * lane.spacing
            if rng.random() < 0.15:
                self._movers[number, k] = None
            elif lane.family == "car":
                length, height = float(rng.uniform(3.8, 4.9)), float(rng.uniform(1.4, 2.1))
                car = Item("car", lane.x, where, length, height, look=look, heading=heading)
                self._movers[number, k] = (car, 0.0)
            else:
                tall = float(rng.uniform(1.55, 1.9))
                wide = tall * (0.62 if lane.family == "cyclist" else 0.5)
                x = lane.x + float(rng.uniform(-0.3, 0.3))
                walker = Item("sprite", x, where, wide, tall, look=look, family=lane.family,
                              heading=heading, phase=float(rng.random()))  # fmt: skip
                self._movers[number, k] = (walker, float(rng.uniform(0.8, 1.1)))
        return self._movers[number, k]

    def _chunk(self, chunk: int) -> tuple[Item, ...]:
        if chunk not in self._chunks:
            if len(self._chunks) > 64:
                self._chunks.clear()
            rng = self._rng(5, chunk)
            start, crossing = chunk * CHUNK_M, self.is_crossing(chunk)
            built: list[Item] = []
            for side in (-1, 1):
                built += self._plots(rng, start, side, crossing)
                for item in self._furniture(rng, start, side):
                    inside = MOUTH_M[0] - 0.5 < item.z - start < MOUTH_M[1]
                    if not (crossing and inside):
                        built.append(item)
            self._chunks[chunk] = tuple(built)
        return self._chunks[chunk]

    def _plots(
        self, rng: np.random.Generator, start: float, side: int, crossing: bool
    ) -> list[Item]:
        """Fill one side of a chunk with houses or gardens, some behind a fence."""
        lay = self.layout
        found: list[Item] = []
        z, end, beside = start, start + CHUNK_M, 0.0
        while z < end - 2.0:
            width = float(min(rng.uniform(6, 13), end - z))
            if crossing and start + MOUTH_M[0] < z + width / 2 < start + MOUTH_M[1]:
                z, beside = max(z + width, start + MOUTH_M[1]), 0.0
                continue
            if rng.random() < 0.55 + 0.4 * lay.town:
                height = float(rng.uniform(5.5, 8) + lay.town * rng.uniform(0, 9))
                family = "pitched" if rng.random() > lay.town else "flat"
                alley = float(rng.choice([0.0, 0.0, 1.5]))
                found.append(Item("building", side * lay.wall, z, width - alley, height,
                                  look=int(rng.integers(LOOKS)), family=family,
                                  gable=height + 2.7 * (family == "pitched") > beside))  # fmt: skip
                beside = 0.0 if alley else height
            else:
                beside = 0.0
                for _ in range(int(rng.integers(2, 4))):
                    x, tall = lay.wall + float(rng.uniform(0.5, 5)), float(rng.uniform(5, 11))
                    found.append(Item("sprite", side * x, z + float(rng.uniform(0, width)),
                                      tall * 0.8, tall, look=int(rng.integers(LOOKS)),
                                      family="tree"))  # fmt: skip
            if rng.random() < 0.5:
                x = side * (lay.road + lay.pavement + 0.1)
                tall, look = float(rng.uniform(0.9, 1.9)), int(rng.integers(LOOKS))
                parts = max(1, round(width / 5))
                for k in range(parts):
                    found.append(
                        Item("fence", x, z + k * width / parts, width / parts, tall, look=look)
                    )
            z += width
        return found

    def _furniture(self, rng: np.random.Generator, start: float, side: int) -> list[Item]:
        """Place posts, signs, street trees, guard rails, parked cars and people who wait."""
        lay = self.layout
        kerb = lay.road + 0.45
        found: list[Item] = []

        def at(spread: float = CHUNK_M) -> float:
            return start + float(rng.uniform(0, spread))

        def add(kind: str, x: float, z: float, length: float, height: float, family: str,
                base: float = 0.0, heading: int = 1) -> None:  # fmt: skip
            look = int(rng.integers(LOOKS))
            found.append(Item(kind, side * x, z, length, height, base, look, family, heading))

        if rng.random() < 0.8:
            add("post", kerb, at(), 0.16, float(rng.uniform(5.5, 8)), "lamp")
        for _ in range(int(rng.integers(0, 3))):
            z, x = at(), kerb + float(rng.uniform(0, 0.4))
            tall, size = float(rng.uniform(2.1, 2.8)), float(rng.uniform(0.6, 0.95))
            add("post", x, z, 0.09, tall, "plain")
            add("sprite", x, z - 0.05, size, size, "sign", tall - size * 0.6)
        if rng.random() < 0.25:
            z = at()
            add("post", kerb, z, 0.12, 2.7, "plain")
            add("sprite", kerb, z - 0.05, 0.38, 0.95, "light", 1.9)
        for _ in range(int(rng.integers(0, 3))):
            add("post", kerb, at(), 0.14, 1.0, "bollard")
        if rng.random() < 0.3 + 0.5 * (1 - lay.town):
            tall = float(rng.uniform(4.5, 9))
            add("sprite", kerb + 0.6, at(), tall * 0.7, tall, "tree")
        if rng.random() < 0.35:
            z, parts = at(12.0), int(rng.integers(1, 4))
            for k in range(parts):
                add("fence", lay.road + 0.3, z + 3.5 * k, 3.5, 1.1, "rail")
        for slot in range(4):
            if lay.parking and rng.random() < 0.42:
                add("car", lay.road - 1.05, start + slot * 6 + 0.6, float(rng.uniform(3.6, 4.9)),
                    float(rng.uniform(1.4, 1.9)), "", heading=side * lay.hand)  # fmt: skip
        for _ in range(int(rng.integers(0, 3))):
            tall = float(rng.uniform(1.5, 1.9))
            x = float(rng.uniform(kerb + 0.2, lay.road + lay.pavement - 0.2))
            add("sprite", x, at(), tall * 0.5, tall, "pedestrian")
        if rng.random() < 0.2:
            add("sprite", kerb + 0.3, at(), 1.75, 1.1, "bike")
        return found
