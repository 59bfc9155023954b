"""Scores of a torch module on a data set: normalize, network, resize and argmax as exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.images.fit import Placement, fit_rgb
from edgeseg.core.metrics.boundary_f1 import BoundaryF1
from edgeseg.core.metrics.confusion import ConfusionMatrix, Scores
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError
from edgeseg.host.models.label_net import LabelNet

Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]


def score_module(
    spec: ModelSpec,
    module: nn.Module,
    dataset: Dataset,
    *,
    bf16: bool = False,
    outlines: BoundaryF1 | None = None,
    refine: Refine | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Run every sample through normalize, network, resize, argmax; return the scores.

    Images of another size than spec.size_hw are fitted to it and the labels brought back to the
    image's own size, as `edgeseg eval` does with a bundle.

    Args:
        spec: what the network is.
        module: the network.
        dataset: labelled samples.
        bf16: run in bfloat16.
        outlines: gets every frame too, where boundary F1 is wanted.
        refine: makes the labels in place of argmax, from the logits k,H,W and the frame H,W,3.
        progress: told the number of images done.

    Raises:
        DataError: a sample has no labels.
    """
    matrix = count_module(
        spec,
        module,
        dataset,
        range(len(dataset)),
        bf16=bf16,
        outlines=outlines,
        refine=refine,
        progress=progress,
    )
    return matrix.scores()


def check_labelled(dataset: Dataset) -> None:
    """Refuse data that gives no score; reads up to the first labelled pixel.

    Raises:
        DataError: every pixel of every mask is void.
    """
    for index in range(len(dataset)):
        labels = dataset[index].labels
        if labels is not None and (labels != dataset.ignore_index).any():
            return
    raise DataError(
        f"{dataset.name}: no pixel of its {len(dataset)} images has a label; nothing can be scored"
    )


@torch.no_grad()
def count_module(
    spec: ModelSpec,
    module: nn.Module,
    dataset: Dataset,
    indices: Iterable[int],
    *,
    bf16: bool = False,
    outlines: BoundaryF1 | None = None,
    refine: Refine | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> ConfusionMatrix:
    """Count some samples of a dataset as score_module does; counts of parts add up to the whole's.

    Raises:
        DataError: a sample has no labels.
    """
    was_training = module.training
    net = LabelNet(spec, module, raw_logits=refine is not None).eval()
    device = next(module.parameters()).device
    net.normalize.to(device)
    matrix = ConfusionMatrix(spec.n_classes, spec.ignore_index)
    for done, (frame, truth, placement) in enumerate(labelled(spec, dataset, indices), start=1):
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            labels = _labels(net, frame.to(device), placement, refine)
        matrix.update(truth, labels)
        if outlines:
            outlines.update(truth, labels)
        progress(done)
    module.train(was_training)
    return matrix


@torch.no_grad()
def label_picture(
    spec: ModelSpec, net: LabelNet, rgb: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w"]:
    """Return a network's labels of one picture, at the picture's own size.

    Args:
        spec: what the network is.
        net: in evaluation mode, on the CPU.
        rgb: the picture, of any size.
    """
    fitted, placement = fit_rgb(rgb, spec.size_hw, spec.preprocess.resize)
    return _labels(net, torch.from_numpy(np.ascontiguousarray(fitted))[None], placement)


def _labels(
    net: LabelNet, frame: torch.Tensor, placement: Placement, refine: Refine | None = None
) -> UInt8[np.ndarray, "h w"]:
    found = net(frame)
    if refine is None:
        return placement.invert_labels(found[0].cpu().numpy())
    logits = found[1][0].float().cpu().numpy()
    return placement.invert_labels(refine(logits, frame[0].cpu().numpy()))


def labelled(
    spec: ModelSpec, dataset: Dataset, indices: Iterable[int]
) -> Iterator[tuple[torch.Tensor, UInt8[np.ndarray, "h w"], Placement]]:
    """Yield uint8 frames 1,H,W,3 of the network's size, their truth, and how they were fitted.

    Raises:
        DataError: a sample has no labels.
    """
    for index in indices:
        sample = dataset[index]
        if sample.labels is None:
            raise DataError(f"{dataset.name}: {sample.name} has no labels to score against")
        rgb, placement = fit_rgb(sample.rgb, spec.size_hw, spec.preprocess.resize)
        yield torch.from_numpy(np.ascontiguousarray(rgb))[None], sample.labels, placement
