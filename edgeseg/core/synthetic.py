"""The synthetic drive: a labelled camera that every machine has.

A street in perspective with a moving camera, in CamVid's 11 classes. Colours and labels are
painted by the same calls into one four-channel canvas, so a mask is exact by construction.
Frame `i` of a seed is the same whatever was asked for before it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core import sprites
from edgeseg.core.cars import car_faces
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_IGNORE, CAMVID_PALETTE
from edgeseg.core.street import (
    BICYCLIST, BUILDING, CAR, CHUNK_M, FENCE, PAVEMENT, PEDESTRIAN, POLE, ROAD, SEE_M, SIGN, SKY,
    TREE, Item, Street,
)  # fmt: skip
from edgeseg.errors import UsageError

NEAR_M = 1.3
FAR_M = 150.0
PHASES = 8
HAZE_LEVELS = 16
TEXELS_PER_M = 20
SUBPIXEL = 4


class SyntheticDrive:
    """A seeded drive of `n` frames along an endless street.

    Args:
        size_hw: frame height and width, at least 32 each.
        seed: the street, its traffic, the light and the camera's mount.
        n: number of frames.
        fps: frames per second of the drive; the camera moves at about 9 m/s.
    """

    class_names = CAMVID_CLASSES
    palette = CAMVID_PALETTE
    ignore_index = CAMVID_IGNORE

    def __init__(self, size_hw: tuple[int, int] = (360, 480), seed: int = 0, n: int = 500,
                 fps: float = 15.0) -> None:
        """Build the textures and the light of this seed.

        Raises:
            UsageError: the size is below 32x32 or n is negative.
        """
        height, width = size_hw
        if min(height, width) < 32:
            raise UsageError(f"size {height}x{width} is too small for the drive; use 32x32 or more")
        if n < 0:
            raise UsageError(f"n is {n}, expected the number of frames, 0 or more")
        self.size_hw, self.seed, self.n, self.fps = (height, width), seed, n, fps
        self._street = Street(seed)
        rng = np.random.default_rng((seed, 0xDA7))
        self._camera_setup(rng)
        self._light_setup(rng)
        self._textures(rng)
        self._ground_setup(rng)
        self._backdrop(rng)

    def __len__(self) -> int:
        """Number of frames."""
        return self.n

    def frame(self, i: int) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
        """Paint frame `i`.

        Returns:
            The RGB image and the label of each pixel, 0-10 in CamVid's order; both are new arrays.

        Raises:
            IndexError: `i` is outside 0..n-1.
        """
        if not 0 <= i < self.n:
            raise IndexError(f"frame {i} of a drive of {self.n} frames")
        time = i / self.fps
        self._move_camera(time)
        items = self._street.items(self._z + NEAR_M - 14.0, time)
        canvas = self._sky_and_ground(items)
        for item in sorted(items, key=_depth, reverse=True):
            if item.z - self._z < SEE_M:
                self._painters[item.kind](canvas, item)
        return self._expose(canvas, i, time)

    # set-up, once per seed

    def _camera_setup(self, rng: np.random.Generator) -> None:
        height, width = self.size_hw
        self._focal = float(rng.uniform(0.8, 1.0)) * max(width, 1.2 * height)
        self._eye = float(rng.uniform(1.25, 1.7))
        self._level = float(rng.uniform(0.40, 0.50)) * height
        self._lane = self._street.layout.hand * 1.7
        self._speed = float(rng.uniform(7.0, 10.0))
        self._wobble = rng.uniform(0, 2 * math.pi, 8)
        self._bend = float(rng.uniform(0.0, 0.006))
        self._painters = {
            "building": self._paint_building, "fence": self._paint_fence, "car": self._paint_car,
            "sprite": self._paint_sprite, "post": self._paint_post,
        }  # fmt: skip

    def _light_setup(self, rng: np.random.Generator) -> None:
        """Choose the day: sun, haze, white balance, exposure, sensor."""
        self._overcast = rng.random() < 0.35
        self._sun = int(rng.choice([-1, 1]))
        self._shadow_run = (self._sun * float(rng.uniform(0.3, 0.9)), float(rng.uniform(-0.4, 0.5)))
        self._haze_colour = np.asarray(
            sprites.jitter(rng, (206, 210, 214) if self._overcast else (190, 206, 222), 14))
        self._haze_run = float(rng.uniform(110, 420))
        self._balance = np.asarray([rng.uniform(0.9, 1.12), 1.0, rng.uniform(0.88, 1.14)])
        self._gain = float(rng.uniform(0.62, 1.15))
        self._gamma = float(rng.uniform(0.8, 1.3))
        self._shade = 0.75 if self._overcast else float(rng.uniform(0.4, 0.6))
        levels = np.arange(256, dtype=np.float32)[:, None]
        self._tables = np.empty((HAZE_LEVELS, 3, 1, 256, 4), np.uint8)
        for level in range(HAZE_LEVELS):
            mix = level / (HAZE_LEVELS - 1) * 0.9
            for light, gain in enumerate((0.5 + 0.5 * self._shade, 0.95, 1.12)):
                colour = levels * gain * (1 - mix) + self._haze_colour * mix
                self._tables[level, light, 0, :, :3] = np.clip(colour, 0, 255)
                self._tables[level, light, 0, :, 3] = np.arange(256)
        height, width = self.size_hw
        sigma = float(rng.uniform(2.0, 6.0))
        tile = rng.normal(0, sigma, (height + 64, width + 64, 3))
        self._noise_up = np.clip(tile, 0, 255).astype(np.uint8)
        self._noise_down = np.clip(-tile, 0, 255).astype(np.uint8)
        rows = np.linspace(-1, 1, height)[:, None, None]
        cols = np.linspace(-1, 1, width)[None, :, None]
        fall = 1 - float(rng.uniform(0.0, 0.22)) * (rows**2 + cols**2) / 2
        self._vignette = np.repeat((255 * fall).astype(np.uint8), 3, axis=2)
        self._soft = float(rng.choice([0.0, 0.6, 0.9]))

    def _textures(self, rng: np.random.Generator) -> None:
        tile = sprites.noise_tile(rng, 256, 0.9)
        unit = int(np.clip(self.size_hw[0] * 0.45, 64, 512))
        wall = int(np.clip(self.size_hw[0] * 0.7, 96, 512))
        self._facades = [_pyramid(_labelled(sprites.facade(rng, tile, wall), BUILDING))
                         for _ in range(12)]
        self._gables = [tuple(int(v) for v in np.median(levels[0][..., :3], axis=(0, 1)))
                        for levels in self._facades]
        self._panels = [_pyramid(_labelled(sprites.fence(rng, tile, wall // 2, k), FENCE))
                        for k in range(12)]
        cut = {
            "tree": (TREE, [[sprites.tree(rng, tile, unit * 2)] for _ in range(9)]),
            "pedestrian": (PEDESTRIAN, [sprites.pedestrian(rng, unit, PHASES) for _ in range(12)]),
            "cyclist": (BICYCLIST, [sprites.cyclist(rng, unit, PHASES) for _ in range(8)]),
            "bike": (BICYCLIST, [[sprites.parked_bike(rng, unit // 2)] for _ in range(4)]),
            "sign": (SIGN, [[sprites.sign(rng, max(24, unit // 3))] for _ in range(12)]),
            "light": (SIGN, [[sprites.traffic_light(rng, max(24, unit // 3))] for _ in range(3)]),
        }  # fmt: skip
        self._cutouts = {
            family: [[_cut_pyramid(image, label) for image in steps] for steps in looks]
            for family, (label, looks) in cut.items()
        }

    def _ground_setup(self, rng: np.random.Generator) -> None:
        """Draw two chunks of ground, plain and with a side street, with their labels."""
        lay = self._street.layout
        half = 20.0
        wide, long = int(2 * half * TEXELS_PER_M), int(CHUNK_M * TEXELS_PER_M)
        tile = sprites.noise_tile(rng, 512, 0.75)
        asphalt = sprites.jitter(rng, (104, 102, 104), 22)
        paving = sprites.jitter(rng, (142, 134, 126), 26)
        grass = sprites.jitter(rng, (84, 98, 54), 18)
        lawn = lay.garden > 0 and rng.random() < 0.7
        lines = (*sprites.jitter(rng, (214, 212, 204), 16), ROAD)
        across = np.abs((np.arange(wide) + 0.5) / TEXELS_PER_M - half)
        label_row = np.where(across < lay.road, ROAD,
                             np.where(across < lay.road + lay.pavement, PAVEMENT,
                                      TREE if lawn else PAVEMENT))
        sheets = []
        for crossing in (False, True):
            labels = np.repeat(label_row[None].astype(np.uint8), long, axis=0)
            if crossing:
                mouth = slice(int(6 * TEXELS_PER_M), int(18 * TEXELS_PER_M))
                labels[mouth] = ROAD
            sheet = np.empty((long, wide, 4), np.uint8)
            for label, colour, depth in ((ROAD, asphalt, 0.11), (PAVEMENT, paving, 0.1),
                                         (TREE, grass, 0.2)):
                surface = sprites.textured(tile, long, wide, colour, depth, rng)
                if label == PAVEMENT:
                    slab = int(0.6 * TEXELS_PER_M)
                    surface[::slab] = (surface[::slab] * 0.84).astype(np.uint8)
                    surface[:, ::slab] = (surface[:, ::slab] * 0.84).astype(np.uint8)
                where = labels == label
                sheet[..., :3][where] = surface[where]
            sheet[..., 3] = labels
            self._mark_ground(rng, sheet, half, lines, crossing)
            sheets.append(sheet)
        self._ground = np.concatenate(sheets)
        coarse = cv2.resize(cv2.blur(self._ground[..., :3], (7, 7)), None, fx=0.25, fy=0.25,
                            interpolation=cv2.INTER_AREA)
        self._ground_coarse = cv2.resize(coarse, (wide, 2 * long), interpolation=cv2.INTER_LINEAR)
        self._ground_coarse = np.dstack([self._ground_coarse, self._ground[..., 3]])
        self._ground_label = np.ascontiguousarray(self._ground[..., 3])
        self._ground_half = half

    def _mark_ground(self, rng: np.random.Generator, sheet: np.ndarray, half: float,
                     lines: tuple[int, ...], crossing: bool) -> None:
        """Paint lane lines, kerbs, patches, covers and, at times, a zebra crossing."""
        lay, scale = self._street.layout, TEXELS_PER_M
        middle = int(half * scale)

        def box(x0: float, x1: float, z0: float, z1: float, colour: tuple[int, ...]) -> None:
            cv2.rectangle(sheet, (int((half + x0) * scale), int(z0 * scale)),
                          (int((half + x1) * scale) - 1, int(z1 * scale) - 1), colour, -1)

        for _ in range(7):
            x, z = rng.uniform(-lay.road, lay.road - 1.5), rng.uniform(0, CHUNK_M - 3)
            box(x, x + rng.uniform(0.4, 1.5), z, z + rng.uniform(0.5, 3),
                (*sprites.jitter(rng, (92, 90, 92), 18), ROAD))
        for _ in range(3):
            centre = (int((half + rng.uniform(-4, 4)) * scale), int(rng.uniform(1, 23) * scale))
            cv2.circle(sheet, centre, int(0.32 * scale), (58, 56, 56, ROAD), -1)
        for z in np.arange(0.5, CHUNK_M, 4.0):
            box(-0.07, 0.08, z, z + 2.0, lines)
        kerb = (*sprites.jitter(rng, (150, 146, 140), 20), PAVEMENT)
        edge = (*sprites.jitter(rng, (196, 176, 70), 20), ROAD)
        spans = ((0.0, 6.0), (18.0, CHUNK_M)) if crossing else ((0.0, CHUNK_M),)
        for z0, z1 in spans:
            for side in (-1, 1):
                for inner, outer, colour in ((lay.road, lay.road + 0.15, kerb),
                                             (lay.road - 0.4, lay.road - 0.3, edge)):
                    x0, x1 = sorted((side * inner, side * outer))
                    box(x0, x1, z0, z1, colour)
        if crossing:
            for x in np.arange(-lay.road + 0.4, lay.road - 0.6, 1.1):
                box(x, x + 0.55, 1.0, 3.6, lines)
        # tyre tracks, darker than the crown of the road
        for lane in (-1.7, 1.7):
            for wheel in (-0.75, 0.75):
                at = middle + int((lane + wheel) * scale)
                strip = sheet[:, at - 4 : at + 5, :3]
                strip[:] = (strip * 0.93).astype(np.uint8)

    def _backdrop(self, rng: np.random.Generator) -> None:
        """Paint a sky twice as wide as the frame, and what closes the street far away."""
        height, width = self.size_hw
        wide = 2 * width
        top = np.asarray(sprites.jitter(rng, (176, 182, 190) if self._overcast else (98, 142, 204),
                                        24), np.float32)
        low = np.asarray(sprites.jitter(rng, (222, 224, 226), 16), np.float32)
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 0.8
        sky = np.repeat(top * (1 - down) + low * down, wide, axis=1)
        cloud = cv2.resize(sprites.noise_tile(rng, 256, 1.7), (wide, height))
        cover = np.clip(cloud * 0.35 + float(rng.uniform(-0.3, 0.5)), 0, 1)[..., None]
        sky = sky * (1 - cover) + np.asarray((236, 236, 238), np.float32) * cover
        self._sky = _labelled(np.clip(sky, 0, 255).astype(np.uint8), SKY)
        tall = max(4, int(height * 0.16))
        line = np.zeros((tall, wide, 4), np.uint8)
        x = 0
        while x < wide:
            span = int(rng.uniform(0.02, 0.10) * width) + 2
            label = TREE if rng.random() < 0.5 else BUILDING
            colour = sprites.jitter(rng, (96, 104, 84) if label == TREE else (142, 128, 120), 20)
            hazed = 0.55 * np.asarray(colour) + 0.45 * self._haze_colour
            value = (*(int(v) for v in hazed), label + 1)
            rise = int(tall * rng.uniform(0.25, 0.95))
            if label == TREE:
                for _ in range(5):
                    cv2.circle(line, (x + int(rng.integers(span)), tall - rise // 2),
                               max(2, int(rise * rng.uniform(0.3, 0.55))), value, -1)
                cv2.rectangle(line, (x, tall - rise // 2), (x + span, tall), value, -1)
            else:
                cv2.rectangle(line, (x, tall - rise), (x + span, tall), value, -1)
            x += span
        self._line_mask = np.where(line[..., 3] > 0, 255, 0).astype(np.uint8)
        line[..., 3] -= (line[..., 3] > 0).astype(np.uint8)
        self._line = line

    # one frame

    def _move_camera(self, time: float) -> None:
        phase = self._wobble
        self._z = self._speed * time + 3.0 * math.sin(0.21 * time + phase[0])
        self._x = self._lane + 0.35 * math.sin(0.17 * time + phase[1])
        self._yaw = 0.05 * math.sin(0.13 * time + phase[2]) + 0.012 * math.sin(0.7 * time + phase[3])
        self._curve = self._bend * math.sin(0.011 * self._z + phase[4])
        height = self.size_hw[0]
        bob = 0.006 * math.sin(2.3 * time + phase[5]) + 0.003 * math.sin(7.1 * time + phase[6])
        self._horizon = self._level + bob * height

    def _project(self, points: np.ndarray) -> np.ndarray:
        """Return pixel positions "n 2" of points "n 3" (x, y, z metres); z is clamped at NEAR_M."""
        ahead = np.maximum(points[:, 2] - self._z, NEAR_M)
        scale = self._focal / ahead
        out = np.empty((len(points), 2))
        out[:, 0] = (0.5 * self.size_hw[1] + (points[:, 0] - self._x) * scale
                     + self._focal * (self._yaw + 0.5 * self._curve * ahead))
        out[:, 1] = self._horizon + (self._eye - points[:, 1]) * scale
        return out

    def _table(self, ahead: float, light: int) -> np.ndarray:
        haze = 1 - math.exp(-max(ahead, 0.0) / self._haze_run)
        return self._tables[int(haze * (HAZE_LEVELS - 1) + 0.5), light]

    def _tint(self, colour: sprites.Colour, label: int, ahead: float,
              light: int = 1) -> tuple[int, int, int, int]:
        table = self._table(ahead, light)[0]
        return (int(table[colour[0], 0]), int(table[colour[1], 1]), int(table[colour[2], 2]), label)

    def _fill(self, canvas: np.ndarray, polygon: np.ndarray, colour: tuple[int, ...]) -> None:
        corners = np.clip(polygon * (1 << SUBPIXEL), -(1 << 20), 1 << 20).astype(np.int32)
        cv2.fillConvexPoly(canvas, corners, colour, cv2.LINE_8, SUBPIXEL)

    def _sky_and_ground(self, items: list[Item]) -> np.ndarray:
        height, width = self.size_hw
        shift = int(np.clip(width / 2 - self._focal * self._yaw, 0, width))
        canvas = self._sky[:, shift : shift + width].copy()
        tall = self._line.shape[0]
        bottom = min(height, int(self._horizon + 0.03 * height) + 1)
        top = max(0, bottom - tall)
        cv2.copyTo(self._line[tall - (bottom - top) :, shift : shift + width],
                   self._line_mask[tall - (bottom - top) :, shift : shift + width],
                   canvas[top:bottom])
        first = max(0, int(self._horizon + self._focal * self._eye / FAR_M) + 1)
        if first >= height:
            return canvas
        ahead = self._focal * self._eye / (np.arange(first, height) + 0.5 - self._horizon)
        across = (np.arange(width) + 0.5 - width / 2) / self._focal
        x = (across[None, :] - (self._yaw + 0.5 * self._curve * ahead)[:, None]) * ahead[:, None]
        map_x = ((x + self._x + self._ground_half) * TEXELS_PER_M - 0.5).astype(np.float32)
        along = self._z + ahead
        chunk = np.floor(along / CHUNK_M)
        sheet = np.zeros(len(along))
        for k in range(int(chunk.min()), int(chunk.max()) + 1):
            if self._street.is_crossing(k):
                sheet[chunk == k] = CHUNK_M
        rows = ((along - chunk * CHUNK_M + sheet) * TEXELS_PER_M - 0.5).astype(np.float32)
        map_y = np.repeat(rows[:, None], width, axis=1)
        split = int(np.searchsorted(-ahead, -14.0))
        ground = canvas[first:]
        for part, texture in ((slice(0, split), self._ground_coarse),
                              (slice(split, None), self._ground)):
            if len(map_x[part]):
                ground[part] = cv2.remap(texture, map_x[part], map_y[part], cv2.INTER_LINEAR,
                                         borderMode=cv2.BORDER_REPLICATE)
        labels = cv2.remap(self._ground_label, map_x, map_y, cv2.INTER_NEAREST,
                           borderMode=cv2.BORDER_REPLICATE)
        cv2.insertChannel(labels, ground, 3)
        self._shadows(ground, first, items)
        haze = ((1 - np.exp(-ahead / self._haze_run)) * (HAZE_LEVELS - 1) + 0.5).astype(int)
        for level in np.unique(haze):
            band = np.flatnonzero(haze == level)
            part = slice(int(band[0]), int(band[-1]) + 1)
            ground[part] = cv2.LUT(np.ascontiguousarray(ground[part]), self._tables[level, 1])
        return canvas

    def _shadows(self, ground: np.ndarray, first: int, items: list[Item]) -> None:
        """Darken the ground under cars and, in sun, behind whatever stands in the light."""
        mask = np.zeros(ground.shape[:2], np.uint8)
        run_x, run_z = self._shadow_run
        offset = np.asarray([0.0, first])
        for item in items:
            if item.kind == "car":
                wide, z0, z1 = 0.95, item.z - 0.15, item.z + item.length + 0.1
                corners = [(item.x - wide, z0), (item.x + wide, z0), (item.x + wide, z1),
                           (item.x - wide, z1)]
                self._fill(mask, self._flat(corners) - offset, (255,))
            if self._overcast or item.z > self._z + 60:
                continue
            if item.kind in ("building", "fence"):
                z0, z1 = item.z, item.z + item.length
                dx, dz = -run_x * item.height, run_z * item.height
                corners = [(item.x, z0), (item.x, z1), (item.x + dx, z1 + dz),
                           (item.x + dx, z0 + dz)]
            else:
                thin = 0.5 * min(item.length, 1.8 if item.kind == "car" else item.length)
                tall = item.height * 0.9
                z0, z1 = item.z - thin * 0.6, item.z + thin * 0.6
                corners = [(item.x, z0), (item.x, z1), (item.x - run_x * tall, z1 + run_z * tall),
                           (item.x - run_x * tall, z0 + run_z * tall)]
            if max(z for _, z in corners) > self._z + NEAR_M:
                self._fill(mask, self._flat(corners) - offset, (255,))
        level = np.arange(256, dtype=np.float32)
        table = np.repeat((level * self._shade).astype(np.uint8)[:, None], 4, axis=1)
        table[:, 3] = np.arange(256)
        cv2.copyTo(cv2.LUT(ground, table[None]), mask, ground)

    def _flat(self, corners: list[tuple[float, float]]) -> np.ndarray:
        return self._project(np.asarray([(x, 0.0, z) for x, z in corners]))

    def _paint_wall(self, canvas: np.ndarray, item: Item, levels: list[np.ndarray],
                    light: int) -> None:
        """Map a texture onto the plane x = const from item.z to item.z + item.length."""
        z0, z1 = max(item.z, self._z + NEAR_M), item.z + item.length
        if z1 <= z0:
            return
        low, high = item.base, item.base + item.height
        quad = self._project(np.asarray([(item.x, high, z0), (item.x, high, z1),
                                         (item.x, low, z1), (item.x, low, z0)]))
        box = self._clip_box(quad)
        if box is None:
            return
        x0, y0, x1, y1 = box
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        local = quad - (x0, y0)
        self._fill(mask, local, (255,))
        spread = max(np.ptp(quad[:, 1]), 1.0)
        texture = levels[_level(levels, spread)]
        side = texture.shape[0]
        cut = (z0 - item.z) / item.length * side
        source = np.asarray([(cut, 0), (side, 0), (side, side), (cut, side)], np.float32) - 0.5
        matrix = cv2.getPerspectiveTransform(source, local.astype(np.float32))
        patch = cv2.warpPerspective(texture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR,
                                    borderMode=cv2.BORDER_REPLICATE)
        patch = cv2.LUT(patch, self._table(0.5 * (z0 + z1) - self._z, light))
        cv2.copyTo(patch, mask, canvas[y0:y1, x0:x1])

    def _clip_box(self, points: np.ndarray) -> tuple[int, int, int, int] | None:
        height, width = self.size_hw
        x0, y0 = max(0, int(points[:, 0].min())), max(0, int(points[:, 1].min()))
        x1 = min(width, int(points[:, 0].max()) + 2)
        y1 = min(height, int(points[:, 1].max()) + 2)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    def _lit(self, x: float) -> int:
        """Return 2 for a front that faces the sun, 0 for one in shade, 1 under cloud."""
        return 1 if self._overcast else (2 if x * self._sun < 0 else 0)

    def _paint_building(self, canvas: np.ndarray, item: Item) -> None:
        look = item.look % len(self._facades)
        side = 1 if item.x > 0 else -1
        z0, z1, ahead = item.z, item.z + item.length, item.z - self._z
        if z1 < self._z + NEAR_M:
            return
        outer = item.x + side * 9.0
        if item.family == "pitched":
            ridge, top = item.x + side * 4.0, item.height + 2.6
            near = max(z0, self._z + NEAR_M)
            slates = self._tint((92 + item.look % 40, 84, 82), BUILDING, ahead, self._lit(item.x))
            roof = [(item.x, item.height, near), (item.x, item.height, z1), (ridge, top, z1),
                    (ridge, top, near)]
            self._fill(canvas, self._project(np.asarray(roof)), slates)
        if ahead > NEAR_M:
            gable = [(item.x, 0.0, z0), (item.x, item.height, z0), (outer, item.height, z0),
                     (outer, 0.0, z0)]
            if item.family == "pitched":
                gable.insert(2, (item.x + side * 4.0, item.height + 2.6, z0))
            colour = self._tint(self._gables[look], BUILDING, ahead, 0 if not self._overcast else 1)
            self._fill(canvas, self._project(np.asarray(gable)), colour)
        self._paint_wall(canvas, item, self._facades[look], self._lit(item.x))

    def _paint_fence(self, canvas: np.ndarray, item: Item) -> None:
        rails = len(self._panels) // 4
        look = 4 * (item.look % rails) + 3 if item.family == "rail" else item.look
        self._paint_wall(canvas, item, self._panels[look % len(self._panels)], self._lit(item.x))

    def _paint_post(self, canvas: np.ndarray, item: Item) -> None:
        ahead = item.z - self._z
        if ahead < NEAR_M:
            return
        shades = ((86, 90, 88), (62, 66, 64), (122, 124, 122), (44, 50, 46))
        colour = self._tint(shades[item.look % 4], POLE, ahead, self._lit(-item.x))
        half = max(0.5 * item.length, 0.5 * ahead / self._focal)
        points = [(item.x - half, 0.0, item.z), (item.x + half, 0.0, item.z),
                  (item.x + 0.7 * half, item.height, item.z),
                  (item.x - 0.7 * half, item.height, item.z)]
        self._fill(canvas, self._project(np.asarray(points)), colour)
        if item.family == "lamp":
            inward = -1 if item.x > 0 else 1
            arm = item.x + inward * 1.3
            points = [(item.x, item.height - 0.06, item.z), (item.x, item.height + 0.06, item.z),
                      (arm, item.height + 0.2, item.z), (arm, item.height + 0.05, item.z)]
            self._fill(canvas, self._project(np.asarray(points)), colour)

    def _paint_sprite(self, canvas: np.ndarray, item: Item) -> None:
        ahead = item.z - self._z
        if ahead < NEAR_M:
            return
        looks = self._cutouts[item.family]
        steps = looks[item.look % len(looks)]
        levels = steps[int(item.phase * len(steps)) % len(steps)]
        wide = item.length
        box = self._project(np.asarray([(item.x - wide / 2, item.base + item.height, item.z),
                                        (item.x + wide / 2, item.base, item.z)]))
        clip = self._clip_box(box)
        if clip is None:
            return
        x0, y0, x1, y1 = clip
        colour, mask = levels[_level([c for c, _ in levels], box[1, 1] - box[0, 1])]
        rows, cols = mask.shape
        scale_x, scale_y = cols / (box[1, 0] - box[0, 0]), rows / (box[1, 1] - box[0, 1])
        flip = (item.look >> 8) % 2 == 1 and item.family != "sign"
        start = (x0 + 0.5 - box[0, 0]) * scale_x
        # inverse map: pixel of the box -> pixel of the sprite
        matrix = np.asarray([
            [-scale_x if flip else scale_x, 0, (cols - start if flip else start) - 0.5],
            [0, scale_y, (y0 + 0.5 - box[0, 1]) * scale_y - 0.5],
        ])
        size = (x1 - x0, y1 - y0)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(colour, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        shape = cv2.warpAffine(mask, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        # a thin part covers less than half of a far pixel; a third keeps legs and wheels
        shape = cv2.threshold(shape, 88, 255, cv2.THRESH_BINARY)[1]
        patch = cv2.LUT(patch, self._table(ahead, 1 if item.family != "tree" else 1))
        cv2.copyTo(patch, shape, canvas[y0:y1, x0:x1])

    def _paint_car(self, canvas: np.ndarray, item: Item) -> None:
        ahead = item.z - self._z
        if ahead < NEAR_M:
            return
        for points, colour, light in car_faces(item, self._x):
            self._fill(canvas, self._project(points), self._tint(colour, CAR, ahead, light))

    def _expose(self, canvas: np.ndarray, i: int, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Turn the scene into what a sensor gives: blur, vignette, exposure, noise."""
        height, width = self.size_hw
        labels = cv2.extractChannel(canvas, 3)
        rgb = cv2.cvtColor(canvas, cv2.COLOR_RGBA2RGB)
        if self._soft:
            rgb = cv2.GaussianBlur(rgb, (3, 3), self._soft)
        rgb = cv2.multiply(rgb, self._vignette, scale=1 / 255)
        gain = self._gain * (1 + 0.08 * math.sin(0.31 * time + self._wobble[7]))
        level = np.arange(256)[:, None] / 255
        table = 255 * np.clip(level * gain * self._balance, 0, 1) ** self._gamma
        rgb = cv2.LUT(rgb, table.astype(np.uint8)[None])
        # multiplicative hashing moves the noise tile; a Generator per frame would cost more
        dy, dx = (i * 2654435761 >> 7) % 65, (i * 2246822519 >> 5) % 65
        rgb = cv2.add(rgb, self._noise_up[dy : dy + height, dx : dx + width])
        return cv2.subtract(rgb, self._noise_down[dy : dy + height, dx : dx + width]), labels


