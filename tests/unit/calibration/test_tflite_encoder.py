"""calibration/tools/tflite_encoder.py, fed a network of ours as such a file holds it: folded."""

import importlib.util
from pathlib import Path

import pytest
import torch

from edgeseg.host.finetuning.restore_batch_norms import measure_norms
from edgeseg.host.models import build_model
from edgeseg.host.models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from edgeseg.host.models.pretrained import encoder_names
from tests.small_models import small

SCRIPT = Path(__file__).parents[3] / "calibration" / "tools" / "tflite_encoder.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tflite_encoder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(seed):
    torch.manual_seed(seed)
    module = build_model(small("deeplabv3plus-mobilenetv2"))
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.3, 0.3)
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return module.eval()


def folded(module):
    """Kernels and biases of an encoder for pixels of -1 to 1, a detector's own among them."""
    names = [n for n in encoder_names(module, batch_norm=True) if n.endswith(".0.weight")]
    for position, name in enumerate(names):
        conv = module.get_submodule(name.removesuffix(".weight"))
        norm = module.get_submodule(name.removesuffix(".0.weight") + ".1")
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        kernel = (conv.weight * gain[:, None, None, None]).detach()
        bias = (norm.bias - norm.running_mean * gain).detach()
        if position == 0:
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            # normalized = (pixel - mean) / std = (given / 2 + 1 / 2 - mean) / std
            bias = bias + (kernel.sum((2, 3)) * ((0.5 - mean) / std)).sum(1)
            kernel = kernel * (0.5 / std)[:, None, None]
        yield kernel, bias
        yield torch.zeros(5, kernel.shape[0], 1, 1), torch.zeros(5)


def test_the_encoder_computes_what_the_file_s_does(script):
    theirs, ours = network(1), network(2)
    norms = script.carry(ours, folded(theirs))
    frame = torch.randn(2, 3, 64, 96)
    expected = theirs.backbone(frame)
    with torch.no_grad():
        for measured in (False, True):
            if measured:
                measure_norms(ours, norms, [frame])
            for a, b in zip(ours.backbone(frame), expected, strict=True):
                assert torch.allclose(a, b, atol=2e-5 * float(b.abs().max()))
    # With the statistics of what they read, norms that look at the batch give the same.
    ours.train()
    for layer in ours.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.eval()
    with torch.no_grad():
        for a, b in zip(ours.backbone(frame), expected, strict=True):
            assert torch.allclose(a, b, atol=1e-3 * float(b.abs().max()))


def test_a_file_of_another_network_is_refused(script):
    with pytest.raises(SystemExit, match="no kernel"):
        script.carry(network(1), iter([(torch.zeros(4, 4, 1, 1), torch.zeros(4))]))
