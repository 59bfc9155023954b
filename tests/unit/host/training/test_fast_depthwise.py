import pytest
import torch
from torch import nn

from edgeseg.host.training.fast_depthwise import fast_depthwise_backward


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "size", "bias"),
    [
        (3, 2, 1, (17, 22), False),
        (3, 2, 1, (16, 20), True),
        (3, 1, 2, (17, 22), True),
        (3, 1, 9, (8, 20), False),
        (3, 1, 3, (20, 13), False),
        (5, 1, 1, (17, 22), True),
        (5, 2, 1, (17, 22), False),
    ],
)
def test_gradients_equal_torchs_own(kernel, stride, dilation, size, bias):
    torch.manual_seed(0)
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(
        12, 12, kernel, stride=stride, padding=padding, dilation=dilation, groups=12, bias=bias
    )
    x = torch.randn(2, 12, *size, requires_grad=True)
    output = layer(x)
    direction = torch.randn_like(output)
    expected = torch.autograd.grad(output, [x, *layer.parameters()], direction)
    with fast_depthwise_backward(layer) as count:
        output = layer(x)
        found = torch.autograd.grad(output, [x, *layer.parameters()], direction)
    assert count == 1
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_wide_kernels_gradients_in_bf16_are_those_of_float() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(12, 12, 5, padding=2, groups=12)
    x = torch.randn(2, 12, 17, 22, requires_grad=True)
    direction = torch.randn(2, 12, 17, 22)
    expected = torch.autograd.grad(layer(x), [x, *layer.parameters()], direction)
    with fast_depthwise_backward(layer), torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
        found = torch.autograd.grad(output, [x, *layer.parameters()], direction.bfloat16())
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.float() - theirs).norm() < 0.01 * theirs.norm()


def test_other_layers_are_left_alone_and_all_are_restored():
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False),
    )
    with fast_depthwise_backward(net) as count:
        assert count == 1
        assert "_conv_forward" in vars(net[2])
    assert all("_conv_forward" not in vars(layer) for layer in net)
