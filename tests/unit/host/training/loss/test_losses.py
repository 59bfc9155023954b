import numpy as np
import pytest
import torch

from edgeseg.core.data.dataset import Sample
from edgeseg.host.training.loss.losses import (
    distillation_loss,
    median_frequency_weights,
    segmentation_loss,
)


class Two:
    """Class 0 fills 3/4 of both images; class 1 a quarter of the first only; 2 never occurs."""

    class_names = ("a", "b", "c")
    ignore_index = 3

    def __len__(self):
        return 2

    def __getitem__(self, index):
        labels = np.zeros((4, 8), np.uint8)
        labels[0] = 1 if index == 0 else 3
        return Sample(str(index), np.zeros((4, 8, 3), np.uint8), labels)


def test_median_frequency_by_hand():
    # freq(a) = 48/56 (void is not a pixel of the image's classes), freq(b) = 8/32, median of both.
    frequency = np.array([48 / 56, 8 / 32])
    expected = np.append(np.median(frequency) / frequency, 1.0)
    expected /= (expected[:2] * [48, 8]).sum() / 56
    found = median_frequency_weights(Two(), exponent=1.0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_exponent_zero_gives_equal_weights():
    assert torch.allclose(median_frequency_weights(Two(), exponent=0.0), torch.ones(3))


def test_void_pixels_cost_nothing():
    logits = torch.randn(2, 3, 4, 8, requires_grad=True)
    labels = torch.full((2, 4, 8), 3)
    labels[0, 0, 0] = 1
    loss = segmentation_loss(logits, labels, weights=None, ignore_index=3)
    loss.backward()
    assert int((logits.grad.abs().sum(1) > 0).sum()) == 1
    expected = torch.nn.functional.cross_entropy(logits[0, :, 0, 0], torch.tensor(1))
    torch.testing.assert_close(loss, expected)


def test_a_batch_of_void_is_zero_not_nan():
    loss = segmentation_loss(
        torch.randn(2, 3, 4, 8), torch.full((2, 4, 8), 3), weights=None, ignore_index=3
    )
    assert float(loss) == 0.0


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_distillation_is_zero_at_the_teacher_and_positive_elsewhere(temperature):
    teacher = torch.randn(2, 3, 4, 8)
    assert float(distillation_loss(teacher, teacher, temperature=temperature)) < 1e-6
    assert float(distillation_loss(-teacher, teacher, temperature=temperature)) > 0.1
