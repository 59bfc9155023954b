"""Turns a quantized checkpoint into a float network with batch norms, ready to be trained."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.checkpoint import Checkpoint, structure
from edgeseg.host.fx.fold_batch_norm import fold_batch_norms
from edgeseg.host.fx.tracing import trace

# Of a filter, beside about 1 of one that does anything.
SHORTEST = 1e-6


def restored(checkpoint: Checkpoint, batches: Iterable[torch.Tensor]) -> Checkpoint:
    """Return the float network that a quantized one rounds, ready to be trained or pruned.

    Quantization folded every batch norm into its convolution (host/fx/fold_batch_norm.py), and a
    network without them trains badly. Here each batch norm comes back as one that changes nothing:
    with m and v the mean and variance of what the convolution gives for `batches`, its running
    statistics are m and v, its gain sqrt(v + e) and its shift the folded bias + m. Folding also
    scaled every filter by its batch norm's gain. A training step moves a small filter too far and
    a large one hardly at all, so each filter first gets the length that He's rule starts it with
    (sqrt 2), which the batch norm undoes.

    Args:
        checkpoint: of a quantized network, trained since or not.
        batches: normalized inputs N,3,H,W that look like the ones to train on.

    Returns:
        The checkpoint without its quantize step and what followed, which computes what the
        quantized network does with its quantizers off, to float rounding.

    Raises:
        UsageError: `batches` is empty, or the checkpoint is not quantized.
        CheckpointError: its weights do not fit its architecture.
    """
    kinds = [step.kind for step in checkpoint.steps]
    if "quantize" not in kinds:
        raise UsageError("the network is not quantized; there is no batch norm to restore")
    steps = checkpoint.steps[: kinds.index("quantize")]
    module = structure(checkpoint.spec, steps).eval()
    # Folded on a copy, to learn which batch norm went into which convolution.
    norms = fold_batch_norms(trace(structure(checkpoint.spec, steps).eval()))
    try:
        module.load_state_dict(_with_norms(module, checkpoint.weights, norms))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights do not fit {checkpoint.spec.arch}: {str(error).splitlines()[-1].strip()}"
        ) from error
    with torch.no_grad():
        measure_norms(module, norms.values(), batches)
    return dataclasses.replace(checkpoint, steps=steps, weights=module.state_dict())


def _with_norms(
    module: nn.Module, folded: Mapping[str, torch.Tensor], norms: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Return a state dict with batch norms that add the folded biases and change nothing else."""
    state = module.state_dict()
    own = {f"{norm}." for norm in norms.values()}
    new = {
        key: folded[key]
        for key in state
        if not key.startswith(tuple(own)) and key.removesuffix(".bias") not in norms
    }
    for conv, name in norms.items():
        norm = _batch_norm(module, name)
        shift = folded[f"{conv}.bias"]
        gain = torch.ones_like(shift)
        if isinstance(module.get_submodule(conv), nn.Conv2d):
            new[f"{conv}.weight"], gain = _of_he_length(folded[f"{conv}.weight"])
        if f"{conv}.bias" in state:
            new[f"{conv}.bias"] = torch.zeros_like(shift)
        new |= {
            f"{name}.weight": gain * (1 + norm.eps) ** 0.5,
            f"{name}.bias": shift,
            f"{name}.running_mean": torch.zeros_like(shift),
            f"{name}.running_var": torch.ones_like(shift),
            f"{name}.num_batches_tracked": torch.tensor(0),
        }
    return new


def _of_he_length(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return filters out,in,k,k of length sqrt 2, and what each must be multiplied with to be back.

    A filter of zeros stays, and so does one so short that its direction is rounding.
    """
    length = weight.flatten(1).norm(dim=1)
    gain = torch.where(length > SHORTEST, length / 2**0.5, torch.ones_like(length))
    return weight / gain.view(-1, *[1] * (weight.ndim - 1)), gain


class _Moments:
    """Mean and variance per channel of all that one batch norm reads."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: torch.Tensor | float = 0.0
        self.squares: torch.Tensor | float = 0.0

    def __call__(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)
        self.count += values.shape[1]
        self.sum = self.sum + values.sum(1)
        self.squares = self.squares + values.square().sum(1)


def measure_norms(module: nn.Module, names: Iterable[str], batches: Iterable[torch.Tensor]) -> None:
    """Give batch norms the statistics of what they read, in place, and let them compute the same.

    Args:
        module: a network in evaluation mode.
        names: its batch norms with mean 0 and variance 1, which only scale and add a shift.
        batches: normalized inputs N,3,H,W that look like the ones to train on.

    Raises:
        UsageError: `batches` is empty.
    """
    found = {name: _Moments() for name in names}
    with _hooked(module, found):
        for batch in batches:
            module(batch)
    for name, moments in found.items():
        if not moments.count:
            raise UsageError("no frames to measure batch norms on; give a data set with images")
        norm = _batch_norm(module, name)
        mean = torch.as_tensor(moments.sum) / moments.count
        variance = (torch.as_tensor(moments.squares) / moments.count - mean**2).clamp(min=0)
        norm.state_dict()["running_mean"].copy_(mean)
        stored = norm.state_dict()["running_var"].copy_(variance)
        scale = norm.weight.double() / (1 + norm.eps) ** 0.5
        # Of the rounded variance, so that gain and root cancel to the digit.
        norm.weight.copy_(scale * (stored.double() + norm.eps).sqrt())
        norm.bias.add_(scale * mean)


def _batch_norm(module: nn.Module, name: str) -> nn.BatchNorm2d:
    norm = module.get_submodule(name)
    if not isinstance(norm, nn.BatchNorm2d):
        raise RuntimeError(f"{name} is no batch norm")
    return norm


@contextlib.contextmanager
def _hooked(module: nn.Module, found: Mapping[str, _Moments]) -> Iterator[None]:
    handles = [
        module.get_submodule(name).register_forward_pre_hook(moments)
        for name, moments in found.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
