"""Score networks that each left out one drive, and all drives counted into one matrix.

    python calibration/tools/held_out.py --camvid FOLDER 0001TP=a/last.safetensors 0006R0=b/…

Each checkpoint is scored on the drive that `edgeseg train --hold-out DRIVE` kept from it. The mean
of the drives hides how large they are and lets a class that one hardly has weigh a third; one
matrix over all images does neither.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.views import hold_out
from edgeseg.core.metrics.boundary_f1 import BoundaryF1
from edgeseg.core.metrics.confusion import ConfusionMatrix, Scores
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
from edgeseg.host.finetuning.balance import balanced
from edgeseg.host.training.loss.losses import median_frequency_weights
from edgeseg.host.training.loss.objective import WEIGHT_SAMPLES
from edgeseg.host.training.validate import count_module


def main() -> None:
    """Read the command line and print a line for each drive and one for all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="DRIVE=CHECKPOINT")
    parser.add_argument("--camvid", required=True, help="folder in CamVid's layout")
    parser.add_argument("--bf", action="store_true", help="boundary F1 of each drive too; slower")
    parser.add_argument("--take-back", type=float, default=0.0, help="as edgeseg balance has it")
    arguments = parser.parse_args()
    total: ConfusionMatrix | None = None
    for run in arguments.runs:
        drive, _, path = run.partition("=")
        checkpoint = load_checkpoint(Path(path))
        spec = checkpoint.spec
        data = open_dataset(arguments.camvid, "train", size_hw=spec.size_hw)
        rest, held = hold_out(data, drive)
        if arguments.take_back:
            weights = median_frequency_weights(rest, limit=WEIGHT_SAMPLES)
            checkpoint = balanced(checkpoint, weights, arguments.take_back)
        module = module_from_checkpoint(checkpoint)
        outlines = BoundaryF1(spec.n_classes, spec.ignore_index) if arguments.bf else None
        counts = count_module(spec, module, held, range(len(held)), bf16=True, outlines=outlines)
        show(drive, counts.scores(), outlines.score() if outlines else None)
        total = counts if total is None else total + counts
    if total is not None:
        show("all", total.scores())


def show(name: str, scores: Scores, bf: float | None = None) -> None:
    """Print one line."""
    print(
        f"{name:8} mIoU {scores.miou:.4f}  G {scores.global_accuracy:.4f}  "
        f"C {scores.class_accuracy:.4f}" + (f"  BF {bf:.4f}" if bf is not None else "")
    )


if __name__ == "__main__":
    main()
