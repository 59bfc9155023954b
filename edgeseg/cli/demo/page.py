"""The demo's page: pictures, table, latency bars and the training curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import edgeseg
from edgeseg.cli.demo.run import COLUMNS, SHIPPED_VIDEO, STREAM_SEED, DemoPlan, DemoRun
from edgeseg.cli.pages.html import markup, picture, write_page
from edgeseg.core.bundle import Bundle
from edgeseg.core.charts import bar_chart, line_chart

if TYPE_CHECKING:
    from edgeseg.host.training.train import TrainResult

# Where in the streamed drive the pictures are taken, 0-1.
MOMENTS = (0.1, 0.5, 0.9)


def write_shipped_page(path: Path, plan: DemoPlan, shipped: Sequence[DemoRun]) -> None:
    """Write the page of the first part alone, which the whole one replaces later."""
    write_page(path, "demo.html", **_shipped(plan, shipped), rows=(), machine=_machine(shipped[0]))


def write_demo_page(
    path: Path,
    plan: DemoPlan,
    shipped: Sequence[DemoRun],
    trained: TrainResult,
    quantized: TrainResult,
    bundles: Mapping[str, Bundle],
    runs: Sequence[DemoRun],
    seconds: float,
) -> None:
    """Write the page of one demo."""
    memory = runs[0].report.memory
    write_page(
        path,
        "demo.html",
        **_shipped(plan, shipped),
        seconds=seconds,
        pictures=_pictures(plan, bundles, runs[0].backend),
        rows=[run.cells() for run in runs],
        frames=runs[0].report.frames,
        size="{}x{}".format(*plan.size_hw),
        memory_method=memory.method if memory else "not readable here",
        bars=markup(
            bar_chart(
                [
                    (run.name, run.report.latency_ms["infer"].p50, run.bundle.precision)
                    for run in runs
                ],
                "ms",
            )
        ),
        curve=markup(_curve(trained)),
        train_text=_training(plan, trained, quantized),
        machine=_machine(runs[0]),
    )


def _shipped(plan: DemoPlan, shipped: Sequence[DemoRun]) -> dict[str, Any]:
    """Return what the template asks of the shipped networks: their table, and what they see."""
    from edgeseg.core.images.paint import colorize
    from edgeseg.core.synthetic.drive import SyntheticDrive
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.evaluation.evaluate import predict

    spec = shipped[0].bundle.spec
    drive = SyntheticDrive(spec.size_hw, STREAM_SEED + plan.seed, 2)
    rgb, truth = drive.frame(0)
    seen = [("frame", picture(rgb)), ("truth", picture(colorize(truth, spec.palette)))]
    for run in shipped:
        with open_backend(run.backend, run.bundle) as opened:
            labels = predict(opened, run.bundle.spec, rgb)
        seen.append((run.name, picture(colorize(labels, spec.palette))))
    return {
        "version": edgeseg.__version__,
        "classes": list(zip(spec.class_names, spec.palette, strict=True)),
        "columns": COLUMNS,
        "shipped": [run.cells() for run in shipped],
        "seen": seen,
        "shipped_frames": shipped[0].report.frames,
        "video": SHIPPED_VIDEO,
    }


def _pictures(
    plan: DemoPlan, bundles: Mapping[str, Bundle], backend: str
) -> list[list[tuple[str, str]]]:
    from edgeseg.core.images.paint import colorize
    from edgeseg.core.synthetic.drive import SyntheticDrive
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.evaluation.evaluate import predict

    spec = plan.spec
    drive = SyntheticDrive(plan.size_hw, STREAM_SEED + plan.seed, plan.frames)
    moments = [int(share * (plan.frames - 1)) for share in MOMENTS]
    labels: dict[str, list[np.ndarray]] = {}
    for name, bundle in bundles.items():
        with open_backend(backend, bundle) as opened:
            labels[name] = [predict(opened, spec, drive.frame(i)[0]) for i in moments]
    rows = []
    for number, index in enumerate(moments):
        rgb, truth = drive.frame(index)
        first, second = labels["fp32"][number], labels["int8"][number]
        changed = first != second
        difference = np.where(changed[..., None], 255, rgb // 3).astype(np.uint8)
        rows.append(
            [
                (f"frame {index}", picture(rgb)),
                ("truth", picture(colorize(truth, spec.palette))),
                ("FP32", picture(colorize(first, spec.palette))),
                ("INT8", picture(colorize(second, spec.palette))),
                (f"changed by INT8: {changed.mean():.4f}", picture(difference)),
            ]
        )
    return rows


def _curve(trained: TrainResult) -> str:
    loss = [(float(row.epoch), row.loss) for row in trained.rows]
    miou = [(float(row.epoch), row.miou) for row in trained.rows if row.scores]
    return line_chart([("training loss", loss)], "epoch", "loss", best=min) + line_chart(
        [("validation mIoU", miou)], "epoch", "mIoU", best=max
    )


def _training(plan: DemoPlan, trained: TrainResult, quantized: TrainResult) -> str:
    float_s = sum(row.seconds for row in trained.rows)
    int8_s = sum(row.seconds for row in quantized.rows)
    float_miou = max(row.miou for row in trained.rows)
    int8_miou = max(row.miou for row in quantized.rows)
    return (
        f"{plan.epochs} epochs of {plan.images} frames in {float_s:.0f} s, validation mIoU "
        f"{float_miou:.4f}; then {plan.qat_epochs} with INT8 rounding in {int8_s:.0f} s, "
        f"{int8_miou:.4f}. The training loss weighs rare classes up."
    )


def _machine(run: DemoRun) -> str:
    machine, backend = run.report.machine, run.report.backend
    parts = [machine.get("board") or machine.get("cpu"), f"{machine.get('cores')} cores"]
    parts += [backend.get("runtime"), machine.get("system")]
    return ", ".join(str(part) for part in parts if part)
