"""Mean-field inference: the fast form against all pairs, and what must hold of either."""

import math

import numpy as np
import pytest

from edgeseg.core.crf.mean_field import (
    mean_field,
    refine,
    refine_exactly,
    smoothness_kernel,
    softmax,
)
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.crf.unary import resize_logits
from edgeseg.core.spec import CAMVID_IGNORE
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import UsageError

SIZE = (32, 44)
CLASSES = 11
FORMS = [refine, refine_exactly]
# The widths that suit pictures of this size.
SMALL = CrfOptions(
    appearance=5.0, position=8.0, colour=12.0, smoothness=3.0, radius=1.0, iterations=5
)


def scene(seed: int = 0, size_hw: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A painted street and logits as a network's: right on the whole, coarse and noisy."""
    rgb, truth = SyntheticDrive(size_hw, seed=seed, n=1).frame(0)
    random = np.random.default_rng(seed)
    coarse = truth[2::4, 2::4]
    one_hot = (coarse[None] == np.arange(CLASSES)[:, None, None]).astype(np.float32)
    noise = random.normal(0, 1, one_hot.shape).astype(np.float32)
    return rgb, resize_logits(3 * one_hot + noise, size_hw)


def by_hand(logits: np.ndarray, rgb: np.ndarray, options: CrfOptions) -> np.ndarray:
    """The paper's update, pixel by pixel and pair by pair."""
    _, height, width = logits.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]

    def kernel(a: tuple[int, int], b: tuple[int, int]) -> tuple[float, float]:
        near = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
        alike = float(((rgb[a].astype(float) - rgb[b].astype(float)) ** 2).sum())
        both = near / (2 * options.position**2) + alike / (2 * options.colour**2)
        return math.exp(-both), math.exp(-near / (2 * options.radius**2))

    sums = {a: np.sum([kernel(a, b) for b in pixels], axis=0) for a in pixels}
    q = softmax(logits.astype(float))
    for _ in range(options.iterations):
        new = np.empty_like(q)
        for a in pixels:
            total = logits[:, a[0], a[1]].astype(float)
            for b in pixels:
                appearance, smoothness = kernel(a, b) / np.sqrt(sums[a] * sums[b])
                pull = options.appearance * appearance + options.smoothness * smoothness
                total = total + pull * q[:, b[0], b[1]]
            new[:, a[0], a[1]] = softmax(total)
        q = new
    return q


def test_exact_form_is_the_papers_update_pair_by_pair() -> None:
    random = np.random.default_rng(3)
    rgb = random.integers(0, 60, (4, 5, 3)).astype(np.uint8)
    logits = random.normal(0, 1, (3, 4, 5)).astype(np.float32)
    options = CrfOptions(
        appearance=2.0, position=2.5, colour=30.0, smoothness=1.5, radius=1.2, iterations=2
    )
    found = refine_exactly(logits, rgb, options)
    np.testing.assert_allclose(found, by_hand(logits, rgb, options), rtol=1e-6)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("options", "limit"),
    [
        (SMALL, 0.01),
        (CrfOptions(appearance=4.0, position=5.0, colour=40.0, radius=2.0, iterations=8), 0.01),
        # Half the picture wide, strong, and no smoothness beside it: the lattice's worst.
        (CrfOptions(appearance=8.0, position=20.0, colour=25.0, smoothness=0.0), 0.06),
    ],
)
def test_fast_form_is_near_the_exact_one(options: CrfOptions, limit: float, seed: int) -> None:
    rgb, logits = scene(seed)
    fast, exact = refine(logits, rgb, options), refine_exactly(logits, rgb, options)
    changed = (exact.argmax(0) != logits.argmax(0)).mean()
    apart = (fast.argmax(0) != exact.argmax(0)).mean()
    assert changed > 0.03  # else agreeing would say nothing
    assert apart < limit
    assert apart < 0.2 * changed
    assert np.abs(fast - exact).mean() < 0.5 * limit


