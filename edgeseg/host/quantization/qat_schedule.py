"""The schedule of a quantization-aware training: what rounds and which ranges move, by epoch."""

from __future__ import annotations

from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.host.quantization.fake_quant.layers import ActivationQuantizer
from edgeseg.host.quantization.quantize import quantizers_of, set_observing, set_quantizing
from edgeseg.host.training.hooks import Hook
from edgeseg.host.training.options import TrainOptions


class QatSchedule(Hook):
    """Begins and ends the epochs of a fake-quantized network."""

    # A quantized network is judged by the arithmetic it is exported with.
    float32_validation = True

    def __init__(self, step: StepDone) -> None:
        """Take the quantize step; nothing of it is needed, the network says it all."""

    def start(self, module: nn.Module, options: TrainOptions) -> None:
        """Keep the network and the two shares of the options."""
        self._module, self._options = module, options

    def before_epoch(self, epoch: int) -> None:
        """Set the network up for its steps."""
        begin_epoch(
            self._module,
            epoch,
            self._options.epochs,
            weights_first=self._options.weights_first,
            follow_ranges=self._options.follow_ranges,
        )

    def after_epoch(self) -> None:
        """Set the network up as it will be deployed."""
        end_epoch(self._module)


def begin_epoch(
    module: nn.Module, epoch: int, epochs: int, *, weights_first: float, follow_ranges: float
) -> None:
    """Set a fake-quantized network up for the steps of one epoch; the same on a resumed run.

    Args:
        module: what `quantize` or `replay` made.
        epoch: counted from 0.
        epochs: of the whole run.
        weights_first: share of the epochs that train with float activations: the weights settle on
            their grid before activations are rounded (Zhuang et al. 2018, arXiv 1711.00205, 3.2).
        follow_ranges: share of the epochs in which calibrated ranges follow the batches by a
            moving average; frozen from then on (Jacob et al. 2018, arXiv 1712.05877, section 3.1).
    """
    set_quantizing(module, True)
    if epoch < round(weights_first * epochs):
        for quantizer in quantizers_of(module).values():
            quantizer.quantizing = False
    follow = epoch < round(follow_ranges * epochs)
    for layer in module.modules():
        if isinstance(layer, ActivationQuantizer):
            # Each epoch's average starts from the saved range, so that resuming changes nothing.
            layer.observer = None
    set_observing(module, follow)


def end_epoch(module: nn.Module) -> None:
    """Set the network up as it will be deployed: all of it quantized, no range moves."""
    set_observing(module, False)
    set_quantizing(module, True)
