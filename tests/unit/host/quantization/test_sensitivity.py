import json

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.metrics.confusion import ConfusionMatrix
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError, UsageError
from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.models.label_net import LabelNet, Normalize
from edgeseg.host.quantization.fake_quant.layers import QuantConv2d, weight_scale
from edgeseg.host.quantization.quantize import (
    QuantizeOptions,
    quantize,
    quantizers_of,
    set_quantizing,
)
from edgeseg.host.quantization.sensitivity import (
    LayerTrial,
    Sensitivity,
    measure,
    pick_float_layers,
)

SPEC = ModelSpec("segnet-basic", size_hw=(32, 48))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBNReLU(3, 8)
        self.pool = nn.MaxPool2d(2)
        self.left, self.right = ConvBNReLU(8, 8), ConvBNReLU(8, 8, relu=False)
        self.classifier = nn.Conv2d(8, 11, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(x))
        return self.classifier(torch.relu(self.right(self.left(x)) + x))


class Noise:
    """Frames with the float network's own labels, so that its mIoU is 1."""

    name, class_names, palette, ignore_index = "noise", SPEC.class_names, SPEC.palette, 11
    fingerprint = digest_of_samples
    names = ("0", "1")

    def __init__(self, net: nn.Module) -> None:
        self._net = LabelNet(SPEC, net).eval()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        rgb = np.random.default_rng(index).integers(0, 255, (32, 48, 3), dtype=np.uint8)
        with torch.no_grad():
            return Sample(str(index), rgb, self._net(torch.from_numpy(rgb)[None])[0].numpy())


@pytest.fixture
def nets() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    net = Net().eval()
    frames = torch.from_numpy(np.stack([Noise(net)[i].rgb for i in range(2)]))
    quantized, _ = quantize(net, QuantizeOptions("max"), [Normalize(SPEC.preprocess)(frames)])
    return net, quantized


def spoil(quantized: nn.Module, name: str) -> None:
    """Give a layer a grid of two levels."""
    layer = quantized.get_submodule(name)
    assert isinstance(layer, QuantConv2d)
    layer.weight_scale = weight_scale(layer.weight, 0) * 100


@torch.no_grad()
def miou(data: Noise, quantized: nn.Module) -> float:
    matrix = ConfusionMatrix(11, 11)
    net = LabelNet(SPEC, quantized).eval()
    for index in range(2):
        sample = data[index]
        assert sample.labels is not None
        matrix.update(sample.labels, net(torch.from_numpy(sample.rgb)[None])[0].numpy())
    return matrix.scores().miou


def test_the_spoilt_layer_is_found_by_both_trials(nets: tuple[nn.Module, nn.Module]) -> None:
    net, quantized = nets
    spoil(quantized, "left.0")
    seen: list[tuple[int, int]] = []
    found = measure(SPEC, quantized, Noise(net), progress=lambda *done: seen.append(done))
    assert seen == [(i + 1, 12) for i in range(12)]
    assert found.float_miou == 1.0
    assert found.int8_miou == pytest.approx(miou(Noise(net), quantized))
    first, *others = found.trials
    assert first.layer == "left.0"
    assert first.alone_drop > 3 * max(trial.alone_drop for trial in others)
    assert first.restored_gain > 3 * max(trial.restored_gain for trial in others)
    assert Sensitivity.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_trial_is_what_switching_by_hand_gives(nets: tuple[nn.Module, nn.Module]) -> None:
    net, quantized = nets
    data = Noise(net)
    trials = {trial.layer: trial for trial in measure(SPEC, quantized, data).trials}
    whole = miou(data, quantized)
    # `right` alone reads its pair; the pair before `left` also serves the residual add.
    for layer, own in (("right.0", "left_1"), ("left.0", None)):
        convolution = quantized.get_submodule(layer)
        convolution.quantizing = False
        pair = next((q for k, q in quantizers_of(quantized).items() if own and "left" in k), None)
        if pair is not None:
            pair.quantizing = False
        assert trials[layer].restored_gain == pytest.approx(miou(data, quantized) - whole)
        set_quantizing(quantized, True)
    set_quantizing(quantized, False)
    quantized.get_submodule("right.0").quantizing = True
    pair = next(q for k, q in quantizers_of(quantized).items() if "left" in k)
    pair.quantizing = True
    assert trials["right.0"].alone_drop == pytest.approx(1 - miou(data, quantized))


def test_what_any_layer_gains_is_told_apart_from_what_stands_out() -> None:
    gains = (0.02, -0.0006, -0.0005, -0.0005, -0.0004)
    trials = tuple(LayerTrial(str(n), 0.0, gain, 0.0) for n, gain in enumerate(gains))
    found = Sensitivity(0.7, 0.6, 4, trials)
    assert found.usual_gain == -0.0005
    assert found.gain_spread == pytest.approx(1.4826 * 0.0001)
    assert found.to_json()["usual_gain"] == -0.0005


def test_images_without_labels_are_refused(nets: tuple[nn.Module, nn.Module]) -> None:
    empty = PairFolder("empty", (), SPEC.class_names, SPEC.palette, 11)
    with pytest.raises(DataError, match="no images"):
        measure(SPEC, nets[1], empty)


def worth(**layers: float):
    """A network whose mIoU is 0.5 plus what its float layers are worth."""
    return lambda chosen: 0.5 + sum(layers[name] for name in chosen)


def test_the_fewest_layers_are_picked_and_none_of_them_is_idle() -> None:
    order = ("a", "b", "c", "d", "e", "f")
    miou_with = worth(a=0.0, b=0.1, c=0.0, d=0.1, e=0.1, f=0.0)
    assert pick_float_layers(order, miou_with, 0.5) == ()
    assert pick_float_layers(order, miou_with, 0.59) == ("b",)
    assert pick_float_layers(order, miou_with, 0.69) == ("b", "d")
    assert pick_float_layers(order, miou_with, 0.79) == ("b", "d", "e")
    with pytest.raises(UsageError, match=r"0\.8000, expected 0\.9000; give a larger --max-drop"):
        pick_float_layers(order, miou_with, 0.9)
