"""Runs the stages of the demo."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import megabytes, progress_bar, ratio, shown
from edgeseg.core.bundle import Bundle
from edgeseg.core.data.open import open_dataset
from edgeseg.core.report import Report
from edgeseg.core.spec import ModelSpec
from edgeseg.core.zoo import DEFAULT, find_bundle
from edgeseg.errors import EdgesegError, UsageError

if TYPE_CHECKING:
    from edgeseg.host.training.train import TrainResult

COLUMNS = ("run", "runs in", "mIoU", "G", "infer p50", "p99", "FPS", "peak memory", "bundle")
# A street that neither training nor validation shows.
STREAM_SEED = 2_000_000
CALIBRATION_IMAGES = 32
# The same in both trainings: dropped in the second, rare classes would fade there.
CLASS_WEIGHTS = 0.3
STREAM_TIMEOUT_S = 300
# The command line in a process of its own, which imports from where this one does; -I keeps the
# working directory out of that.
CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from edgeseg.cli import main; main()"
)
# What the demo shows before it trains, and on how many frames at most.
SHIPPED = (DEFAULT, f"{DEFAULT}-slim")
SHIPPED_FRAMES = 40
SHIPPED_VIDEO = "shipped.mp4"
# What a training leaves in its folder.
TRAINED = ("best.safetensors", "last.safetensors", "state.safetensors", "curves.csv", "curves.svg")


@dataclasses.dataclass(frozen=True)
class DemoPlan:
    """What the demo does; small enough for minutes on two cores.

    Attributes:
        epochs: of float training.
        images: training frames.
        frames: frames to stream.
        seed: of the streets, the weights and the crops.
        size_hw: input of the network.
        crop_hw: training crops.
        qat_epochs: of training with INT8 rounding.
    """

    epochs: int
    images: int
    frames: int
    seed: int
    size_hw: tuple[int, int] = (180, 240)
    crop_hw: tuple[int, int] = (144, 192)
    qat_epochs: int = 1

    @property
    def spec(self) -> ModelSpec:
        """A DeepLabv3+ with a narrow head: the backbone is most of its cost."""
        return ModelSpec(
            "deeplabv3plus-mobilenetv2",
            size_hw=self.size_hw,
            options={
                "aspp_channels": 64,
                "decoder_channels": 64,
                "low_channels": 24,
                "atrous_rates": [2, 4, 6],
            },
        )


@dataclasses.dataclass(frozen=True)
class DemoRun:
    """One streamed bundle on one runtime."""

    name: str
    backend: str
    bundle: Bundle
    report: Report

    def cells(self) -> tuple[str | None, ...]:
        """Return the row of COLUMNS."""
        report, infer = self.report, self.report.latency_ms["infer"]
        accuracy, memory = report.accuracy, report.memory
        return (
            self.name,
            str(report.backend["precision"]),
            ratio(accuracy.miou if accuracy else None),
            ratio(accuracy.global_accuracy if accuracy else None),
            f"{infer.p50:.2f} ms",
            f"{infer.p99:.2f} ms",
            f"{report.fps:.0f}" if report.fps else None,
            megabytes(memory.peak_bytes) if memory else None,
            megabytes(self.bundle.size_bytes),
        )


def train_float(plan: DemoPlan, out: Path) -> TrainResult:
    """Train the small network on painted frames."""
    import torch

    from edgeseg.host.models import build_model
    from edgeseg.host.training.augment import Augment
    from edgeseg.host.training.options import TrainOptions
    from edgeseg.host.training.train import ProgressListener, train

    options = TrainOptions(
        epochs=plan.epochs,
        lr=4e-3,
        warmup_epochs=min(1.0, plan.epochs / 10),
        ema=0.98,
        class_weight_exponent=CLASS_WEIGHTS,
        augment=Augment(crop_hw=plan.crop_hw, scale=(0.8, 1.5), photometry="mild", blackout=0.0),
        validate_every=max(1, plan.epochs // 5),
        seed=plan.seed,
    )
    torch.manual_seed(plan.seed)
    with shown() as progress:
        return train(
            plan.spec,
            build_model(plan.spec),
            open_dataset(f"synthetic:{plan.images}", "train", size_hw=plan.size_hw, seed=plan.seed),
            options,
            _fresh(out / "train"),
            validation=open_dataset("synthetic:30", "val", size_hw=plan.size_hw, seed=plan.seed),
            listener=ProgressListener(progress, "train", plan.epochs),
        )


def train_int8(plan: DemoPlan, trained: TrainResult, out: Path) -> TrainResult:
    """Calibrate the best float weights and train them on with INT8 rounding."""
    from edgeseg.host.checkpoint import module_from_checkpoint
    from edgeseg.host.quantization.calibrate import calibration_frames, quantize_step
    from edgeseg.host.quantization.options import QuantizeOptions
    from edgeseg.host.training.augment import Augment
    from edgeseg.host.training.options import TrainOptions
    from edgeseg.host.training.train import ProgressListener, train

    spec = plan.spec
    data = open_dataset(f"synthetic:{plan.images}", "train", size_hw=plan.size_hw, seed=plan.seed)
    teacher = module_from_checkpoint(trained.best)
    with shown() as progress:
        module, step = quantize_step(
            teacher,
            spec,
            QuantizeOptions(observer="mse"),
            calibration_frames(spec, data, CALIBRATION_IMAGES),
            count=CALIBRATION_IMAGES,
            progress=progress,
        )
    options = TrainOptions(
        epochs=plan.qat_epochs,
        # Calibration alone is 0.001 to 0.002 mIoU below float here; a rate of 2e-4 loses more.
        lr=2e-5,
        warmup_epochs=0,
        ema=0.9,
        class_weight_exponent=CLASS_WEIGHTS,
        augment=Augment(crop_hw=plan.crop_hw, scale=(0.9, 1.2), photometry="mild", blackout=0.0),
        validate_every=1,
        bf16=False,
        seed=plan.seed,
    )
    with shown() as progress:
        return train(
            spec,
            module,
            data,
            options,
            _fresh(out / "qat"),
            kind="qat",
            steps_before=(*trained.best.steps, step),
            validation=open_dataset("synthetic:30", "val", size_hw=plan.size_hw, seed=plan.seed),
            teacher=teacher,
            listener=ProgressListener(progress, "qat", plan.qat_epochs),
        )


def export_both(trained: TrainResult, quantized: TrainResult, out: Path) -> dict[str, Bundle]:
    """Export the float network as FP32 and the quantized one as INT8."""
    from edgeseg.host.export.export import bundle_from_checkpoint

    return {
        "fp32": bundle_from_checkpoint(trained.best, "fp32", out / "fp32"),
        "int8": bundle_from_checkpoint(quantized.best, "int8", out / "int8"),
    }


def stream_all(
    plan: DemoPlan, bundles: Mapping[str, Bundle], backends: Sequence[str], out: Path
) -> list[DemoRun]:
    """Stream every bundle on every runtime, each in a process of its own.

    One process would report one peak of memory for all, with torch's in it.

    Raises:
        EdgesegError: a run failed; its own message is repeated.
    """
    runs = []
    source = stream_source(plan, plan.frames)
    jobs = [(backend, name) for backend in backends for name in bundles]
    with progress_bar("stream", len(jobs)) as bar:
        for number, (backend, name) in enumerate(jobs):
            report = _stream(bundles[name], backend, (source,), out / f"{backend}-{name}.json")
            runs.append(DemoRun(f"{backend} {name}", backend, bundles[name], report))
            bar.update(number + 1, len(jobs))
    return runs


def stream_shipped(plan: DemoPlan, backend: str, out: Path) -> list[DemoRun]:
    """Stream the shipped networks over a painted street; the first writes `shipped.mp4`.

    Raises:
        EdgesegError: a run failed; its own message is repeated.
    """
    runs = []
    out.mkdir(parents=True, exist_ok=True)
    source = stream_source(plan, min(plan.frames, SHIPPED_FRAMES))
    with progress_bar("stream", len(SHIPPED)) as bar:
        for number, name in enumerate(SHIPPED):
            bundle = find_bundle(name)
            sinks = (str(out / SHIPPED_VIDEO),) if number == 0 else ()
            report = _stream(bundle, backend, (source, *sinks), out / f"shipped-{number}.json")
            runs.append(DemoRun(name, backend, bundle, report))
            bar.update(number + 1, len(SHIPPED))
    return runs


def stream_source(plan: DemoPlan, frames: int) -> str:
    """Return the address of the street that the demo streams."""
    return f"synthetic://?frames={frames}&seed={STREAM_SEED + plan.seed}"


def _stream(bundle: Bundle, backend: str, ends: Sequence[str], path: Path) -> Report:
    """Run `edgeseg stream` over a source and sinks, in a process of its own; keep its JSON."""
    command = [sys.executable, "-I", "-c", CHILD, json.dumps(sys.path), "stream", str(bundle.path)]
    command += [*ends, "--backend", backend, "--json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=STREAM_TIMEOUT_S,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise EdgesegError(f"streaming {bundle.name} on {backend} failed: {lines[-1]}")
    path.write_text(done.stdout)
    return Report.from_json(json.loads(done.stdout))


def check_out(out: Path) -> None:
    """Refuse a folder if train/ or qat/ in it hold files that the demo does not write.

    Raises:
        UsageError: it names the first such file.
    """
    for folder in (out / "train", out / "qat"):
        held = folder.iterdir() if folder.is_dir() else ()
        foreign = sorted(path.name for path in held if path.name not in TRAINED)
        if foreign:
            raise UsageError(
                f"{folder} holds {foreign[0]}, which the demo does not write; give another -o"
            )


def _fresh(folder: Path) -> Path:
    for name in TRAINED:
        (folder / name).unlink(missing_ok=True)
    return folder
