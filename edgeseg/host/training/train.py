"""The one training loop: float training, fine-tuning and quantization-aware training."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.views import Fitted
from edgeseg.core.progress import Progress, ProgressCallback
from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import EdgesegError, UsageError
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeseg.host.models.pretrained import encoder_names
from edgeseg.host.training.augment import Crop
from edgeseg.host.training.crops import TrainSet, collate
from edgeseg.host.training.curves import EpochRow, write_curves
from edgeseg.host.training.distributed import ALONE, Ranks, synchronized_norms
from edgeseg.host.training.fast_depthwise import fast_depthwise_backward
from edgeseg.host.training.hooks import Hook, hooks_of
from edgeseg.host.training.loss.objective import Objective
from edgeseg.host.training.optim import (
    WeightAverage,
    build_optimizer,
    learning_rate,
    swapped_weights,
)
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.resume_state import load_state, made_with, save_state
from edgeseg.host.training.validate import count_module

BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.safetensors"


class TrainListener(Protocol):
    """What a caller may show while training goes on."""

    def on_step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Called after every optimizer step."""

    def on_epoch(self, row: EpochRow) -> None:
        """Called after every epoch, validation included."""


class ProgressListener:
    """Reports a training to a progress callback: every step, and a line for each validation."""

    def __init__(self, progress: ProgressCallback, stage: str, epochs: int) -> None:
        """Report to `progress` under the name `stage`; `epochs` is the total."""
        self._progress, self._stage, self._epochs = progress, stage, epochs
        self._miou = ""

    def on_step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Report one step."""
        done, total = epoch * steps + step + 1, self._epochs * steps
        self._progress(Progress(self._stage, done, total, f"loss {loss:.3f}{self._miou}"))

    def on_epoch(self, row: EpochRow) -> None:
        """Report the validation, if there was one."""
        if not row.scores:
            return
        # Negative where no pixel of the validation has a label.
        self._miou = f"  mIoU {row.miou:.3f}" if row.miou >= 0 else "  mIoU -"
        line = f"epoch {row.epoch}/{self._epochs}  loss {row.loss:.3f}{self._miou}"
        self._progress(Progress(message=line, detail=True))


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run ended with.

    Attributes:
        best: the checkpoint with the best validation mIoU (the last one where none was run).
        last: the checkpoint of the last epoch.
        rows: one row an epoch.
        module: the network with the last weights, in eval mode.
    """

    best: Checkpoint
    last: Checkpoint
    rows: Sequence[EpochRow]
    module: nn.Module


