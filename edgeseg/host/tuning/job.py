"""Builds, times and scores one candidate for `edgeseg tune`."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import onnx
from torch import nn

from edgeseg.core.bundle import Bundle, read_bundle, write_bundle
from edgeseg.core.data.dataset import Dataset
from edgeseg.core.files import atomic_write_text
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.recipe import StepDone
from edgeseg.core.run_key import data_fact, is_same, run_key
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, module_from_checkpoint
from edgeseg.host.cost import count_cost
from edgeseg.host.export.export import OPSET, deployed, export_onnx
from edgeseg.host.export.golden import golden_pair
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.prune import prune
from edgeseg.host.pruning.rounds import PrunePlan, prune_in_rounds
from edgeseg.host.quantization.calibrate import calibration_frames, quantize_step
from edgeseg.host.quantization.options import QuantizeOptions
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.train import BEST
from edgeseg.host.training.validate import score_module
from edgeseg.host.tuning.search import Candidate
from edgeseg.host.tuning.study import digest_of
from edgeseg.lint.boards import find_board
from edgeseg.lint.roofline import model_roofline
from edgeseg.runtime.backends import open_backend

# Pairs of timed frames; each runs the reference, then the candidate.
ROUNDS, WARM_UP = 15, 3


class Timer(Protocol):
    """Times a candidate somewhere else than here: runtime/remote/timing.py."""

    @property
    def place(self) -> str:
        """Whose times these are."""
        ...

    @property
    def backend(self) -> str:
        """The runtime there."""
        ...

    def __call__(self, reference: Bundle, candidate: Bundle) -> tuple[float, float]:
        """Return the reference's median milliseconds and the candidate's time over it."""
        ...


@dataclasses.dataclass(frozen=True)
class TuneJob:
    """One search.

    Attributes:
        start: the float checkpoint.
        training: trains candidates.
        validation: scores them.
        calibration: calibrates them, as `export --calibrate` opens the same data: of a drawn data
            set with its first seed, so that the recipe gives the same ranges.
        folder: of the run.
        unit: "ms" (measured), "floor ms" (a board's roofline) or "MACs".
        precision: of the timed and scored candidate: "fp32" or "int8".
        backend: what times a candidate.
        threads: of one inference; 0 is the runtime's choice.
        board: whose roofline is the cost, "" for none.
        round_to: widths become multiples of this.
        max_ratio: no unit loses more.
        images: training images that repair a candidate and calibrate it.
        train: the short training of a candidate.
        progress: gets messages.
        timer: times a candidate on another machine; None times it here.
    """

    start: Checkpoint
    training: Dataset
    validation: Dataset
    calibration: Dataset
    folder: Path
    unit: str
    precision: str
    backend: str
    threads: int
    board: str
    round_to: int
    max_ratio: float
    images: int
    train: TrainOptions
    progress: ProgressCallback = silent
    timer: Timer | None = None

    @functools.cached_property
    def training_fact(self) -> dict[str, Any]:
        """What a run key keeps of the training images, hashed once for all trials."""
        return data_fact(self.training)

    def prune_options(self, ratios: Mapping[str, float], *, repair: bool) -> PruneOptions:
        """Return the prune step that gives these unit ratios; a cost needs no repair."""
        return PruneOptions(
            layer_ratios=dict(ratios),
            round_to=self.round_to,
            max_ratio=self.max_ratio,
            repair=repair,
        )

    def cost(self, ratios: Mapping[str, float], keep_float: tuple[str, ...]) -> float:
        """Return what the network costs pruned like this, before any training."""
        module = module_from_checkpoint(self.start)
        size_hw = self.start.spec.size_hw
        if ratios:
            module, _ = prune(module, size_hw, self.prune_options(ratios, repair=False))
        if self.unit == "MACs":
            return float(count_cost(module, size_hw).macs)
        bundle = self._bundle(module, keep_float, "candidate")
        if self.board:
            floors = model_roofline(
                onnx.load(bundle.onnx_path),
                find_board(self.board),
                fp16=self.precision != "fp32",
            )
            return floors.floor_ms
        return self._against_reference(bundle)

    def _against_reference(self, bundle: Bundle) -> float:
        """Time a candidate and the dense network in turns: that cancels clock and load changes.

        The reference's own milliseconds are measured once and kept with the run, for as long as
        the same network runs in the same way.
        """
        place = self.folder / "timed" / "reference"
        kept = place.with_suffix(".json")
        about = run_key(
            start=digest_of(self.start),
            precision=self.precision,
            backend=self.backend,
            threads=self.threads,
            place=self.timer.place if self.timer else "",
        )
        held = json.loads(kept.read_text()) if kept.is_file() else {}
        known = place.is_dir() and is_same(held, about)
        if not known:
            self._bundle(module_from_checkpoint(self.start), (), "reference")
        reference_bundle = read_bundle(place)
        timed = self.timer or self._timed_here
        reference_ms, ratio = timed(reference_bundle, bundle)
        if not known:
            held = {"ms": reference_ms, **about}
            atomic_write_text(kept, json.dumps(held) + "\n")
        return float(held["ms"]) * ratio

    def _timed_here(self, reference_bundle: Bundle, bundle: Bundle) -> tuple[float, float]:
        options = {"threads": self.threads} if self.threads else {}
        frame = reference_bundle.golden().frame
        with (
            open_backend(self.backend, reference_bundle, **options) as reference,
            open_backend(self.backend, bundle, **options) as candidate,
        ):
            times: tuple[list[float], list[float]] = ([], [])
            for number in range(ROUNDS + WARM_UP):
                for backend, into in zip((reference, candidate), times, strict=True):
                    started = time.perf_counter()
                    backend.infer(frame)
                    if number >= WARM_UP:
                        into.append((time.perf_counter() - started) * 1e3)
        ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
        return statistics.median(times[0]), ratio

    def quantized(
        self, module: nn.Module, keep_float: tuple[str, ...]
    ) -> tuple[nn.Module, StepDone]:
        """Return the calibrated network and its step."""
        frames = calibration_frames(self.start.spec, self.calibration, self.images)
        choice = QuantizeOptions(keep_float=keep_float)
        network, step = quantize_step(module, self.start.spec, choice, frames)
        # What a recipe needs beside the choice to calibrate the same ranges again.
        options = {**step.options, "images": self.images}
        return network, dataclasses.replace(step, options=options)

    def _bundle(self, module: nn.Module, keep_float: tuple[str, ...], name: str) -> Bundle:
        """Write a bundle to time; its labels mean nothing, so none are compared."""
        spec = self.start.spec
        if self.precision == "int8":
            module, _ = self.quantized(module, keep_float)
        data = export_onnx(spec, module, self.precision)
        golden = golden_pair(spec, deployed(spec, module, self.precision))
        return write_bundle(
            self.folder / "timed" / name, data, golden,
            name=name, spec=spec, precision=self.precision, opset=OPSET,
        )  # fmt: skip

    def plan(self, candidate: Candidate) -> PrunePlan:
        """Return what makes a candidate."""
        options = self.prune_options(candidate.ratios, repair=True)
        return PrunePlan(
            options, images=self.images, train=self.train, distill=self.train.distill > 0
        )

    def made(self, number: int, candidate: Candidate) -> Checkpoint:
        """Return a trial's trained float checkpoint, made again where it is not in the folder.

        Trials have numbers, and another study in the same folder counts from 0 again: what was
        made otherwise is no trial of this one, and neither finished nor half of it is gone on with.
        """
        place = self.folder / "trials" / str(number)
        wanted, done = self._made_of(candidate), place / "done"
        if done.is_file() and is_same(json.loads(done.read_text()), wanted):
            return load_checkpoint(place / BEST)
        if place.is_dir():
            tell(self.progress, f"{place} is not known to hold this trial; making it anew")
            shutil.rmtree(place)
        result = prune_in_rounds(
            self.start, self.plan(candidate), place, self.training, validation=self.validation
        )
        atomic_write_text(done, json.dumps(wanted) + "\n")
        return result.checkpoint

    def _made_of(self, candidate: Candidate) -> dict[str, Any]:
        """Return all that decides a trial's float weights."""
        return run_key(
            start=digest_of(self.start),
            candidate=candidate,
            plan=self.plan(candidate),
            data=self.training_fact,
        )

    def final(self, number: int, candidate: Candidate) -> tuple[Checkpoint, float]:
        """Return a trial's checkpoint, quantized where asked, and its validation mIoU."""
        checkpoint = self.made(number, candidate)
        module = module_from_checkpoint(checkpoint)
        if self.precision == "int8":
            module, step = self.quantized(module, candidate.keep_float)
            checkpoint = dataclasses.replace(
                checkpoint, steps=(*checkpoint.steps, step), weights=module.state_dict()
            )
        scores = score_module(checkpoint.spec, module, self.validation).to_json()
        checkpoint = dataclasses.replace(checkpoint, scores={"validation": scores})
        return checkpoint, float(scores["miou"])

    def reference_miou(self) -> float:
        """Return the validation mIoU of the network as it is, in float."""
        module = module_from_checkpoint(self.start)
        return float(score_module(self.start.spec, module, self.validation).to_json()["miou"])
