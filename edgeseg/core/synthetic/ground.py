"""The ground of the synthetic drive: a road's surface in perspective, and its shadows."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.core.synthetic.light import PLAIN, Light
from edgeseg.core.synthetic.street import (
    CHUNK_M,
    MOUTH_M,
    PAVEMENT,
    ROAD,
    TREE,
    Item,
    Layout,
    Street,
)
from edgeseg.core.synthetic.textures import Colour, greyed, jitter, noise_tile, textured
from edgeseg.core.synthetic.view import NEAR_M, SUBPIXEL, View, fixed

TEXELS_PER_M = 20
HALF_M = 16.0
FAR_M = 150.0
# From these distances on, a surface half, then a quarter as fine is seen through each pixel.
COARSER_M = ((14.0, 4), (36.0, 12))
SHADOWS_M = 40.0


class Ground:
    """Two chunks of ground, plain and with a side street, laid end to end along the drive."""

    def __init__(self, rng: np.random.Generator, street: Street) -> None:
        """Draw the surfaces once."""
        self._street = street
        sheets = _sheets(rng, street.layout)
        self._labels = np.ascontiguousarray(sheets[..., 3])
        rows, columns = self._labels.shape
        self._surfaces = [(0.0, 1, sheets)]
        for ahead, factor in COARSER_M:
            size = (columns // factor, rows // factor)
            coarse = cv2.resize(sheets, size, interpolation=cv2.INTER_AREA)
            self._surfaces.append((ahead, factor, coarse))

    def paint(self, canvas: np.ndarray, view: View, light: Light, items: list[Item]) -> None:
        """Paint everything below the horizon into the canvas "h w 4"."""
        height, width = view.size_hw
        first = max(0, int(view.horizon + view.focal * view.eye / FAR_M) + 1)
        if first >= height:
            return
        ahead = view.focal * view.eye / (np.arange(first, height) + 0.5 - view.horizon)
        sight = (np.arange(width) + 0.5 - view.centre) / view.focal
        # texel coordinates: one product of row and column, then a shift for each row
        columns = np.multiply.outer((ahead * TEXELS_PER_M).astype(np.float32),
                                    sight.astype(np.float32))  # fmt: skip
        shift = view.x + HALF_M - 0.5 * view.bend * ahead**2
        columns += (shift * TEXELS_PER_M - 0.5).astype(np.float32)[:, None]
        rows = np.empty_like(columns)
        rows[:] = (self._rows(view.z + ahead) - 0.5).astype(np.float32)[:, None]
        ground = canvas[first:]
        starts = [int(np.searchsorted(-ahead, -nearest)) for nearest, _, _ in self._surfaces[1:]]
        stops = [len(ahead), *starts]
        for (_, factor, surface), start, stop in zip(
            self._surfaces, [*starts, 0], stops, strict=True
        ):
            if stop > start:
                part = slice(start, stop)
                x, y = columns[part], rows[part]
                if factor > 1:
                    x, y = ((at + 0.5) / factor - 0.5 for at in (x, y))
                ground[part] = cv2.remap(surface, x, y, cv2.INTER_LINEAR,
                                         borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        labels = cv2.remap(self._labels, columns, rows, cv2.INTER_NEAREST,
                           borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        cv2.insertChannel(labels, ground, 3)
        _shade(ground, first, view, light, items)
        levels = light.levels(ahead)
        # level 0 in plain light changes nothing
        for level in np.unique(levels[levels > 0]).tolist():
            band = np.flatnonzero(levels == level)
            part = slice(int(band[0]), int(band[-1]) + 1)
            ground[part] = cv2.LUT(ground[part], light.table(level, PLAIN))

    def _rows(self, along: np.ndarray) -> np.ndarray:
        """Return the sheet rows of positions along the street."""
        chunk = np.floor(along / CHUNK_M)
        sheet = np.zeros(len(along))
        for k in range(int(chunk.min()), int(chunk.max()) + 1):
            if self._street.is_crossing(k):
                sheet[chunk == k] = CHUNK_M
        return (along - chunk * CHUNK_M + sheet) * TEXELS_PER_M


def _shade(ground: np.ndarray, first: int, view: View, light: Light, items: list[Item]) -> None:
    """Darken the ground under cars and, in sun, behind whatever stands in the light."""
    run_x, run_z = light.run
    quads: list[tuple[float, float]] = []
    for item in items:
        if not view.z - 10 < item.z < view.z + SHADOWS_M:
            continue
        kind, x, z, length, tall = item[:5]
        if kind == "car":
            end = z + length + 0.1
            quads += ((x - 0.95, z - 0.15), (x + 0.95, z - 0.15), (x + 0.95, end), (x - 0.95, end))
        if light.overcast:
            continue
        z0, z1 = z, z + length
        if kind not in ("building", "fence"):
            third = (1.8 if kind == "car" else length) / 3
            z0, z1 = z - third, z + third
        dx, dz = run_x * tall, run_z * tall
        quads += ((x, z0), (x, z1), (x + dx, z1 + dz), (x + dx, z0 + dz))
    if not quads:
        return
    flat = np.array(quads)
    points = np.zeros((len(flat), 3))
    points[:, ::2] = flat
    corners = view.corners(points) - fixed(np.array([[0.0, first]]))
    ahead = (flat[:, 1] > view.z + NEAR_M).reshape(-1, 4).any(1)
    mask = np.zeros(ground.shape[:2], np.uint8)
    for quad in corners.reshape(-1, 4, 2)[ahead]:
        cv2.fillConvexPoly(mask, quad, 255, cv2.LINE_8, SUBPIXEL)
    x, y, width, height = cv2.boundingRect(mask)
    if width:
        part = (slice(y, y + height), slice(x, x + width))
        cv2.copyTo(light.shaded(ground[part]), mask[part], ground[part])


def _sheets(rng: np.random.Generator, lay: Layout) -> np.ndarray:
    """Return the plain chunk above the one with a side street, RGB and label."""
    wide, long = int(2 * HALF_M * TEXELS_PER_M), int(CHUNK_M * TEXELS_PER_M)
    tile = noise_tile(rng, 512, 0.75)
    asphalt, paving = greyed(rng, (104, 102, 104), 26), greyed(rng, (138, 132, 126), 30)
    grass = jitter(rng, (84, 98, 54), 18)
    beyond = TREE if lay.garden > 0 and rng.random() < 0.7 else PAVEMENT
    across = np.abs((np.arange(wide) + 0.5) / TEXELS_PER_M - HALF_M)
    strips = np.where(across < lay.road, ROAD, PAVEMENT)
    strips = np.where(across < lay.road + lay.pavement, strips, beyond).astype(np.uint8)
    lines = jitter(rng, (214, 212, 204), 16)
    kerb, edge = jitter(rng, (150, 146, 140), 20), jitter(rng, (196, 176, 70), 20)
    sheets = []
    for crossing in (False, True):
        labels = np.repeat(strips[None], long, axis=0)
        if crossing:
            labels[int(MOUTH_M[0] * TEXELS_PER_M) : int(MOUTH_M[1] * TEXELS_PER_M)] = ROAD
        sheet = np.dstack([np.zeros((long, wide, 3), np.uint8), labels])
        for label, colour, depth in ((ROAD, asphalt, 0.11), (PAVEMENT, paving, 0.1),
                                     (TREE, grass, 0.2)):  # fmt: skip
            surface = textured(tile, long, wide, colour, depth, rng)
            if label == PAVEMENT:
                slab = int(0.6 * TEXELS_PER_M)
                surface[::slab] = (surface[::slab] * 0.84).astype(np.uint8)
                surface[:, ::slab] = (surface[:, ::slab] * 0.84).astype(np.uint8)
            sheet[..., :3][labels == label] = surface[labels == label]
        _mark(rng, sheet, lay, lines, crossing)
        _edge(sheet, lay, kerb, edge, crossing)
        sheets.append(sheet)
    return np.concatenate(sheets)


def _box(sheet: np.ndarray, x: tuple[float, float], z: tuple[float, float], colour: Colour) -> None:
    """Paint a rectangle, metres from the centre line and from the chunk's start; labels stay."""
    x0, x1 = (max(0, int((HALF_M + m) * TEXELS_PER_M)) for m in x)
    z0, z1 = (int(m * TEXELS_PER_M) for m in z)
    sheet[z0:z1, x0:x1, :3] = colour


