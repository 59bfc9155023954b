"""Walkers, riders and bicycles of the synthetic drive. Drawn once per seed."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.core.synthetic.textures import DYES, Colour, cutout, jitter

SKIN: tuple[Colour, ...] = ((208, 164, 138), (150, 108, 84), (98, 66, 50), (226, 188, 164))


def pedestrian(rng: np.random.Generator, size: int, phases: int) -> list[np.ndarray]:
    """Return one walker in `phases` steps, each uint8 "size size/2 4"."""
    coat = jitter(rng, DYES[int(rng.integers(len(DYES)))], 16)
    legs = jitter(rng, DYES[int(rng.integers(6))], 16)
    skin, hair = SKIN[int(rng.integers(len(SKIN)))], jitter(rng, (50, 40, 34), 26)
    long_coat, bag = rng.random() < 0.3, rng.random() < 0.35
    bulk = float(rng.uniform(0.85, 1.2))
    frames = []
    for step in range(phases):
        width = size // 2
        image = cutout((size, width), coat)
        swing = np.sin(2 * np.pi * step / phases)
        middle, hip, shoulder = width / 2, size * 0.52, size * 0.2

        def limb(
            start: tuple[float, float],
            end: tuple[float, float],
            colour: Colour,
            thick: float,
            image: np.ndarray = image,
        ) -> None:
            cv2.line(
                image,
                (round(start[0]), round(start[1])),
                (round(end[0]), round(end[1])),
                (*colour, 255),
                max(1, round(thick)),
            )

        for sign in (-1, 1):
            foot = (middle + sign * swing * size * 0.11 + sign * size * 0.02, size * 0.965)
            knee = (middle + sign * swing * size * 0.06 + sign * size * 0.02, size * 0.74)
            limb((middle + sign * size * 0.03, hip), knee, legs, size * 0.075 * bulk)
            limb(knee, foot, legs, size * 0.06 * bulk)
            limb(foot, (foot[0] + size * 0.03, size * 0.975), (26, 24, 24), size * 0.035)
        body = np.array(
            [
                (middle - size * 0.085 * bulk, shoulder),
                (middle + size * 0.085 * bulk, shoulder),
                (middle + size * 0.075 * bulk, size * (0.68 if long_coat else 0.55)),
                (middle - size * 0.075 * bulk, size * (0.68 if long_coat else 0.55)),
            ],
            np.int32,
        )
        cv2.fillConvexPoly(image, body, (*coat, 255))
        shade = (int(coat[0] * 0.75), int(coat[1] * 0.75), int(coat[2] * 0.75))
        for sign in (-1, 1):
            elbow = (middle + sign * size * 0.105 * bulk, size * 0.38)
            hand = (elbow[0] - sign * swing * size * 0.05, size * 0.52)
            limb(
                (middle + sign * size * 0.085 * bulk, shoulder + size * 0.03),
                elbow,
                shade,
                size * 0.05,
            )
            limb(elbow, hand, shade, size * 0.045)
            cv2.circle(
                image, (round(hand[0]), round(hand[1])), max(1, size // 50), (*skin, 255), -1
            )
        if bag:
            limb(
                (middle + size * 0.12, size * 0.46),
                (middle + size * 0.12, size * 0.6),
                jitter(rng, (90, 60, 50), 30),
                size * 0.08,
            )
        head = (round(middle), round(size * 0.105))
        cv2.ellipse(
            image, head, (round(size * 0.05), round(size * 0.068)), 0, 0, 360, (*hair, 255), -1
        )
        cv2.ellipse(
            image,
            (head[0], head[1] + round(size * 0.02)),
            (round(size * 0.042), round(size * 0.05)),
            0,
            0,
            360,
            (*skin, 255),
            -1,
        )
        frames.append(image)
    return frames


def bicycle(image: np.ndarray, size: int, colour: Colour, squeeze: float) -> None:
    """Draw a bicycle into the lower part of a cut-out, seen from a bearing given by `squeeze`."""
    width = image.shape[1]
    radius, ground = size * 0.185, size * 0.985
    reach = width * 0.29 * squeeze
    tyre, frame = (24, 24, 26, 255), (*colour, 255)
    thick = max(1, round(size * 0.022))
    axles = [(round(width / 2 + s * reach), round(ground - radius)) for s in (-1, 1)]
    for axle in axles:
        cv2.ellipse(
            image,
            axle,
            (max(1, round(radius * max(squeeze, 0.12))), round(radius)),
            0,
            0,
            360,
            tyre,
            thick,
        )
    saddle = (round(width / 2 - reach * 0.4), round(size * 0.56))
    bar = (round(width / 2 + reach * 0.75), round(size * 0.52))
    pedal = (round(width / 2), round(ground - radius * 0.8))
    for start, end in (
        (axles[0], saddle),
        (axles[0], pedal),
        (pedal, saddle),
        (pedal, bar),
        (saddle, bar),
        (bar, axles[1]),
    ):
        cv2.line(image, start, end, frame, thick)
    grip = round(size * 0.1 * max(0.35, 1 - squeeze))
    cv2.line(image, (bar[0] - grip, bar[1]), (bar[0] + grip, bar[1]), tyre, thick)


def cyclist(rng: np.random.Generator, size: int, phases: int) -> list[np.ndarray]:
    """Return one rider on a bicycle in `phases` steps, each uint8 "size 0.62*size 4"."""
    coat = jitter(rng, DYES[int(rng.integers(len(DYES)))], 16)
    legs = jitter(rng, DYES[int(rng.integers(6))], 16)
    skin, hat = SKIN[int(rng.integers(len(SKIN)))], jitter(rng, (110, 90, 80), 90)
    squeeze = float(rng.choice([0.12, 0.3, 0.55]))
    paint = jitter(rng, DYES[int(rng.integers(len(DYES)))], 30)
    frames = []
    for step in range(phases):
        width = int(size * 0.62)
        image = cutout((size, width), coat)
        middle = width / 2
        turn = 2 * np.pi * step / phases
        for sign in (-1, 1):
            lift = 0.06 * size * np.sin(turn + (np.pi if sign > 0 else 0))
            hip = (round(middle - 0.05 * size * squeeze + sign * size * 0.03), round(size * 0.5))
            knee = (
                round(middle + sign * size * 0.065 + 0.09 * size * squeeze),
                round(size * 0.66 + lift),
            )
            foot = (round(middle + sign * size * 0.07), round(size * 0.86 + lift))
            cv2.line(image, hip, knee, (*legs, 255), max(1, round(size * 0.07)))
            cv2.line(image, knee, foot, (*legs, 255), max(1, round(size * 0.055)))
        bicycle(image, size, paint, squeeze)
        lean = 0.13 * size * squeeze
        body = np.array(
            [
                (middle - size * 0.09 + lean, size * 0.2),
                (middle + size * 0.09 + lean, size * 0.2),
                (middle + size * 0.075 - lean * 0.4, size * 0.54),
                (middle - size * 0.075 - lean * 0.4, size * 0.54),
            ],
            np.int32,
        )
        cv2.fillConvexPoly(image, body, (*coat, 255))
        shade = (int(coat[0] * 0.75), int(coat[1] * 0.75), int(coat[2] * 0.75), 255)
        for sign in (-1, 1):
            cv2.line(
                image,
                (round(middle + lean + sign * size * 0.09), round(size * 0.24)),
                (round(middle + width * 0.2 * squeeze + sign * size * 0.08), round(size * 0.5)),
                shade,
                max(1, round(size * 0.05)),
            )
        head = (round(middle + lean * 1.25), round(size * 0.11))
        cv2.circle(
            image, (head[0], head[1] + round(size * 0.02)), round(size * 0.058), (*skin, 255), -1
        )
        cv2.ellipse(
            image, head, (round(size * 0.066), round(size * 0.06)), 0, 180, 360, (*hat, 255), -1
        )
        frames.append(image)
    return frames


def parked_bike(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a bicycle without a rider, uint8 "size 1.6*size 4"."""
    image = cutout((size, int(size * 1.6)), (40, 40, 44))
    colour = jitter(rng, DYES[int(rng.integers(len(DYES)))], 40)
    tall = int(size * 1.7)
    canvas = cutout((tall, int(size * 1.6)), (40, 40, 44))
    bicycle(canvas, tall, colour, 0.95)
    image[:] = canvas[tall - size :]
    return image
