"""The street of the synthetic drive: what stands where, built from a seed, chunk by chunk.

Coordinates are metres: x to the right of the road's centre line, y up, z along the street. The
traffic side is fixed by the seed. Nothing here draws; `synthetic` turns the items into pixels.
"""

from __future__ import annotations

import dataclasses

import numpy as np

CHUNK_M = 24.0
SEE_M = 110.0

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing that can be painted.

    Attributes:
        kind: "building", "fence", "car", "sprite" or "post".
        x: metres; the street side of a wall, the middle of anything else.
        z: metres along the street, the near end.
        length: metres along z (walls, cars), or the width of a sprite.
        height: metres.
        base: metres above the ground at which it starts.
        look: index of its texture, sprite or colour; taken modulo what there is.
        family: the sprite family, or the style of a car or post.
        heading: +1 when it faces away from the camera's travel start, -1 when it comes towards it.
        phase: step of a walking or riding cycle, 0-1.
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


@dataclasses.dataclass(frozen=True)
class Layout:
    """Widths of a street's strips in metres, the same along the whole drive.

    Attributes:
        road: half the width of the carriageway.
        pavement: width of each pavement.
        garden: depth of the front gardens between pavement and houses.
        hand: -1 when traffic keeps left, +1 when it keeps right.
        town: 0 (leafy suburb) to 1 (dense town).
    """

    road: float
    pavement: float
    garden: float
    hand: int
    town: float

    @property
    def wall(self) -> float:
        """Distance of the house fronts from the centre line."""
        return self.road + self.pavement + self.garden


