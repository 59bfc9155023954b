"""Logits brought to a picture's size, and made of probabilities."""

import numpy as np
import torch
import torch.nn.functional as F

from edgeseg.core.crf.mean_field import softmax
from edgeseg.core.crf.unary import logits_of, resize_logits


def test_resize_is_the_bundles_own() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (4, 23, 30)).astype(np.float32)
    wanted = F.interpolate(torch.from_numpy(logits)[None], (90, 120), mode="bilinear")[0]
    np.testing.assert_allclose(resize_logits(logits, (90, 120)), wanted.numpy(), atol=1e-4)
    assert resize_logits(logits, (23, 30)) is logits


def test_logits_of_probabilities_give_them_back() -> None:
    p = softmax(np.random.default_rng(0).normal(0, 2, (5, 6, 7)).astype(np.float32))
    np.testing.assert_allclose(softmax(logits_of(p)), p, rtol=1e-5)
    assert np.isfinite(logits_of(np.array([[1.0], [0.0]]))).all()