def train(
    spec: ModelSpec,
    module: nn.Module,
    data: Dataset,
    options: TrainOptions,
    run_dir: Path,
    *,
    kind: str = "train",
    steps_before: Sequence[StepDone] = (),
    extra: Sequence[tuple[Dataset, float]] = (),
    validation: Dataset | None = None,
    teacher: nn.Module | None = None,
    learnt_from: Mapping[str, Sequence[str]] | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    ranks: Ranks = ALONE,
    hooks: Sequence[Hook] | None = None,
    listener: TrainListener | None = None,
) -> TrainResult:
    """Train `module` and leave checkpoints, curves and the resumable state in `run_dir`.

    Args:
        spec: describes the module; goes into the checkpoints.
        module: from normalized N,3,h,w to logits N,K,h',w'; changed in place.
        data: the main training set, one pass an epoch.
        options: how to train.
        run_dir: gets best.safetensors, last.safetensors, state.safetensors, curves.csv and
            curves.svg.
        kind: the step's name in the checkpoint: "train", "finetune" or "qat".
        steps_before: what was done to the module already.
        extra: further datasets with the number of crops as a share of the main one's.
        validation: scored at full size every `validate_every` epochs.
        teacher: a frozen network with the same input and classes whose logits, and features
            where its convolutions have the module's names, are distilled.
        learnt_from: SHA-256 of files by what they were (teachers, encoder_weights), kept in the
            checkpoint's step.
        resume: continue from run_dir's state if there is one; the result is that of an
            uninterrupted run.
        stop_after: end after this epoch as if killed there (for tests and time limits).
        ranks: this process among those that train together: each takes its share of every batch
            and of the validation, and the result is that of one process up to rounding.
        hooks: called at the points that Hook names; by default those that `steps_before` ask for,
            such as the zeros of 2:4 sparsity, which a list given here replaces.
        listener: told of every step and epoch.

    Raises:
        DataError: the data cannot be trained on.
        EdgesegError: the loss became infinite or not a number.
    """
    step = StepDone(kind, options.to_json(), dict(learnt_from or {}))
    run = _Run(spec, module, data, options, run_dir, step)
    run.steps_before, run.extra, run.teacher = tuple(steps_before), list(extra), teacher
    run.ranks = ranks
    run.hooks = hooks_of(steps_before) if hooks is None else list(hooks)
    run.prepare()
    if resume:
        run.resume()
    on_cpu = torch.device(options.device).type == "cpu"
    with (
        fast_depthwise_backward(module) if on_cpu else contextlib.nullcontext(),
        synchronized_norms(module, ranks),
    ):
        for epoch in range(len(run.rows), min(options.epochs, stop_after or options.epochs)):
            run.epoch(epoch, validation, listener)
    run.objective.close()
    last = load_checkpoint(run_dir / LAST)
    best = load_checkpoint(run_dir / BEST) if (run_dir / BEST).is_file() else last
    module.load_state_dict(dict(last.weights))
    return TrainResult(best, last, run.rows, module.eval())


