"""Measures what INT8 costs each convolution: quantized alone, and left in float alone.

Both are measured from one walk through the network: up to a layer, the activations of the float
and of the INT8 form are kept, so that each of the two trials computes only what comes after it.
Source: Wu et al. 2020 (arXiv 2004.09602), section 5.2 (partial quantization by one-layer trials).

Leaving any one layer in float moves values of all later layers across rounding borders, so the mIoU
changes a little whichever layer it is. The median and the spread of these gains over the layers
are reported with them: only a gain outside of that band says something about its layer.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.views import Fitted
from edgeseg.core.metrics.confusion import ConfusionMatrix
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError, UsageError
from edgeseg.host.models.label_net import Normalize, resize_logits
from edgeseg.host.quantization.fake_quant.layers import (
    ActivationQuantizer,
    QuantConv2d,
    QuantConvTranspose2d,
)
from edgeseg.host.quantization.paired_run import execute, last_readers, switch
from edgeseg.host.quantization.quantize import set_quantizing

# Standard deviation of a normal distribution over its median absolute deviation.
NORMAL = 1.4826


@dataclasses.dataclass(frozen=True)
class LayerTrial:
    """What one convolution costs.

    Attributes:
        layer: its name.
        alone_drop: mIoU lost when only it is quantized, its input and its weight.
        restored_gain: mIoU regained when it alone is left in float. Its input is float only where
            no other layer reads the same tensor.
        alone_changed: share of all labels that change when only it is quantized; finer than mIoU.
    """

    layer: str
    alone_drop: float
    restored_gain: float
    alone_changed: float

    @property
    def cost(self) -> float:
        """The mean of both trials: the order in which layers are worth leaving in float."""
        return (self.alone_drop + self.restored_gain) / 2


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """The trials of a network, costliest layer first.

    Attributes:
        float_miou: of the network with nothing quantized.
        int8_miou: with everything quantized.
        n_images: images it was measured on.
        trials: one a convolution.
    """

    float_miou: float
    int8_miou: float
    n_images: int
    trials: tuple[LayerTrial, ...]

    @property
    def usual_gain(self) -> float:
        """The median of restored_gain: the gain of leaving any one layer in float."""
        return statistics.median(trial.restored_gain for trial in self.trials)

    @property
    def gain_spread(self) -> float:
        """The spread of restored_gain around it as a standard deviation, outliers left out."""
        away = [abs(trial.restored_gain - self.usual_gain) for trial in self.trials]
        return NORMAL * statistics.median(away)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "float_miou": self.float_miou,
            "int8_miou": self.int8_miou,
            "n_images": self.n_images,
            "usual_gain": self.usual_gain,
            "gain_spread": self.gain_spread,
            "layers": [dataclasses.asdict(trial) for trial in self.trials],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Sensitivity:
        """Build from to_json's document."""
        trials = tuple(LayerTrial(**row) for row in document["layers"])
        return cls(document["float_miou"], document["int8_miou"], document["n_images"], trials)