def _mark(
    rng: np.random.Generator, sheet: np.ndarray, lay: Layout, lines: Colour, crossing: bool
) -> None:
    """Paint patches, covers, lane lines, tyre tracks and, at a side street, a zebra crossing."""
    for _ in range(7):
        x, z = float(rng.uniform(-lay.road, lay.road - 1.5)), float(rng.uniform(0, CHUNK_M - 3))
        _box(sheet, (x, x + float(rng.uniform(0.4, 1.5))), (z, z + float(rng.uniform(0.5, 3))),
             greyed(rng, (92, 90, 92), 22))  # fmt: skip
    for _ in range(3):
        x, z = HALF_M + float(rng.uniform(-4, 4)), float(rng.uniform(1, CHUNK_M - 1))
        centre = (int(x * TEXELS_PER_M), int(z * TEXELS_PER_M))
        cv2.circle(sheet, centre, int(0.32 * TEXELS_PER_M), (58, 56, 56, ROAD), -1)
    for track in (-2.45, -0.95, 0.95, 2.45):
        middle = int((HALF_M + track) * TEXELS_PER_M)
        strip = sheet[:, middle - 4 : middle + 5, :3]
        strip[:] = (strip * 0.93).astype(np.uint8)
    for z in np.arange(0.5, CHUNK_M, 4.0).tolist():
        _box(sheet, (-0.07, 0.08), (z, z + 2.0), lines)
    if crossing:
        for x in np.arange(-lay.road + 0.4, lay.road - 0.6, 1.1).tolist():
            _box(sheet, (x, x + 0.55), (1.0, 3.6), lines)


def _edge(sheet: np.ndarray, lay: Layout, kerb: Colour, line: Colour, crossing: bool) -> None:
    """Paint the kerbs and the lines beside them, open at a side street."""
    for z in ((0.0, MOUTH_M[0]), (MOUTH_M[1], CHUNK_M)) if crossing else ((0.0, CHUNK_M),):
        for inner, outer, colour in ((lay.road, lay.road + 0.15, kerb),
                                     (lay.road - 0.4, lay.road - 0.3, line)):  # fmt: skip
            _box(sheet, (inner, outer), z, colour)
            _box(sheet, (-outer, -inner), z, colour)
