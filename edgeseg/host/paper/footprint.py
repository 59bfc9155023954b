"""Measures the seconds of a network on this machine, and counts its bytes of memory."""

from __future__ import annotations

import dataclasses
import statistics
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from edgeseg.core.spec import ModelSpec
from edgeseg.host.models import build_model
from edgeseg.host.models.blocks import IndexedMaxPool2d
from edgeseg.host.models.fcn import FCN
from edgeseg.host.models.segnet_basic import IndexBasic, UpsamplingBasic
from edgeseg.host.models.segnet_light import SegNetLight

BITS_OF_INDEX = 2
CELLS_OF_WINDOW = 4
BITS_OF_VALUE = 32
TRAINING_BATCH = 4


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves it untyped
    """Counts the bytes of tensors alive inside the `with` block; works on the meta device.

    It sees what torch keeps, not what a library's kernel borrows for a moment.

    Attributes:
        now: bytes alive of what was made inside.
        peak: the most that were alive at once.
    """

    def __init__(self) -> None:
        """Start from nothing."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and note the storages of its results."""
        result = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._note, result)
        return result

    def _note(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, key, size)
        return tensor

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of live tensors, weights included.

    Attributes:
        inference: peak of one frame without gradients.
        training: peak of a step of batch 4, with gradients and one momentum a weight.
        model: the weights in float32.
    """

    inference: int
    training: int
    model: int


@dataclasses.dataclass(frozen=True)
class Storage:
    """What the encoder keeps for the decoder: pooling indices, or maps as float32.

    Attributes:
        bytes: of all levels.
        first_bits: of the largest of them alone, in bits a cell. Table 1's storage multiplier
            compares this figure: it is "of the first layer" (section 3.3), two bits for 2x2 cells
            of a map against 32 for each, as if the FCN variants kept maps before pooling too.
    """

    bytes: int
    first_bits: float


def count_memory(spec: ModelSpec) -> Memory:
    """Count a network's memory at spec.size_hw without computing anything."""
    with torch.device("meta"):
        model = build_model(spec)
        frame = torch.zeros(1, 3, *spec.size_hw)
        batch = torch.zeros(TRAINING_BATCH, 3, *spec.size_hw)
    state = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    weights = sum(4 * p.numel() for p in model.parameters())
    with torch.no_grad(), LiveBytes() as inference:
        model.eval()(frame)
    with LiveBytes() as training:
        model.train()(batch).sum().backward()
    # The gradients are among the live tensors at the end; the optimizer's momentum is not.
    return Memory(state + inference.peak, state + training.peak + weights, weights)


def decoder_storage(spec: ModelSpec) -> Storage:
    """Count what one frame's encoder keeps for its decoder, without computing anything."""
    with torch.device("meta"):
        model = build_model(spec).eval()
        frame = torch.zeros(1, 3, *spec.size_hw)
    kept: list[tuple[int, int]] = []  # bits and the cells that they are for

    def indices(layer: nn.Module, inputs: Any, output: Any) -> None:
        cells = output[0][0, 0].numel() * CELLS_OF_WINDOW
        kept.append((output[0].numel() * BITS_OF_INDEX, cells))

    def maps(layer: nn.Module, inputs: Any, output: Any) -> None:
        kept.append((output.numel() * BITS_OF_VALUE, output[0, 0].numel()))

    unpools = model.uses_indices if isinstance(model, SegNetLight) else True
    for layer in model.modules():
        if isinstance(layer, IndexedMaxPool2d) and unpools:
            layer.register_forward_hook(indices)
    for layer in _kept_maps(model):
        layer.register_forward_hook(maps)
    with torch.no_grad():
        model(frame)
    largest, cells = max(kept, default=(0, 1))
    return Storage(sum(bits for bits, _ in kept) // 8, largest / cells)


def _kept_maps(model: nn.Module) -> list[nn.Module]:
    """Return the layers whose outputs wait for the decoder as maps."""
    if isinstance(model, IndexBasic):
        return list(model.encoder) if model.add_encoder else []
    if isinstance(model, UpsamplingBasic):
        return list(model.reduce[1:])
    return model.kept if isinstance(model, (FCN, SegNetLight)) else []


def time_passes(
    specs: Mapping[str, ModelSpec],
    *,
    rounds: int,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, dict[str, float]]:
    """Time the networks against each other: one pass of each a round, in turn, so they share noise.

    Args:
        specs: the networks by name; each runs at its size_hw with fresh weights, batch 1, float32.
        rounds: passes of each, after one that is not counted.
        device: a torch device.
        progress: told the number of passes done.

    Returns:
        By name, the medians "forward_ms" and "backward_ms".
    """
    sync = torch.cuda.synchronize if torch.device(device).type == "cuda" else _nothing
    samples: dict[str, dict[str, list[float]]] = {name: {} for name in specs}
    done = 0
    models = {name: build_model(spec).to(device).eval() for name, spec in specs.items()}
    for number in range(rounds + 1):
        for name, spec in specs.items():
            frame = torch.zeros(1, 3, *spec.size_hw, device=device)
            taken = _one_pass(models[name], frame, sync)
            if number:
                for key, value in taken.items():
                    samples[name].setdefault(key, []).append(value)
            done += 1
            progress(done)
    return {
        name: {key: statistics.median(values) for key, values in keys.items()}
        for name, keys in samples.items()
    }


def _one_pass(model: nn.Module, frame: torch.Tensor, sync: Callable[[], None]) -> dict[str, float]:
    with torch.no_grad():
        sync()
        start = time.perf_counter_ns()
        model(frame)
        sync()
        taken = {"forward_ms": (time.perf_counter_ns() - start) / 1e6}
    total = model(frame).sum()
    sync()
    start = time.perf_counter_ns()
    total.backward()
    sync()
    taken["backward_ms"] = (time.perf_counter_ns() - start) / 1e6
    model.zero_grad(set_to_none=True)
    return taken


def _nothing() -> None:
    return None