class _Run:
    """The state of one training run; train() is its only user."""

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        data: Dataset,
        options: TrainOptions,
        run_dir: Path,
        step_done: StepDone,
    ) -> None:
        self.spec, self.module, self.data, self.options = spec, module, data, options
        self.run_dir, self.step_done = run_dir, step_done
        self.steps_before: tuple[StepDone, ...] = ()
        self.extra: list[tuple[Dataset, float]] = []
        self.teacher: nn.Module | None = None
        self.hooks: list[Hook] = []
        self.rows: list[EpochRow] = []
        self.ranks = ALONE
        self.device = torch.device(options.device)

    def prepare(self) -> None:
        options = self.options
        if options.batch < self.ranks.count:
            raise UsageError(
                f"batch {options.batch} leaves some of the {self.ranks.count} processes without a "
                "crop; batch is the total over all of them"
            )
        pools = any(isinstance(part, nn.AdaptiveAvgPool2d) for part in self.module.modules())
        norms = any(isinstance(part, nn.BatchNorm2d) for part in self.module.modules())
        if options.batch == 1 and pools and norms:
            raise UsageError(
                "batch 1 gives the batch norm of the pooled branch one value to normalize; give 2 "
                "or more"
            )
        self.made = made_with(
            self.spec, self.options, self.step_done, self.steps_before, self.data, self.extra
        )
        self.run_dir.mkdir(parents=True, exist_ok=True)
        seen = Fitted(self.data, self.spec)
        self.trainset = TrainSet(
            seen,
            options.augment,
            seed=options.seed,
            batch=options.batch,
            extra=[(Fitted(other, self.spec), share) for other, share in self.extra],
        )
        self.module.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.callable = self.ranks.wrap(self.module)
        # An architecture without a known encoder is refused only where it would matter.
        own_rate = options.encoder_lr != 1
        self.optimizer = build_optimizer(
            self.module,
            options.optimizer,
            lr=options.lr,
            weight_decay=options.weight_decay,
            encoder=encoder_names(self.module, batch_norm=True) if own_rate else (),
            encoder_lr=options.encoder_lr,
        )
        self.average = WeightAverage(self.module, options.ema) if options.ema else None
        for hook in self.hooks:
            hook.start(self.module, options)
        self.objective = Objective(options, seen, self.module, self.teacher, self.ranks)

    def resume(self) -> None:
        path = self.run_dir / STATE
        if path.is_file():
            self.rows = load_state(path, self.module, self.optimizer, self.average, self.made)

    def epoch(self, epoch: int, validation: Dataset | None, listener: TrainListener | None) -> None:
        started = time.perf_counter()
        # Rank 0 draws what a single process would; dropout differs between ranks.
        torch.manual_seed(self.options.seed * 100_003 + epoch + 7_919 * self.ranks.rank)
        self.module.train()
        for hook in self.hooks:
            hook.before_epoch(epoch)
        steps = self.trainset.steps_per_epoch()
        losses = []
        for index, crops in enumerate(
            self.trainset.epoch(epoch, rank=self.ranks.rank, ranks=self.ranks.count)
        ):
            rate = self._set_learning_rate(epoch * steps + index, steps)
            losses.append(self._step(crops))
            if not math.isfinite(losses[-1]):
                raise EdgesegError(
                    f"the loss became {losses[-1]} in epoch {epoch + 1}; lower lr "
                    f"(now {self.options.lr:g}) or switch bf16 off"
                )
            if listener:
                listener.on_step(epoch, index, steps, losses[-1])
        for hook in self.hooks:
            hook.after_epoch()
        state = self.average.state if self.average else self.module.state_dict()
        scores = None
        due = (epoch + 1) % self.options.validate_every == 0 or epoch + 1 == self.options.epochs
        if validation is not None and due:
            with swapped_weights(self.module, state):
                counts = count_module(
                    self.spec,
                    self.module,
                    validation,
                    range(self.ranks.rank, len(validation), self.ranks.count),
                    bf16=self.options.bf16
                    and not any(hook.float32_validation for hook in self.hooks),
                )
            scores = self.ranks.add_counts(counts, self.device).scores().to_json()
        seconds = time.perf_counter() - started
        self.rows.append(EpochRow(epoch + 1, sum(losses) / len(losses), rate, seconds, scores))
        if self.ranks.first:
            self._save(state)
        self.ranks.wait()
        if listener:
            listener.on_epoch(self.rows[-1])

    def _set_learning_rate(self, step: int, steps_per_epoch: int) -> float:
        options = self.options
        rate = learning_rate(
            options.schedule,
            options.lr,
            step=step,
            steps=steps_per_epoch * options.epochs,
            warmup=round(steps_per_epoch * options.warmup_epochs),
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]
        return rate

    def _step(self, crops: Sequence[Crop]) -> float:
        rule = self.spec.preprocess
        images, labels = collate(crops, normalize=rule.normalize, mean=rule.mean, std=rule.std)
        images = images.to(self.device, memory_format=torch.channels_last)
        loss = self.objective.loss(self.callable, images, labels.to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for hook in self.hooks:
            hook.after_backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), self.options.clip_grad)
        self.optimizer.step()
        for hook in self.hooks:
            hook.after_step()
        if self.average:
            self.average.update(self.module)
        # Every rank's loss is its part of the batch's, times the number of ranks.
        return float(self.ranks.total(loss.detach()) / self.ranks.count)

    def _save(self, state: Mapping[str, torch.Tensor]) -> None:
        row = self.rows[-1]
        checkpoint = Checkpoint(
            self.spec,
            (*self.steps_before, self.step_done),
            {key: value.detach().cpu().clone() for key, value in state.items()},
            {
                "data": self.data.name,
                "images": len(self.data),
                "extra": [[other.name, share] for other, share in self.extra],
                "torch": torch.__version__,
            },
            {"validation": row.scores} if row.scores else {},
        )
        best_before = max((r.miou for r in self.rows[:-1]), default=-1.0)
        if row.scores and row.miou > best_before:
            save_checkpoint(self.run_dir / BEST, checkpoint)
        save_checkpoint(self.run_dir / LAST, checkpoint)
        save_state(
            self.run_dir / STATE,
            self.module,
            self.optimizer,
            self.average,
            self.rows,
            self.made,
        )
        write_curves(self.run_dir, self.rows)
