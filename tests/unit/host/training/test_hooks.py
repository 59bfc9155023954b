"""Hooks: when the trainer calls them, and who asks for them."""

import ast
from pathlib import Path

import numpy as np
import torch
from torch import nn

import edgeseg.host.training
from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.host.models import build_model
from edgeseg.host.pruning.sparsity import KeepZeros
from edgeseg.host.quantization.qat_schedule import QatSchedule
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.hooks import Hook, hooks_of
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.train import train

SPEC = ModelSpec(
    "segnet-basic",
    class_names=("dark", "bright"),
    palette=((0, 0, 0), (255, 255, 255)),
    ignore_index=2,
    size_hw=(32, 32),
    options={"channels": 4, "kernel": 3},
)
OPTIONS = TrainOptions(
    epochs=2, batch=2, bf16=False, ema=0.0, warmup_epochs=0,
    augment=Augment(crop_hw=(32, 32), photometry="none"),
)  # fmt: skip


class Halves:
    """Dark left, bright right."""

    class_names, palette, ignore_index = SPEC.class_names, SPEC.palette, 2
    name, names = "halves", ["0", "1", "2", "3"]
    fingerprint = digest_of_samples

    def __len__(self):
        return 4

    def __getitem__(self, index):
        labels = np.zeros((32, 32), np.uint8)
        labels[:, 16:] = 1
        return Sample(str(index), np.repeat(labels[..., None] * 200, 3, 2), labels)


class Watch(Hook):
    """Notes every call, and holds one weight at 7."""

    def __init__(self):
        self.calls = []

    def start(self, module: nn.Module, options: TrainOptions) -> None:
        self.weight = module.classifier.weight
        self.calls.append(("start", options.epochs))

    def before_epoch(self, epoch: int) -> None:
        self.calls.append(("before", epoch))

    def after_backward(self) -> None:
        self.calls.append(("backward", self.weight.grad is not None))

    def after_step(self) -> None:
        self.calls.append(("step",))
        with torch.no_grad():
            self.weight.flatten()[0].fill_(7.0)

    def after_epoch(self) -> None:
        self.calls.append(("after",))


def test_a_hook_is_called_at_every_point_and_what_it_writes_stays(tmp_path):

    watch = Watch()
    torch.manual_seed(0)
    result = train(SPEC, build_model(SPEC), Halves(), OPTIONS, tmp_path, hooks=[watch])
    step = [("backward", True), ("step",)]
    assert watch.calls == [
        ("start", 2),
        *(("before", 0), *step, *step, ("after",)),
        *(("before", 1), *step, *step, ("after",)),
    ]
    assert float(result.last.weights["classifier.weight"].flatten()[0]) == 7.0


def test_steps_done_ask_for_their_hooks_in_order():
    steps = [StepDone("train"), StepDone("prune"), StepDone("quantize"), StepDone("qat")]
    assert [type(hook) for hook in hooks_of(steps)] == [KeepZeros, QatSchedule]


def test_the_trainer_knows_nothing_of_pruning_and_quantization():
    folder = Path(edgeseg.host.training.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith(
                    ("edgeseg.host.pruning", "edgeseg.host.quantization")
                ), path.name
