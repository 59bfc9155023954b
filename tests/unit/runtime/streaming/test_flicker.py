import numpy as np
import pytest

from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.streaming.flicker import Flicker

SIZE_HW = (120, 200)


def shown(flicker: Flicker, rgb, labels) -> None:
    flicker.add(Prediction(Frame(rgb, 0, 0), labels, 0, 0, 0))


def scene(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return blocks.repeat(20, 0).repeat(20, 1)


def noisy(rgb, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 3, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def test_labels_that_flip_on_a_still_picture_are_counted():
    flicker, rgb = Flicker(), scene(0)
    labels = np.zeros(SIZE_HW, np.uint8)
    flipped = labels.copy()
    flipped[:, :50] = 1
    for i in range(6):
        shown(flicker, noisy(rgb, i), flipped if i % 2 else labels)
    found = flicker.result()
    assert found["rate"] == pytest.approx(0.25, abs=0.01)
    assert found["still_share"] > 0.99
    assert found["pairs"] == 5


def test_labels_that_change_with_the_picture_are_not():
    flicker = Flicker()
    left = scene(0)
    right = left.copy()
    # Wraps around: every grey level moves by 22 or more.
    right[:, 100:] += 128
    labels = np.zeros(SIZE_HW, np.uint8)
    changed = labels.copy()
    changed[:, 100:] = 1
    shown(flicker, left, labels)
    shown(flicker, right, changed)
    found = flicker.result()
    assert found["rate"] == 0.0
    assert found["still_share"] < 0.6


def test_nothing_still_gives_no_figure():
    flicker = Flicker()
    assert flicker.result() is None
    for i in range(3):
        rng = np.random.default_rng(i)
        shown(flicker, rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8).repeat(1, 0),
              np.full(SIZE_HW, i, np.uint8))  # fmt: skip
    shown(flicker, 255 - scene(0), np.zeros(SIZE_HW, np.uint8))
    found = flicker.result()
    assert found is None or found["still_share"] < 0.2


def test_a_stream_that_changes_its_size_starts_anew():
    flicker = Flicker()
    shown(flicker, scene(0), np.zeros(SIZE_HW, np.uint8))
    shown(flicker, scene(0)[:100], np.ones((100, 200), np.uint8))
    assert flicker.result() is None
