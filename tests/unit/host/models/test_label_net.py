import pytest
import torch
from torch import nn

from edgeseg.core.spec import ModelSpec, Preprocess
from edgeseg.host.models.label_net import LabelNet, Normalize, resize_logits


def frames():
    return torch.randint(0, 256, (2, 45, 61, 3), dtype=torch.uint8)


def test_fixed_normalization():
    rule = Preprocess(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    frame = frames()
    found = Normalize(rule)(frame)
    assert found.shape == (2, 3, 45, 61)
    expected = (frame[1, 7, 9, 2].item() / 255 - 0.3) / 0.3
    assert found[1, 2, 7, 9].item() == pytest.approx(expected, abs=1e-5)


def test_per_image_normalization_removes_exposure_and_white_balance():
    frame = torch.randint(40, 120, (2, 45, 61, 3), dtype=torch.uint8)
    graded = (frame.float() * torch.tensor([1.5, 2.0, 1.0]) + 10).to(torch.uint8)
    norm = Normalize(Preprocess(normalize="per_image"))
    plain, changed = norm(frame), norm(graded)
    # What is left is rounding of the graded frame and the floor that keeps flat frames finite.
    assert float((plain - changed).abs().max()) < 0.1
    torch.testing.assert_close(plain.mean((2, 3)), torch.zeros(2, 3), atol=1e-4, rtol=0)


def test_a_flat_frame_stays_finite():
    norm = Normalize(Preprocess(normalize="per_image"))
    assert torch.isfinite(norm(torch.full((1, 4, 6, 3), 77, dtype=torch.uint8))).all()


def test_labels_are_the_best_class_of_the_resized_logits():
    spec = ModelSpec("any", size_hw=(45, 61))
    model = nn.Conv2d(3, 11, 4, stride=4)
    net = LabelNet(spec, model, raw_logits=True).eval()
    labels, logits = net(frames())
    assert logits.shape == (2, 11, 45, 61)
    assert torch.equal(labels.long(), logits.argmax(1))


def test_logits_of_the_right_size_are_not_touched():
    logits = torch.randn(1, 2, 5, 7)
    assert resize_logits(logits, (5, 7)) is logits
