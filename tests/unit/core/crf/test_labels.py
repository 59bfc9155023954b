"""From scores and frame to labels."""

import numpy as np

from edgeseg.core.crf.labels import picture_of, refined_labels
from edgeseg.core.crf.mean_field import refine
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.crf.unary import resize_logits
from edgeseg.core.images.fit import PAD_VALUE

OPTIONS = CrfOptions(appearance=5.0, position=6.0, colour=20.0, radius=1.0)


def test_a_frame_of_the_rims_grey_is_all_picture():
    grey = np.full((4, 6, 3), PAD_VALUE, np.uint8)
    assert picture_of(grey) == (slice(0, 4), slice(0, 6))


def test_rim_keeps_the_networks_labels_and_the_picture_is_refined_alone():
    random = np.random.default_rng(0)
    frame = np.full((32, 40, 3), PAD_VALUE, np.uint8)
    frame[5:25, 3:33] = random.integers(0, 255, (20, 30, 3))
    frame[9, 7] = PAD_VALUE  # grey inside the picture is the picture's
    logits = random.normal(0, 1, (4, 8, 10)).astype(np.float32)
    large = resize_logits(logits, (32, 40))
    labels = refined_labels(logits, frame, OPTIONS)
    inner = (slice(5, 25), slice(3, 33))
    assert picture_of(frame) == inner
    alone = refine(np.ascontiguousarray(large[:, 5:25, 3:33]), frame[inner].copy(), OPTIONS)
    assert np.array_equal(labels[inner], alone.argmax(0))
    rim = np.ones((32, 40), bool)
    rim[inner] = False
    assert np.array_equal(labels[rim], large.argmax(0)[rim])
    assert (labels[inner] != large.argmax(0)[inner]).mean() > 0.02
