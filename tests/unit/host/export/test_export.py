import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from trained_nets import frames, spec_of, trained

from edgeseg.core.bundle import read_bundle
from edgeseg.core.recipe import StepDone
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.export import export
from edgeseg.host.export.export import ExportOptions, bundle_from_checkpoint, deployed, export_onnx
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize

SIZE = (48, 64)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    spec = spec_of("segnet-basic", SIZE)
    net = trained(spec, steps=10)
    return Checkpoint(spec, (StepDone("train"),), net.state_dict(), scores={"miou": 0.5})


def calibration(count: int = 2) -> list[np.ndarray]:
    return list(frames(SIZE, count, seed=5)[0].numpy())


def test_a_float_checkpoint_is_calibrated_and_its_bundle_holds_the_scales(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    seen: list[int] = []
    bundle = bundle_from_checkpoint(
        checkpoint, "int8", tmp_path / "net", calibration=calibration(),
        options=ExportOptions(quantize=QuantizeOptions("max")), progress=seen.append,
    )  # fmt: skip
    assert seen == [1, 2]
    assert bundle == read_bundle(tmp_path / "net")
    assert (bundle.name, bundle.precision, bundle.opset) == ("net", "int8", 18)
    assert [step["kind"] for step in bundle.steps] == ["train", "quantize"]
    assert bundle.steps[1]["options"]["observer"] == "max"
    assert bundle.reference == {"miou": 0.5}
    golden = bundle.golden()
    assert golden.frame.shape == (1, *SIZE, 3)
    (labels,) = run_unoptimized(onnx.load(bundle.onnx_path), golden.frame)
    assert (labels == golden.labels).mean() > 0.98
    assert bundle.islands_path is not None
    islands = onnx.load(bundle.islands_path)
    # Ten training steps leave FP16 rounding a large say; test_fp16islands holds the forms together.
    assert (run_unoptimized(islands, golden.frame)[0] == golden.labels).mean() > 0.7


@pytest.mark.parametrize("given", [None, []])
def test_int8_without_calibration_frames_is_refused_and_nothing_is_written(
    checkpoint: Checkpoint, tmp_path: Path, given: list[np.ndarray] | None
) -> None:
    with pytest.raises(UsageError, match="--calibrate"):
        bundle_from_checkpoint(checkpoint, "int8", tmp_path / "net", calibration=given)
    assert list(tmp_path.iterdir()) == []


def test_a_calibration_frame_of_another_size_is_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"uint8 \(10, 12, 3\), expected uint8 \(48, 64, 3\)"):
        bundle_from_checkpoint(
            checkpoint, "int8", tmp_path / "net", calibration=[np.zeros((10, 12, 3), np.uint8)]
        )


def test_a_quantized_checkpoint_needs_no_frames_and_its_fp32_twin_has_no_quantizers(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    from edgeseg.host.checkpoint import module_from_checkpoint
    from edgeseg.host.models.label_net import Normalize

    options = QuantizeOptions()
    x = Normalize(checkpoint.spec.preprocess)(torch.from_numpy(np.stack(calibration())))
    module, metadata = quantize(module_from_checkpoint(checkpoint), options, [x])
    steps = (*checkpoint.steps, StepDone("quantize", options.to_step(), metadata))
    done = Checkpoint(checkpoint.spec, steps, module.state_dict())
    for precision, expected in (("int8", 13), ("fp32", 0)):
        bundle = bundle_from_checkpoint(done, precision, tmp_path / precision)
        kinds = [node.op_type for node in onnx.load(bundle.onnx_path).graph.node]
        assert kinds.count("QuantizeLinear") == expected
        assert (bundle.islands_path is not None) == (precision == "int8")
        assert [step["kind"] for step in bundle.steps] == ["train", "quantize"]
    small = ExportOptions(islands=False)
    assert (
        bundle_from_checkpoint(done, "int8", tmp_path / "small", options=small).islands_path is None
    )


def test_precision_and_network_must_fit(checkpoint: Checkpoint) -> None:
    net = trained(checkpoint.spec, steps=0)
    with pytest.raises(UsageError, match="needs a quantized network"):
        deployed(checkpoint.spec, net, "int8")
    with pytest.raises(UsageError, match="'int4' is not one of int8, fp16, fp32"):
        export_onnx(checkpoint.spec, net, "int4")


def test_a_graph_that_gives_other_labels_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = trained(checkpoint.spec, steps=3)
    nn.init.zeros_(stranger.classifier.weight)
    other = export_onnx(checkpoint.spec, stranger, "fp32")
    monkeypatch.setattr(export, "export_onnx", lambda *_, **__: other)
    with pytest.raises(ExportError, match="of the golden frame"):
        bundle_from_checkpoint(checkpoint, "fp32", tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_export_is_deterministic(checkpoint: Checkpoint) -> None:
    net = trained(checkpoint.spec, steps=1)
    first, second = (export_onnx(checkpoint.spec, net, "fp32") for _ in range(2))
    assert first == second


def test_half_precision_that_overflows_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    name = next(key for key, weight in checkpoint.weights.items() if weight.ndim == 4)
    weights = {key: weight.clone() for key, weight in checkpoint.weights.items()}
    weights[name].view(-1)[0] = 1e9
    spoiled = dataclasses.replace(checkpoint, weights=weights)
    with pytest.raises(ExportError, match=r"impossible constants, first .* FP16 ends at 65504"):
        bundle_from_checkpoint(spoiled, "fp16", tmp_path / "b")
    assert not (tmp_path / "b").exists()
