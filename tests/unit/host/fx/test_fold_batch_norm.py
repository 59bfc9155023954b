import pytest
import torch
from torch import nn

from edgeseg.host.fx.fold_batch_norm import fold_batch_norms
from edgeseg.host.fx.tracing import trace


def shaken(module: nn.Module) -> nn.Module:
    """Give every batch norm statistics far from the identity."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_var is not None:
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.2, 3)
            if layer.affine:
                nn.init.uniform_(layer.weight, -2, 2)
                nn.init.uniform_(layer.bias, -1, 1)
    return module.eval()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, bias=False),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.ConvTranspose2d(4, 6, 2, stride=2),
        nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False),
    ],
)
@pytest.mark.parametrize("affine", [True, False])
def test_folding_keeps_the_function(conv: nn.Module, affine: bool) -> None:
    channels = conv.out_channels
    assert isinstance(channels, int)
    net = shaken(nn.Sequential(conv, nn.BatchNorm2d(channels, affine=affine), nn.ReLU()))
    x = torch.randn(2, 4, 9, 13)
    expected = net(x)
    graph = trace(net)
    assert fold_batch_norms(graph) == {"0": "1"}
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in graph.modules())
    torch.testing.assert_close(graph(x), expected, atol=1e-5, rtol=1e-5)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raw = self.conv(x)
        return self.norm(raw) + raw


def test_a_convolution_with_another_reader_keeps_its_batch_norm() -> None:
    net = shaken(Shared())
    x = torch.randn(2, 3, 5, 7)
    expected = net(x)
    graph = trace(net)
    assert fold_batch_norms(graph) == {}
    assert torch.equal(graph(x), expected)
