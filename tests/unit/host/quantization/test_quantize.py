import json

import pytest
import torch
from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.quantization.observers import OBSERVERS
from edgeseg.host.quantization.quantize import (
    QuantizeOptions,
    is_quantized,
    quantize,
    quantizers_of,
    replay,
    set_observing,
    set_quantizing,
)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBNReLU(3, 8, 3, stride=2)
        self.body = ConvBNReLU(8, 8, 3, relu=False)
        self.classifier = nn.Conv2d(8, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.classifier(torch.relu(x + self.body(x)))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Tiny().eval()


def batches(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(2, 3, 32, 48, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("observer", OBSERVERS)
def test_the_quantized_network_is_close_and_deterministic(net: nn.Module, observer: str) -> None:
    options = QuantizeOptions(observer=observer)
    first, metadata = quantize(net, options, batches())
    second, again = quantize(net, options, batches())
    assert metadata == again == json.loads(json.dumps(metadata))
    x = batches(1)[0]
    assert torch.equal(first(x), second(x))
    with torch.no_grad():
        error = float((first(x) - net(x)).norm() / net(x).norm())
    assert 0 < error < 0.1


def test_the_float_network_is_not_changed(net: nn.Module) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    quantize(net, QuantizeOptions(), batches())
    after = net.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not is_quantized(net)


def test_replay_and_a_strict_state_dict_give_the_same_network(net: nn.Module) -> None:
    options = QuantizeOptions(observer="percentile", percentile=99.0, keep_float=("body.0",))
    quantized, metadata = quantize(net, options, batches())
    step = StepDone.from_json(
        json.loads(json.dumps(StepDone("quantize", options.to_step(), metadata).to_json()))
    )
    torch.manual_seed(1)
    rebuilt = replay(Tiny(), step).eval()
    rebuilt.load_state_dict(quantized.state_dict(), strict=True)
    x = batches(1)[0]
    assert torch.equal(rebuilt(x), quantized(x))


def test_replay_refuses_a_plan_that_today_would_differ(net: nn.Module) -> None:
    options = QuantizeOptions()
    _, metadata = quantize(net, options, batches())
    stale = StepDone("quantize", options.to_step(), {**metadata, "plan": metadata["plan"][1:]})
    with pytest.raises(CheckpointError, match="places Q/DQ otherwise"):
        replay(net, stale)


def test_calibration_without_images_is_refused(net: nn.Module) -> None:
    with pytest.raises(UsageError, match="--calibrate"):
        quantize(net, QuantizeOptions(), [])


def test_a_quantized_network_is_not_quantized_again(net: nn.Module) -> None:
    quantized, _ = quantize(net, QuantizeOptions(), batches())
    with pytest.raises(UsageError, match="already"):
        quantize(quantized, QuantizeOptions(), batches())


def test_all_wrong_options_are_reported_together() -> None:
    with pytest.raises(UsageError, match=r"unknown observer 'kl'.*; percentile 12"):
        QuantizeOptions(observer="kl", percentile=12.0)


def test_scales_are_the_same_however_the_data_is_cut(net: nn.Module) -> None:
    whole = torch.cat(batches(2))
    together, _ = quantize(net, QuantizeOptions("max"), [whole])
    apart, _ = quantize(net, QuantizeOptions("max"), list(whole.split(1)))
    for name, layer in quantizers_of(together).items():
        torch.testing.assert_close(layer.scale, quantizers_of(apart)[name].scale)


def test_training_moves_weights_and_only_observing_moves_ranges(net: nn.Module) -> None:
    quantized, _ = quantize(net, QuantizeOptions(), batches())
    quantized.train()
    optimizer = torch.optim.SGD(quantized.parameters(), lr=0.05)
    x, losses = batches(1)[0], []
    target = torch.randint(0, 5, (2, 16, 24), generator=torch.Generator().manual_seed(2))
    scales = {name: float(layer.scale) for name, layer in quantizers_of(quantized).items()}
    for _ in range(8):
        loss = nn.functional.cross_entropy(quantized(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert scales == {name: float(q.scale) for name, q in quantizers_of(quantized).items()}
    set_observing(quantized, True)
    quantized(3 * x)
    set_observing(quantized, False)
    moved = {name: float(q.scale) for name, q in quantizers_of(quantized).items()}
    assert all(moved[name] > scales[name] for name in scales)


def test_switched_off_the_network_is_the_folded_float_one(net: nn.Module) -> None:
    quantized, _ = quantize(net, QuantizeOptions(), batches())
    set_quantizing(quantized, False)
    x = batches(1)[0]
    torch.testing.assert_close(quantized(x), net(x), atol=1e-5, rtol=1e-5)


def test_the_added_convolutions_range_is_known_but_changes_nothing(net: nn.Module) -> None:
    quantized, _ = quantize(net, QuantizeOptions("max"), batches())
    observer = quantized.get_submodule("residual.body_0")
    folded_bias = quantized.get_submodule("body.0").bias
    assert folded_bias is not None
    assert float(observer.scale) != 1.0
    assert "residual.body_0.scale" in quantized.state_dict()
    x = batches(1)[0]
    before = quantized(x)
    observer.set_amax(1e-3)
    assert torch.equal(quantized(x), before)
    observer.quantizing = True
    assert not torch.equal(quantized(x), before)
