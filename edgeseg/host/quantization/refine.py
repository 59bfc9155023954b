"""Post-training refinement of a calibrated network: AdaRound and bias correction, layer by layer.

Both need, at each convolution, its inputs in INT8 and its output in float; one walk serves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from edgeseg.host.quantization.adaround import adaround
from edgeseg.host.quantization.bias_correction import correct_bias
from edgeseg.host.quantization.fake_quant.layers import QuantConv2d
from edgeseg.host.quantization.paired_run import walk

RELU_FUNCTIONS = (nn.functional.relu, torch.relu)


def refine(
    module: fx.GraphModule,
    batches: Sequence[torch.Tensor],
    *,
    bias_correct: bool,
    adaround_iterations: int,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Adjust weights and biases of a calibrated fake-quantized network, in place.

    Args:
        module: what `quantize` made, scales fixed.
        batches: normalized inputs N,3,H,W; all their feature maps of a layer are held at once.
        bias_correct: whether to correct biases.
        adaround_iterations: optimizer steps a layer; 0 rounds to nearest.
        seed: of AdaRound's windows.
        progress: told the number of convolutions done, and of all.

    Returns:
        By layer: "adaround" [error rounded to nearest, error as chosen] and "bias_shift".
    """
    generator = torch.Generator().manual_seed(seed)
    layers = dict(module.named_modules())
    total = sum(
        isinstance(layers.get(str(node.target)), (nn.Conv2d, nn.ConvTranspose2d))
        for node in module.graph.nodes
        if node.op == "call_module"
    )
    report: dict[str, Any] = {}

    def visit(
        node: fx.Node, layer: nn.Module, reads: list[torch.Tensor], wanted: list[torch.Tensor]
    ) -> None:
        row: dict[str, Any] = {}
        plain = isinstance(layer, QuantConv2d) and layer.padding_mode == "zeros"
        if adaround_iterations and plain and not isinstance(layer.padding, str):
            assert isinstance(layer, QuantConv2d)
            gain = adaround(
                layer,
                reads,
                wanted,
                relu=_feeds_relu(node, layers),
                iterations=adaround_iterations,
                generator=generator,
            )
            row["adaround"] = [gain.nearest, gain.chosen]
        if bias_correct:
            assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
            row["bias_shift"] = correct_bias(layer, reads, wanted)
        report[str(node.target)] = row
        progress(len(report), total)

    walk(module, batches, visit)
    return report


def _feeds_relu(node: fx.Node, layers: dict[str, nn.Module]) -> bool:
    if len(node.users) != 1:
        return False
    (reader,) = node.users
    if reader.op == "call_module":
        return isinstance(layers[str(reader.target)], nn.ReLU)
    return reader.target in RELU_FUNCTIONS or reader.target == "relu"
