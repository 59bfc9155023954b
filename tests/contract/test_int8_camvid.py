"""Every architecture's INT8 bundle on CamVid frames against its torch twin."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_models import small
from trained_nets import settle, trained_on

from edgeseg.core.bundle import Bundle
from edgeseg.core.data.open import open_dataset
from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.export.export import ExportOptions, bundle_from_checkpoint, deployed
from edgeseg.host.models import MODELS
from edgeseg.host.models.label_net import LabelNet, Normalize
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize
from edgeseg.runtime.backends import open_backend

# Smaller than CamVid's, for time; not square and no multiple of a stride.
SIZE = (90, 124)


def street(root: Path, split: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames n,h,w,3 and labels n,h,w at SIZE, spread over a split."""
    data = open_dataset(str(root), split, limit=count)
    samples = [data[index] for index in range(count)]
    width_height = SIZE[::-1]
    rgb = [cv2.resize(s.rgb, width_height, interpolation=cv2.INTER_AREA) for s in samples]
    labels = [cv2.resize(s.labels, width_height, interpolation=cv2.INTER_NEAREST) for s in samples]
    return torch.from_numpy(np.stack(rgb)), torch.from_numpy(np.stack(labels)).long()


def labels_of(bundle: Bundle, frames: torch.Tensor, *, optimize: bool) -> np.ndarray:
    with open_backend("onnxruntime", bundle, threads=1, optimize=optimize) as backend:
        return np.concatenate([backend.infer(frame[None].numpy()).copy() for frame in frames])


@pytest.mark.slow
@pytest.mark.camvid
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("arch", MODELS)
def test_the_bundle_on_a_runtime_gives_the_labels_of_its_torch_twin(
    arch: str, camvid: Path, tmp_path: Path, record_property
) -> None:
    spec = small(arch, size_hw=SIZE)
    rgb, labels = street(camvid, "train", 24)
    x = Normalize(spec.preprocess)(rgb)
    net = settle(trained_on(spec, rgb, labels, steps=120), x)
    options = QuantizeOptions()
    module, metadata = quantize(net, options, x[:8].split(1))
    steps = (StepDone("train"), StepDone("quantize", options.to_step(), metadata))
    bundle = bundle_from_checkpoint(
        Checkpoint(spec, steps, module.state_dict()),
        "int8",
        tmp_path / arch,
        options=ExportOptions(islands=False),
    )

    unseen, truth = street(camvid, "val", 10)
    with torch.no_grad():
        twin = LabelNet(spec, module).eval()(unseen).numpy()
        full = deployed(spec, net, "fp32")(unseen).numpy()
    # The file's own arithmetic; then as it is run, where what int8 clips reaches 255 steps.
    found, fast = (labels_of(bundle, unseen, optimize=optimize) for optimize in (False, True))
    counted = truth.numpy() != spec.ignore_index

    def right(prediction: np.ndarray) -> float:
        return float((prediction == truth.numpy())[counted].mean())

    agreement = float((found == twin).mean())
    figures = {
        "agreement": agreement,
        "to_float": float((found == full).mean()),
        "right": right(found),
        "right_fast": right(fast),
        "right_float": right(full),
    }
    record_property("figures", " ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    # Trained: more than one class everywhere, of which none covers 0.4.
    assert len(np.unique(found)) >= 3
    assert right(found) > 0.5
    assert agreement >= 0.98
    assert right(fast) >= right(full) - 0.05