class Street:
    """An endless street; chunk `k` covers z in [k, k + 1) * CHUNK_M."""

    def __init__(self, seed: int) -> None:
        """Fix the layout and the traffic of this seed."""
        rng = np.random.default_rng((seed, 0xB10C))
        self._seed = seed
        self._chunks: dict[int, tuple[Item, ...]] = {}
        self.layout = Layout(
            road=float(rng.uniform(5.0, 6.2)),
            pavement=float(rng.uniform(2.2, 3.6)),
            garden=float(rng.choice([0.0, 1.5, 3.0])),
            hand=int(rng.choice([-1, 1])),
            town=float(rng.uniform(0.1, 1.0)),
        )

    def is_crossing(self, chunk: int) -> bool:
        """Tell whether a side street meets the road in this chunk."""
        return bool(np.random.default_rng((self._seed, 77, chunk & 0xFFFFFFFF)).random() < 0.22)

    def items(self, z: float, time: float) -> list[Item]:
        """Return everything ahead of `z` and in sight at `time` seconds."""
        first, last = int(z // CHUNK_M), int((z + SEE_M) // CHUNK_M)
        found: list[Item] = []
        for chunk in range(first, last + 1):
            found.extend(self._chunk(chunk))
        found.extend(self._traffic(z, time))
        return found

    def _chunk(self, chunk: int) -> tuple[Item, ...]:
        if chunk not in self._chunks:
            if len(self._chunks) > 64:
                self._chunks.clear()
            rng = np.random.default_rng((self._seed, 1, chunk & 0xFFFFFFFF))
            built: list[Item] = []
            for side in (-1, 1):
                built.extend(self._houses(rng, chunk, side))
                built.extend(self._furniture(rng, chunk, side))
            self._chunks[chunk] = tuple(built)
        return self._chunks[chunk]

    def _houses(self, rng: np.random.Generator, chunk: int, side: int) -> list[Item]:
        """Fill one side of a chunk with houses, hedges and boundary fences."""
        lay = self.layout
        start, end = chunk * CHUNK_M, (chunk + 1) * CHUNK_M
        gap = self.is_crossing(chunk)
        found: list[Item] = []
        z = start
        while z < end - 2.0:
            width = float(min(rng.uniform(6, 13), end - z))
            if gap and start + 6 < z + width / 2 < start + 18:
                z += width
                continue
            if rng.random() < 0.55 + 0.4 * lay.town:
                height = float(rng.uniform(5.5, 8) + lay.town * rng.uniform(0, 9))
                alley = float(rng.choice([0.0, 0.0, 1.5]))
                found.append(Item("building", side * lay.wall, z, width - alley, height,
                                  look=int(rng.integers(1 << 20)),
                                  family="pitched" if rng.random() > lay.town else "flat"))
            else:
                for _ in range(int(rng.integers(2, 4))):
                    tall = float(rng.uniform(5, 11))
                    found.append(Item("sprite", side * (lay.wall + rng.uniform(0.5, 5)),
                                      z + rng.uniform(0, width), tall * 0.8, tall,
                                      look=int(rng.integers(1 << 20)), family="tree"))
            if rng.random() < 0.5:
                where = lay.road + lay.pavement + 0.1
                height, look = float(rng.uniform(0.9, 1.9)), int(rng.integers(1 << 20))
                for k in range(int(width // 3)):
                    found.append(Item("fence", side * where, z + 3 * k, 3.0, height, look=look))
            z += width
        return found

    def _furniture(self, rng: np.random.Generator, chunk: int, side: int) -> list[Item]:
        """Place posts, signs, street trees, guard rails, parked cars and waiting people."""
        lay = self.layout
        start = chunk * CHUNK_M
        kerb = lay.road + 0.45
        found: list[Item] = []

        def at(spread: float = CHUNK_M) -> float:
            return start + float(rng.uniform(0, spread))

        def look() -> int:
            return int(rng.integers(1 << 20))

        if rng.random() < 0.8:
            found.append(Item("post", side * kerb, at(), 0.16, float(rng.uniform(5.5, 8)),
                              family="lamp", look=look()))
        for _ in range(int(rng.integers(0, 3))):
            z, style = at(), look()
            tall = float(rng.uniform(2.1, 2.8))
            size = float(rng.uniform(0.6, 0.95))
            x = side * (kerb + float(rng.uniform(0, 0.4)))
            found.append(Item("post", x, z, 0.09, tall, family="plain", look=style))
            found.append(Item("sprite", x, z - 0.05, size, size, base=tall - size * 0.6,
                              family="sign", look=style))
        if rng.random() < 0.25:
            z = at()
            found.append(Item("post", side * kerb, z, 0.12, 2.7, family="plain", look=look()))
            found.append(Item("sprite", side * kerb, z - 0.05, 0.38, 0.95, base=1.9,
                              family="light", look=look()))
        for _ in range(int(rng.integers(0, 3))):
            found.append(Item("post", side * kerb, at(), 0.14, 1.0, family="bollard", look=look()))
        if rng.random() < 0.3 + 0.5 * (1 - lay.town):
            tall = float(rng.uniform(4.5, 9))
            found.append(Item("sprite", side * (kerb + 0.6), at(), tall * 0.7, tall,
                              look=look(), family="tree"))
        if rng.random() < 0.35:
            z, style = at(12.0), look()
            for k in range(int(rng.integers(2, 5))):
                found.append(Item("fence", side * (lay.road + 0.3), z + 2.5 * k, 2.5, 1.1,
                                  look=style, family="rail"))
        if not self.is_crossing(chunk):
            for slot in range(4):
                if rng.random() < 0.42:
                    found.append(Item("car", side * (lay.road - 1.05), start + slot * 6 + 0.6,
                                      float(rng.uniform(3.6, 4.9)), float(rng.uniform(1.4, 1.9)),
                                      look=look(), heading=side * lay.hand))
        for _ in range(int(rng.integers(0, 3))):
            tall = float(rng.uniform(1.5, 1.9))
            x = side * float(rng.uniform(kerb + 0.2, lay.road + lay.pavement - 0.2))
            found.append(Item("sprite", x, at(), tall * 0.5, tall, look=look(),
                              family="pedestrian"))
        if rng.random() < 0.2:
            found.append(Item("sprite", side * (kerb + 0.3), at(), 1.75, 1.1, look=look(),
                              family="bike"))
        return found

    def _traffic(self, z: float, time: float) -> list[Item]:
        """Place what moves: cars, cyclists and walkers, each lane at its own speed."""
        lay = self.layout
        own, other = lay.hand * 1.7, -lay.hand * 1.7
        kerbside = lay.road - 2.5
        walk = lay.road + 0.5 + 0.5 * lay.pavement
        found: list[Item] = []
        # lane, x, speed along z, mean spacing, kind
        lanes = (
            (0, other, -9.0, 34.0, "car"),
            (1, own, 7.6, 47.0, "car"),
            (2, lay.hand * kerbside, 4.4, 26.0, "cyclist"),
            (3, -lay.hand * kerbside, -4.6, 32.0, "cyclist"),
            (4, walk, 1.3, 15.0, "pedestrian"),
            (5, walk + 0.6, -1.2, 21.0, "pedestrian"),
            (6, -walk, 1.2, 19.0, "pedestrian"),
            (7, -walk - 0.6, -1.4, 16.0, "pedestrian"),
        )
        for lane, x, speed, spacing, kind in lanes:
            drift = speed * time
            for k in range(int((z - drift) // spacing), int((z + SEE_M - drift) // spacing) + 1):
                rng = np.random.default_rng((self._seed, 2, lane, k & 0xFFFFFFFF))
                if rng.random() < 0.15:
                    continue
                where = (k + float(rng.uniform(0.1, 0.6))) * spacing + drift
                heading = 1 if speed > 0 else -1
                look = int(rng.integers(1 << 20))
                if kind == "car":
                    # the camera's own lane stays clear near the camera
                    if lane == 1 and where < z + 9:
                        continue
                    found.append(Item("car", x, where, float(rng.uniform(3.8, 4.9)),
                                      float(rng.uniform(1.4, 2.1)), look=look, heading=heading))
                    continue
                tall = float(rng.uniform(1.55, 1.9))
                side = float(rng.uniform(-0.3, 0.3))
                phase = (time * float(rng.uniform(0.8, 1.1)) + float(rng.random())) % 1.0
                found.append(Item("sprite", x + side, where, tall * (0.5 if kind != "cyclist" else
                                  0.62), tall, look=look, family=kind, heading=heading,
                                  phase=phase))
        return found
