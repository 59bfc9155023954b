"""The backend that refines another's labels."""

import numpy as np
import pytest
from tinybundle import SIZE_HW, random_frame, tiny_bundle

from edgeseg.core.crf.labels import picture_of
from edgeseg.core.crf.mean_field import refine
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.images.fit import fit_rgb
from edgeseg.errors import BackendError
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.backends.dense_crf import CrfBackend

OPTIONS = CrfOptions(appearance=4.0, position=6.0, colour=60.0, smoothness=2.0, radius=1.0)


@pytest.fixture
def tiny(tmp_path):
    with open_backend("onnxruntime", tiny_bundle(tmp_path / "b"), threads=1) as backend:
        yield backend


def noisy() -> np.ndarray:
    """Two flat halves under noise that makes many a pixel look like another class."""
    random = np.random.default_rng(0)
    half = np.arange(SIZE_HW[1])[:, None] < 30
    rgb = np.where(half, (150, 120, 100), (100, 120, 150)) + random.normal(0, 30, (*SIZE_HW, 3))
    return rgb.clip(0, 255).astype(np.uint8)


def test_labels_are_the_refined_scores(tiny):
    frame = noisy()
    refined = CrfBackend(tiny, 3, OPTIONS)
    assert refined.io.runtime == f"{tiny.io.runtime} + dense CRF"
    assert refined.io.frame_shape == tiny.io.frame_shape
    plain = tiny.infer(frame[None])[0].copy()
    labels = refined.infer(frame[None])[0]
    assert np.array_equal(labels, refine(tiny.logits(frame[None])[0], frame, OPTIONS).argmax(0))
    assert (labels != plain).mean() > 0.05
    assert refined.spent_ns > 0


def test_without_weights_the_labels_are_the_networks(tiny):
    refined = CrfBackend(tiny, 3, CrfOptions(appearance=0.0, smoothness=0.0))
    frame = random_frame(2)[None]
    assert np.array_equal(refined.infer(frame), tiny.infer(frame))


def test_a_letterboxs_grey_rim_says_nothing_to_the_picture(tiny):
    wide = random_frame(3, (SIZE_HW[0] // 2, SIZE_HW[1]))
    canvas, placement = fit_rgb(wide, SIZE_HW, "letterbox")
    inner = picture_of(canvas)
    assert inner == (slice(12, 36), slice(0, 64))
    labels = placement.invert_labels(CrfBackend(tiny, 3, OPTIONS).infer(canvas[None])[0])
    alone = np.ascontiguousarray(tiny.logits(canvas[None])[0][:, 12:36])
    assert np.array_equal(labels, refine(alone, wide, OPTIONS).argmax(0))


def test_it_closes_the_other_backend(tmp_path):
    backend = open_backend("onnxruntime", tiny_bundle(tmp_path / "b"))
    with CrfBackend(backend, 3, OPTIONS):
        pass
    with pytest.raises(BackendError, match="closed"):
        backend.infer(random_frame()[None])


class Scores(Backend):
    """Gives the same scores for any frame."""

    def __init__(self, io, logits):
        self.io = io
        self._logits = logits

    def infer(self, frames):
        raise AssertionError

    def logits(self, frames):
        return self._logits

    def close(self):
        pass


def test_scores_that_are_not_finite_or_of_other_classes_are_refused(tiny):
    frame = random_frame()[None]
    broken = np.full((1, 3, 6, 8), np.nan, np.float32)
    with pytest.raises(BackendError, match="not all finite"):
        CrfBackend(Scores(tiny.io, broken), 3, OPTIONS).infer(frame)
    with pytest.raises(BackendError, match="gives 3 classes, its manifest names 2"):
        CrfBackend(tiny, 2, OPTIONS).infer(frame)


def test_a_backend_of_labels_alone_is_refused_by_name(tiny):
    class Labels(Scores):
        logits = Backend.logits

    with pytest.raises(BackendError, match=r"labels alone.*onnxruntime"):
        CrfBackend(Labels(tiny.io, None), 3, OPTIONS).infer(random_frame()[None])
