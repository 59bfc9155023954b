"""The fast kernels' sums against sums over all pairs."""

import numpy as np
import pytest

from edgeseg.core.crf.exact import ExactKernel
from edgeseg.core.crf.features import appearance_features, smoothness_features
from edgeseg.core.crf.gaussian import GaussianKernel
from edgeseg.core.crf.lattice import LatticeKernel, _simplices
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import UsageError

SIZE = (32, 40)
PIXELS = SIZE[0] * SIZE[1]


def plain(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """All pairs at once, as the formula is written."""
    distance = ((features[:, None].astype(float) - features[None]) ** 2).sum(-1)
    return values @ np.exp(-distance / 2)


def street() -> np.ndarray:
    rgb, _ = SyntheticDrive(SIZE, seed=4, n=1).frame(0)
    return rgb


def test_exact_kernel_is_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeseg.core.crf.exact.PAIRS", 7 * PIXELS)
    features = appearance_features(street(), 6.0, 20.0)
    values = np.random.default_rng(0).random((3, PIXELS))
    np.testing.assert_allclose(ExactKernel(features)(values), plain(features, values), rtol=1e-6)


@pytest.mark.parametrize("radius", [0.5, 1.0, 3.0, 12.0, 300.0])
def test_blur_is_the_exact_sum(radius: float) -> None:
    values = np.random.default_rng(0).random((2, PIXELS)).astype(np.float32)
    exact = plain(smoothness_features(SIZE, radius), values)
    np.testing.assert_allclose(GaussianKernel(SIZE, radius)(values), exact, rtol=2e-3)


@pytest.mark.parametrize(("position", "colour"), [(5.0, 10.0), (10.0, 20.0), (20.0, 60.0)])
def test_lattice_is_near_the_exact_mean(position: float, colour: float) -> None:
    """The factor that all sums share cancels in a mean."""
    features = appearance_features(street(), position, colour)
    values = np.random.default_rng(0).random((2, PIXELS)).astype(np.float32)
    values[0] = features[:, 0] / features[:, 0].max()  # smooth, and one that is noise
    fast, exact = LatticeKernel(features), ExactKernel(features)
    ones = np.ones((1, PIXELS), np.float32)
    found, wanted = fast(values) / fast(ones), exact(values) / exact(ones)
    assert np.abs(found - wanted).mean() < 0.01
    assert np.abs(found - wanted).max() < 0.3  # a pixel of a colour of its own, between corners


def test_lattice_of_any_dimension_follows_the_gaussian() -> None:
    """One point spread out is a bell of width 1, in one dimension to five."""
    for d in (1, 2, 3, 5):
        away = np.zeros((61, d), np.float32)
        away[:, 0] = np.linspace(-3, 3, 61)
        # Many points of one value at the middle do not change the bell, they only fill corners.
        cloud = np.random.default_rng(d).uniform(-3, 3, (20000 if d > 2 else 2000, d))
        features = np.concatenate([away, cloud.astype(np.float32)])
        values = np.zeros((1, len(features)), np.float32)
        values[0, 30] = 1
        bell = LatticeKernel(features)(values)[0, :61]
        wanted = np.exp(-(away[:, 0] ** 2) / 2)
        # The lattice's bell is blunter at its top; its shape is compared by correlation.
        assert np.corrcoef(bell, wanted)[0, 1] > 0.95, d


def test_every_pixel_lies_in_its_simplex() -> None:
    features = np.random.default_rng(2).normal(0, 7, (5000, 5)).astype(np.float32)
    origin, rank, weights = _simplices(features)
    assert (origin.sum(1) == 0).all()
    assert (origin % 6 == 0).all()
    assert (np.sort(rank, 1) == np.arange(6)).all()
    assert weights.min() > -1e-4
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-4)


def test_lattice_is_linear_and_keeps_planes_apart() -> None:
    features = appearance_features(street(), 8.0, 20.0)
    kernel = LatticeKernel(features)
    a, b = np.random.default_rng(0).random((2, 1, PIXELS)).astype(np.float32)
    both = kernel(np.concatenate([a, 2 * b]))
    np.testing.assert_allclose(both[:1], kernel(a), rtol=1e-5)
    np.testing.assert_allclose(both[1:], 2 * kernel(b), rtol=1e-4)


def test_kernel_too_narrow_to_number_is_refused() -> None:
    features = np.random.default_rng(0).random((10, 5)).astype(np.float32) * 1e5
    with pytest.raises(UsageError, match="too narrow"):
        LatticeKernel(features)
