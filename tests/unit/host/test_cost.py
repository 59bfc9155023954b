import pytest
import torch
from torch import nn

from edgeseg.core.spec import ModelSpec
from edgeseg.host.cost import count_cost, spec_cost


def test_macs_of_a_separable_convolution_by_hand():
    net = nn.Sequential(
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4, bias=False), nn.Conv2d(4, 8, 1)
    )
    cost = count_cost(nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), net), (10, 14))
    assert cost.params == 12 + 4 * 9 + 4 * 8 + 8
    assert cost.macs == 10 * 14 * 12 + 5 * 7 * 4 * 9 + 5 * 7 * 4 * 8


def test_macs_of_a_transposed_convolution_by_hand():
    cost = count_cost(nn.ConvTranspose2d(3, 5, 2, stride=2, bias=False), (6, 8))
    assert cost.macs == 6 * 8 * 3 * 5 * 4


def test_counting_leaves_the_network_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train()
    before = net[1].running_mean.clone()
    count_cost(net, (8, 12))
    assert net.training
    assert torch.equal(net[1].running_mean, before)
    assert not net[0]._forward_hooks


def test_segnet_basic_has_the_published_parameters():
    # Table 1 of arXiv 1511.00561 says 1.425 M.
    cost = spec_cost(ModelSpec("segnet-basic", size_hw=(64, 96)))
    assert cost.params == pytest.approx(1.425e6, rel=0.01)