@pytest.mark.parametrize("form", FORMS)
def test_without_pairwise_weights_the_networks_probabilities_stay(form) -> None:
    rgb, logits = scene()
    q = form(logits, rgb, CrfOptions(appearance=0.0, smoothness=0.0))
    np.testing.assert_allclose(q, softmax(logits), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_probabilities_sum_to_one(form) -> None:
    rgb, logits = scene()
    q = form(logits, rgb, SMALL)
    assert q.shape == logits.shape
    assert q.min() >= 0
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_permuted_classes_give_permuted_probabilities(form) -> None:
    rgb, logits = scene()
    order = np.random.default_rng(1).permutation(CLASSES)
    found = form(np.ascontiguousarray(logits[order]), rgb, SMALL)
    np.testing.assert_allclose(found, form(logits, rgb, SMALL)[order], atol=1e-5)


def test_mirrored_picture_gives_mirrored_probabilities() -> None:
    rgb, logits = scene()
    flipped = [np.ascontiguousarray(a) for a in (logits[:, :, ::-1], rgb[:, ::-1])]
    exact = refine_exactly(logits, rgb, SMALL)[:, :, ::-1]
    np.testing.assert_allclose(refine_exactly(*flipped, SMALL), exact, atol=1e-9)
    # The lattice lies otherwise under a mirrored picture: no further off than from the exact form.
    fast, mirrored = refine(logits, rgb, SMALL)[:, :, ::-1], refine(*flipped, SMALL)
    assert (fast.argmax(0) != mirrored.argmax(0)).mean() < 0.01
    assert np.abs(fast - mirrored).mean() < 0.003


@pytest.mark.parametrize("form", FORMS)
def test_labels_follow_an_edge_of_the_picture(form) -> None:
    """Logits whose border is 3 columns off come back to where the colours change."""
    rgb = np.full((24, 32, 3), 40, np.uint8)
    rgb[:, 16:] = 200
    logits = np.zeros((2, 24, 32), np.float32)
    logits[0, :, :19] = logits[1, :, 19:] = 1.0
    q = form(
        logits,
        rgb,
        CrfOptions(appearance=8.0, position=10.0, colour=10.0, smoothness=1.0, radius=1.0),
    )
    assert (q.argmax(0) == (np.arange(32) >= 16)).all()


@pytest.mark.parametrize("form", FORMS)
def test_no_kernel_crosses_an_edge_without_smoothness(form) -> None:
    """What lies beyond a strong edge has no say: half a picture alone gives the same."""
    random = np.random.default_rng(5)
    rgb = random.integers(0, 20, (16, 24, 3)).astype(np.uint8)
    rgb[:, 12:] += 220
    logits = random.normal(0, 1, (3, 16, 24)).astype(np.float32)
    options = CrfOptions(appearance=3.0, position=6.0, colour=8.0, smoothness=0.0, iterations=3)
    whole = form(logits, rgb, options)[:, :, :12]
    half = form(np.ascontiguousarray(logits[:, :, :12]), np.ascontiguousarray(rgb[:, :12]), options)
    np.testing.assert_allclose(whole, half, atol=0.02 if form is refine else 1e-9)


def test_smoothness_alone_is_the_same_in_both_forms() -> None:
    rgb, logits = scene()
    options = CrfOptions(appearance=0.0, smoothness=4.0, radius=2.0, iterations=4)
    fast, exact = refine(logits, rgb, options), refine_exactly(logits, rgb, options)
    np.testing.assert_allclose(fast, exact, atol=2e-3)


def test_picture_of_one_colour_and_of_one_pixel() -> None:
    logits = np.array([[[0.5]], [[0.2]]], np.float32)
    grey = np.full((1, 1, 3), 90, np.uint8)
    q = refine(logits, grey)
    assert q.argmax(0).item() == 0
    np.testing.assert_allclose(q, refine_exactly(logits, grey), atol=1e-5)
    flat, (_, wide) = np.full((*SIZE, 3), 128, np.uint8), scene()
    found, exact = refine(wide, flat, SMALL), refine_exactly(wide, flat, SMALL)
    assert (found.argmax(0) != exact.argmax(0)).mean() < 0.01


def test_sizes_that_differ_and_logits_that_are_not_finite_are_refused() -> None:
    rgb, logits = scene()
    with pytest.raises(UsageError, match=r"logits are 32x44, the picture is 32x40"):
        refine(logits, np.ascontiguousarray(rgb[:, :40]))
    logits[3, 5, 7] = np.nan
    with pytest.raises(UsageError, match="not all finite"):
        refine(logits, rgb)


def test_synthetic_labels_are_the_eleven_classes() -> None:
    assert CAMVID_IGNORE == CLASSES


def test_no_step_leaves_the_networks_probabilities() -> None:
    _, logits = scene()
    q = mean_field(logits, [(3.0, smoothness_kernel(SIZE, 2.0))], 0)
    np.testing.assert_allclose(q, softmax(logits))
