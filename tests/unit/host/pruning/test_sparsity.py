import dataclasses

import onnx
import pytest
import torch
from blobs import SPEC, Blobs
from small_models import small

from edgeseg.core.recipe import StepDone
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint, save_checkpoint
from edgeseg.host.export.export import export_onnx
from edgeseg.host.models import build_model
from edgeseg.host.pruning.sparsity import SPARSE, has_pattern, masks_of, sparsify, two_of_four
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.train import train
from edgeseg.lint.check import lint

OPTIONS = TrainOptions(
    epochs=1, batch=2, lr=0.05, warmup_epochs=0, augment=Augment(crop_hw=(32, 48)), bf16=False
)


def sparse_net():
    torch.manual_seed(0)
    module, metadata = sparsify(build_model(SPEC))
    return module, StepDone("prune", {"sparsity": "2:4"}, metadata)


def test_the_two_largest_of_every_four_inputs_stay():
    weight = torch.tensor([[5.0, -1, 2, -9, 0.5, 0.1, -0.3, 0.4]]).reshape(1, 8, 1, 1)
    mask = two_of_four(weight).flatten()
    assert mask.tolist() == [True, False, False, True, True, False, False, True]
    weight = torch.randn(6, 8, 3, 5)
    assert not has_pattern(weight)
    kept = weight * two_of_four(weight)
    assert has_pattern(kept)
    assert (kept == 0).float().mean() == 0.5
    # The pattern is along the inputs, not along the outputs or the kernel.
    assert not has_pattern(kept.transpose(0, 1)[:, :4].contiguous())


def test_only_convolutions_that_can_take_the_pattern_get_it():
    module, step = sparse_net()
    names = step.metadata[SPARSE]
    assert "encoder.0.0" not in names  # three inputs
    assert "classifier" not in names
    assert {"encoder.1.0", "decoder.3.0"} <= set(names)
    assert all(has_pattern(module.get_submodule(name).weight) for name in names)


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory):
    module, step = sparse_net()
    data = Blobs(4)
    return train(
        SPEC, module, data, OPTIONS, tmp_path_factory.mktemp("run"), kind="finetune",
        steps_before=(StepDone("train"), step),
    )  # fmt: skip


def test_fine_tuning_moves_weights_and_keeps_the_zeros(fine_tuned):
    before, step = sparse_net()
    after = module_from_checkpoint(fine_tuned.last)
    for name in step.metadata[SPARSE]:
        old, new = before.get_submodule(name).weight, after.get_submodule(name).weight
        assert has_pattern(new)
        assert torch.equal(old == 0, new == 0)
        assert not torch.equal(old, new)


def test_the_zeros_survive_half_storage_folding_and_qat(fine_tuned, tmp_path):
    save_checkpoint(tmp_path / "half.safetensors", fine_tuned.last, half=True)
    loaded = load_checkpoint(tmp_path / "half.safetensors")
    frames = [torch.randn(2, 3, 64, 96)]
    quantized, metadata = quantize(module_from_checkpoint(loaded), QuantizeOptions(), frames)
    steps = (*loaded.steps, StepDone("quantize", QuantizeOptions().to_step(), metadata))
    assert set(masks_of(quantized, steps)) == set(loaded.steps[1].metadata[SPARSE])
    data = Blobs(4)
    options = dataclasses.replace(OPTIONS, lr=1e-3)
    result = train(SPEC, quantized, data, options, tmp_path, kind="qat", steps_before=steps)
    again = module_from_checkpoint(load_checkpoint(tmp_path / "last.safetensors"))
    assert set(masks_of(again, result.last.steps)) == set(loaded.steps[1].metadata[SPARSE])


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["deeplabv3plus-mobilenetv2", "segnet-basic"])
def test_lint_finds_every_sparse_layer_in_the_exported_graphs(arch):
    torch.manual_seed(0)
    spec = small(arch)
    sparse, metadata = sparsify(build_model(spec))
    quantized, _ = quantize(sparse, QuantizeOptions(), [torch.randn(1, 3, *spec.size_hw)])
    for module, precision in ((sparse, "fp32"), (quantized, "int8")):
        found = lint(onnx.load_from_string(export_onnx(spec, module, precision)))
        assert found.sparse_convs == len(metadata[SPARSE]) > 0
    plain = lint(onnx.load_from_string(export_onnx(spec, build_model(spec), "fp32")))
    assert plain.sparse_convs == 0


def test_lost_zeros_are_refused_by_name():
    module, step = sparse_net()
    with torch.no_grad():
        module.get_submodule("encoder.1.0").weight += 1
    with pytest.raises(CheckpointError, match=r"encoder\.1\.0 was made 2:4 sparse"):
        masks_of(module, (step,))


def test_what_cannot_be_sparse_is_refused():
    quantized, _ = quantize(build_model(SPEC), QuantizeOptions(), [torch.randn(1, 3, 64, 96)])
    with pytest.raises(UsageError, match="float checkpoint"):
        sparsify(quantized)
    with pytest.raises(UsageError, match="multiple of 4"):
        sparsify(build_model(small("segnet-basic", channels=6)))
