"""Paints what stands on the ground: colours and labels by the same calls, far to near."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edgeseg.core.synthetic import textures
from edgeseg.core.synthetic.cars import FLANK_LIGHT, HALF_WIDTH_M, PARTS, body, paint_of, style_of
from edgeseg.core.synthetic.figures import build_figures
from edgeseg.core.synthetic.light import PLAIN, SHADE, Light
from edgeseg.core.synthetic.street import BUILDING, CAR, FENCE, POLE, SEE_M, Item
from edgeseg.core.synthetic.textures import Colour, labelled, level_for, pyramid
from edgeseg.core.synthetic.view import NEAR_M, SUBPIXEL, View

STEEL: tuple[Colour, ...] = ((86, 90, 88), (62, 66, 64), (122, 124, 122), (44, 50, 46))
ROOF_RUN_M, ROOF_RISE_M, GABLE_M = 4.0, 2.6, 9.0
# Things up to this height are out of sight sooner.
SMALL_M, SEE_SMALL_M = 2.2, 75.0
# Beyond it, cars go without lamps and hubs.
DETAIL_M = 32.0
# Walls smaller than this many pixels across are filled with one colour.
FLAT_PX = 8
# A far leg or wheel covers less than half of a pixel; a third keeps it.
MASK_LEVEL = 88

# four corners: top left, top right, bottom right, bottom left
Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


class Painter:
    """The textures of a seed, and how each kind of item is painted with them."""

    def __init__(self, rng: np.random.Generator, size_hw: tuple[int, int], light: Light) -> None:
        """Draw fronts, fences and figures."""
        self._light = light
        tile = textures.noise_tile(rng, 256, 0.9)
        rows = size_hw[0]
        wall = min(max(rows * 7 // 10, 96), 512)
        fronts = [textures.facade(rng, tile, wall) for _ in range(12)]
        sides = [textures.gable(rng, tile, front) for front in fronts]
        panels = [textures.fence(rng, tile, wall // 2, k) for k in range(12)]
        self._fronts = [pyramid(labelled(image, BUILDING)) for image in fronts]
        self._sides = [pyramid(labelled(image, BUILDING)) for image in sides]
        self._panels = [pyramid(labelled(image, FENCE)) for image in panels]
        self._figures = build_figures(rng, tile, rows)
        self._kinds: dict[str, Callable[[np.ndarray, View, Item, float], None]] = {
            "building": self._building,
            "fence": self._fence,
            "car": self._car,
            "sprite": self._sprite,
            "post": self._post,
        }

    def paint(self, canvas: np.ndarray, view: View, items: list[Item]) -> None:
        """Paint items into the canvas "h w 4", RGB and label."""
        for item in sorted(items, key=_depth, reverse=True):
            ahead = item.z - view.z
            if ahead < (SEE_M if item.height > SMALL_M else SEE_SMALL_M):
                self._kinds[item.kind](canvas, view, item, ahead)

    def _fill(self, canvas: np.ndarray, corners: Sequence[tuple[float, float]], colour: Colour,
              label: int) -> None:  # fmt: skip
        cv2.fillConvexPoly(canvas, _fixed(corners), (*colour, label), cv2.LINE_8, SUBPIXEL)

    def _building(self, canvas: np.ndarray, view: View, item: Item, ahead: float) -> None:
        light, near = self._light, view.z + NEAR_M
        x, z0, z1, eaves = item.x, item.z, item.z + item.length, item.height
        if z1 <= near:
            return
        look, side = item.look % len(self._fronts), 1 if x > 0 else -1
        level, lit = light.level(max(ahead, 0.0)), light.on_front(x)
        pitched = item.family == "pitched"
        ridge = x + side * ROOF_RUN_M
        if pitched:
            slates = light.tint((92 + item.look % 40, 84, 82), level, lit)
            start = max(z0, near)
            roof = [view.point(x, eaves, start), view.point(x, eaves, z1),
                    view.point(ridge, eaves + ROOF_RISE_M, z1),
                    view.point(ridge, eaves + ROOF_RISE_M, start)]  # fmt: skip
            self._fill(canvas, roof, slates, BUILDING)
        if ahead > NEAR_M and item.gable:
            shade = PLAIN if light.overcast else SHADE
            outer = x + side * GABLE_M
            inner_top, outer_top = view.point(x, eaves, z0), view.point(outer, eaves, z0)
            if pitched:
                colour = _middle(self._sides[look])
                peak = view.point(ridge, eaves + ROOF_RISE_M, z0)
                self._fill(canvas, [inner_top, peak, outer_top], light.tint(colour, level, shade),
                           BUILDING)  # fmt: skip
            quad = (inner_top, outer_top, view.point(outer, 0.0, z0), view.point(x, 0.0, z0))
            self._texture(canvas, quad, self._sides[look], 0.0, level, shade)
        self._wall(canvas, view, item, self._fronts[look])

    def _fence(self, canvas: np.ndarray, view: View, item: Item, ahead: float) -> None:
        look = item.look % len(self._panels)
        if item.family == "rail":
            look = look // 4 * 4 + 3
        if ahead + item.length > NEAR_M:
            self._wall(canvas, view, item, self._panels[look])

    def _wall(self, canvas: np.ndarray, view: View, item: Item, levels: list[np.ndarray]) -> None:
        """Paint a texture onto the plane x = const along the item's length."""
        x, top = item.x, item.base + item.height
        z0, z1 = max(item.z, view.z + NEAR_M), item.z + item.length
        quad = (view.point(x, top, z0), view.point(x, top, z1), view.point(x, item.base, z1),
                view.point(x, item.base, z0))  # fmt: skip
        haze = self._light.level(0.5 * (z0 + z1) - view.z)
        cut = (z0 - item.z) / item.length
        self._texture(canvas, quad, levels, cut, haze, self._light.on_front(x))

    def _texture(self, canvas: np.ndarray, quad: Quad, levels: list[np.ndarray], cut: float,
                 haze: int, lit: int) -> None:  # fmt: skip
        """Map a texture, its first `cut` left out, onto four corners on the screen."""
        columns, rows = zip(*quad, strict=True)
        box = _box(canvas, min(columns), min(rows), max(columns), max(rows))
        if box is None:
            return
        x0, y0, x1, y1 = box
        tall = max(rows[3] - rows[0], rows[2] - rows[1])
        if abs(columns[1] - columns[0]) < FLAT_PX or tall < FLAT_PX:
            colour = self._light.tint(_middle(levels), haze, lit)
            self._fill(canvas, quad, colour, int(levels[0][0, 0, 3]))
            return
        texture = levels[level_for(len(levels[0]), len(levels), tall)]
        side, left = texture.shape[0] - 0.5, cut * texture.shape[0] - 0.5
        source = np.array([(left, -0.5), (side, -0.5), (side, side), (left, side)], np.float32)
        target = np.array([(x - x0, y - y0) for x, y in quad], np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        patch = cv2.warpPerspective(texture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR,
                                    borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, _fixed(quad, x0, y0), 255, cv2.LINE_8, SUBPIXEL)
        cv2.copyTo(cv2.LUT(patch, self._light.table(haze, lit)), mask, canvas[y0:y1, x0:x1])

    def _post(self, canvas: np.ndarray, view: View, item: Item, ahead: float) -> None:
        if ahead < NEAR_M:
            return
        x, z, tall = item.x, item.z, item.height
        lit = self._light.on_front(-x)
        colour = self._light.tint(STEEL[item.look % 4], self._light.level(ahead), lit)
        (foot, bottom), (head, top) = view.point(x, 0.0, z), view.point(x, tall, z)
        half = max(0.5, 0.5 * item.length * view.focal / ahead)
        self._fill(canvas, [(foot - half, bottom), (foot + half, bottom), (head + 0.7 * half, top),
                            (head - 0.7 * half, top)], colour, POLE)  # fmt: skip
        if item.family == "lamp":
            arm = x - 1.3 if x > 0 else x + 1.3
            self._fill(canvas, [view.point(x, tall - 0.06, z), view.point(x, tall + 0.06, z),
                                view.point(arm, tall + 0.2, z), view.point(arm, tall + 0.05, z)],
                       colour, POLE)  # fmt: skip

    def _sprite(self, canvas: np.ndarray, view: View, item: Item, ahead: float) -> None:
        if ahead < NEAR_M:
            return
        half = 0.5 * item.length
        left, top = view.point(item.x - half, item.base + item.height, item.z)
        right, bottom = view.point(item.x + half, item.base, item.z)
        box = _box(canvas, left, top, right, bottom)
        if box is None:
            return
        x0, y0, x1, y1 = box
        looks = self._figures[item.family]
        steps = looks[item.look % len(looks)]
        levels = steps[int(item.phase * len(steps)) % len(steps)]
        colour, mask = levels[level_for(len(levels[0][1]), len(levels), bottom - top)]
        rows, columns = mask.shape
        across, down = columns / (right - left), rows / (bottom - top)
        start = (x0 + 0.5 - left) * across
        flip = item.family not in ("sign", "light") and (item.look >> 8) % 2 == 1
        # from a pixel of the box to one of the picture
        matrix = np.array(
            [
                [-across if flip else across, 0.0, (columns - start if flip else start) - 0.5],
                [0.0, down, (y0 + 0.5 - top) * down - 0.5],
            ]
        )
        size, how = (x1 - x0, y1 - y0), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(colour, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        shape = cv2.warpAffine(mask, matrix, size, flags=how)
        _, shape = cv2.threshold(shape, MASK_LEVEL, 255, cv2.THRESH_BINARY)
        patch = cv2.LUT(patch, self._light.table(self._light.level(ahead), PLAIN))
        cv2.copyTo(patch, shape, canvas[y0:y1, x0:x1])

    def _car(self, canvas: np.ndarray, view: View, item: Item, ahead: float) -> None:
        if ahead < NEAR_M:
            return
        light, aside = self._light, item.x - view.x
        column, reach = view.point(item.x, 0.0, item.z)[0], 4.0 * view.focal / ahead
        if not -reach < column < canvas.shape[1] + reach:
            return
        # a car to the right shows its left flank
        side = 0 if abs(aside) < HALF_WIDTH_M else (-1 if aside > 0 else 1)
        shape = body(style_of(item), item.heading, side, ahead < DETAIL_M)
        scale = (HALF_WIDTH_M, item.height, item.length)
        corners = view.corners(shape.corners * scale + (item.x, 0.0, item.z))
        level, paint, flank = light.level(ahead), paint_of(item), light.on_front(aside)
        for start, stop, part, lit in shape.faces:
            colour = light.tint(PARTS.get(part, paint), level, flank if lit == FLANK_LIGHT else lit)
            cv2.fillConvexPoly(canvas, corners[start:stop], (*colour, CAR), cv2.LINE_8, SUBPIXEL)


def _depth(item: Item) -> float:
    """Return the painting order: far first, and among neighbours the outer one first."""
    if item.kind == "building":
        return item.z + item.length + 20.0
    if item.kind in ("fence", "car"):
        return item.z + 0.5 * item.length + 0.4 * abs(item.x)
    return item.z + 0.4 * abs(item.x)


def _middle(levels: list[np.ndarray]) -> Colour:
    red, green, blue, _ = levels[-1][len(levels[-1]) // 2, 0].tolist()
    return red, green, blue


def _fixed(corners: Sequence[tuple[float, float]], x0: int = 0, y0: int = 0) -> np.ndarray:
    one = 1 << SUBPIXEL
    return np.array([(int((x - x0) * one), int((y - y0) * one)) for x, y in corners], np.int32)


def _box(
    canvas: np.ndarray, left: float, top: float, right: float, bottom: float
) -> tuple[int, int, int, int] | None:
    """Return the part of a box on the canvas: first column and row, last ones + 1."""
    x0, y0 = max(0, int(left)), max(0, int(top))
    x1, y1 = min(canvas.shape[1], int(right) + 2), min(canvas.shape[0], int(bottom) + 2)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