@torch.no_grad()
def measure(
    spec: ModelSpec,
    module: fx.GraphModule,
    dataset: Dataset,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sensitivity:
    """Try every fake-quantized convolution of a network on labelled images.

    Args:
        spec: what the network is.
        module: what `quantize` or `replay` made; it is not changed.
        dataset: labelled images, scored at their own size.
        progress: told the trials done, and of how many.

    Raises:
        DataError: an image has no labels, or there is none.
    """
    if not len(dataset):
        raise DataError(f"{dataset.name} has no images to measure on")
    module = copy.deepcopy(module).eval()
    for layer in module.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # trials share the activations before them
    trial = _Trials(spec, module)
    dataset = Fitted(dataset, spec)
    total = len(dataset) * 2 * len(trial.layers)
    for index in range(len(dataset)):
        sample = dataset[index]
        if sample.labels is None:
            raise DataError(f"{dataset.name}: {sample.name} has no labels to score against")
        before = index * 2 * len(trial.layers)
        trial.image(
            torch.from_numpy(np.ascontiguousarray(sample.rgb))[None],
            sample.labels,
            lambda done, before=before: progress(before + done, total),  # type: ignore[misc]
        )
    return trial.result(len(dataset))


class _Trials:
    """Confusion counts of all trials; measure() is its only user."""

    def __init__(self, spec: ModelSpec, module: fx.GraphModule) -> None:
        self.module, self.normalize = module, Normalize(spec.preprocess)
        self.modules = dict(module.named_modules())
        self.nodes: list[fx.Node] = list(module.graph.nodes)
        self.done = last_readers(module.graph)
        self.layers = [
            str(node.target)
            for node in self.nodes
            if node.op == "call_module"
            and isinstance(self.modules[str(node.target)], (QuantConv2d, QuantConvTranspose2d))
        ]
        # A pair that one convolution alone reads is switched off with it.
        self.own_pair: dict[fx.Node, fx.Node] = {}
        for node in self.nodes:
            if node.op == "call_module" and node.target in self.layers:
                source = node.args[0]
                if isinstance(source, fx.Node) and self._pair(source) and len(source.users) == 1:
                    self.own_pair[source] = node
        names = ["float", "int8"]
        names += [f"{kind} {layer}" for kind in ("alone", "restored") for layer in self.layers]
        self.counts = {name: ConfusionMatrix(spec.n_classes, spec.ignore_index) for name in names}
        self.changed = dict.fromkeys(self.layers, 0)
        self.pixels = 0

    def image(self, frame: torch.Tensor, truth: Any, progress: Callable[[int], None]) -> None:
        """Run every trial on one uint8 frame 1,H,W,3 with labels H,W."""
        batch = self.normalize(frame)
        size = (int(frame.shape[1]), int(frame.shape[2]))
        reference = self._labels(self._rest(0, {}, batch, quantizing=False), size)
        self.counts["float"].update(truth, reference)
        int8 = self._labels(self._rest(0, {}, batch, quantizing=True), size)
        self.counts["int8"].update(truth, int8)
        self.pixels += reference.size
        done = 0
        in_float: dict[fx.Node, Any] = {}
        in_int8: dict[fx.Node, Any] = {}
        for place, node in enumerate(self.nodes):
            conv = self.own_pair.get(node)
            is_layer = node.op == "call_module" and node.target in self.layers
            if conv is not None or (is_layer and node.args[0] not in self.own_pair):
                target = str((conv or node).target)
                values = dict(in_int8)
                start = place
                if conv is not None:
                    (source,) = node.all_input_nodes
                    values[node] = values[source]
                    start = place + 1
                logits = self._rest(start, values, batch, quantizing=True, but=target)
                self.counts[f"restored {target}"].update(truth, self._labels(logits, size))
                done += 1
                progress(done)
            if is_layer:
                target = str(node.target)
                values = dict(in_float)
                values[node] = self._quantized_alone(node, in_float)
                logits = self._rest(place + 1, values, batch, quantizing=False)
                labels = self._labels(logits, size)
                self.counts[f"alone {target}"].update(truth, labels)
                self.changed[target] += int((labels != reference).sum())
                done += 1
                progress(done)
            for values, quantizing in ((in_float, False), (in_int8, True)):
                switch(self.modules.get(str(node.target)), quantizing)
                values[node] = execute(node, values, self.modules, batch)
            for finished in self.done.get(node, ()):
                del in_float[finished], in_int8[finished]

    def result(self, images: int) -> Sensitivity:
        """Return the scores of what was counted."""
        miou = {name: counts.scores().miou for name, counts in self.counts.items()}
        trials = [
            LayerTrial(
                layer,
                miou["float"] - miou[f"alone {layer}"],
                miou[f"restored {layer}"] - miou["int8"],
                self.changed[layer] / max(self.pixels, 1),
            )
            for layer in self.layers
        ]
        trials.sort(key=lambda trial: (-trial.cost, -trial.alone_changed))
        return Sensitivity(miou["float"], miou["int8"], images, tuple(trials))

    def _rest(
        self,
        start: int,
        values: dict[fx.Node, Any],
        batch: torch.Tensor,
        *,
        quantizing: bool,
        but: str = "",
    ) -> torch.Tensor:
        """Run the network from node `start` on; `but` names a layer left in float."""
        set_quantizing(self.module, quantizing)
        if but:
            switch(self.modules[but], False)
        for node in self.nodes[start:]:
            values[node] = execute(node, values, self.modules, batch)
            for finished in self.done.get(node, ()):
                if node.op != "output":
                    del values[finished]
        return values[self.nodes[-1]]

    def _quantized_alone(self, node: fx.Node, in_float: dict[fx.Node, Any]) -> torch.Tensor:
        layer, source = self.modules[str(node.target)], node.args[0]
        assert isinstance(source, fx.Node)
        x = in_float[source]
        pair = source
        while not self._pair(pair) and len(pair.all_input_nodes) == 1:
            (pair,) = pair.all_input_nodes  # pooling and dropout stand between
        quantizer = self.modules.get(str(pair.target)) if pair.op == "call_module" else None
        if isinstance(quantizer, ActivationQuantizer):
            switch(quantizer, True)
            x = quantizer(x)
            switch(quantizer, False)
        switch(layer, True)
        output: torch.Tensor = layer(x)
        switch(layer, False)
        return output

    def _pair(self, node: fx.Node) -> bool:
        return node.op == "call_module" and isinstance(
            self.modules[str(node.target)], ActivationQuantizer
        )

    @staticmethod
    def _labels(logits: torch.Tensor, size_hw: tuple[int, int]) -> Any:
        return resize_logits(logits, size_hw).argmax(1)[0].to(torch.uint8).numpy()


def pick_float_layers(
    order: Sequence[str], miou_with: Callable[[tuple[str, ...]], float], wanted: float
) -> tuple[str, ...]:
    """Return few layers that, left in float, lift the mIoU to `wanted`.

    The shortest prefix of `order` that suffices, by doubling and halving; then every layer that
    turns out not to be needed is dropped again. No single layer of the result can be dropped;
    another, smaller set may exist.

    Args:
        order: layers, costliest first.
        miou_with: the mIoU of the network with these layers in float.
        wanted: the mIoU to reach.

    Raises:
        UsageError: all layers in float do not reach it.
    """
    if miou_with(()) >= wanted:
        return ()
    short, enough = 0, 1
    while enough < len(order) and miou_with(tuple(order[:enough])) < wanted:
        short, enough = enough, 2 * enough
    if enough >= len(order):
        enough = len(order)
        best = miou_with(tuple(order))
        if best < wanted:
            raise UsageError(
                f"with every layer in float the mIoU is {best:.4f}, expected {wanted:.4f}; "
                "give a larger --max-drop"
            )
    while enough - short > 1:
        middle = (short + enough) // 2
        if miou_with(tuple(order[:middle])) >= wanted:
            enough = middle
        else:
            short = middle
    chosen = list(order[:enough])
    for layer in reversed(order[: enough - 1]):
        rest = [name for name in chosen if name != layer]
        if miou_with(tuple(rest)) >= wanted:
            chosen = rest
    return tuple(chosen)