def _depth(item: Item) -> float:
    """Return the painting order: far first, and among neighbours the outer one first."""
    if item.kind == "building":
        return item.z + item.length + 20.0
    if item.kind in ("fence", "car"):
        return item.z + 0.5 * item.length + 0.4 * abs(item.x)
    return item.z + 0.4 * abs(item.x)


def _labelled(image: np.ndarray, label: int) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], label, np.uint8)])


def _pyramid(image: np.ndarray) -> list[np.ndarray]:
    levels = [image]
    while min(levels[-1].shape[:2]) > 12:
        half = cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        half[..., 3] = image[0, 0, 3]
        levels.append(half)
    return levels


def _cut_pyramid(image: np.ndarray, label: int) -> list[tuple[np.ndarray, np.ndarray]]:
    masks = [np.ascontiguousarray(image[..., 3])]
    colours = _pyramid(_labelled(image[..., :3], label))
    for colour in colours[1:]:
        size = (colour.shape[1], colour.shape[0])
        masks.append(cv2.resize(masks[-1], size, interpolation=cv2.INTER_AREA))
    return list(zip(colours, masks, strict=True))


def _level(levels: list[np.ndarray], height: float) -> int:
    """Return the smallest pyramid level that is still at least 0.8 of `height` pixels tall."""
    ratio = levels[0].shape[0] / max(height, 1.0)
    return int(np.clip(math.log2(max(ratio * 1.25, 1.0)), 0, len(levels) - 1))
