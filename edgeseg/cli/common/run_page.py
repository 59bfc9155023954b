"""The page of a training run: curves, scores, and what the network sees."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgeseg
from edgeseg.cli.common.output import print_json, print_table, ratio, say
from edgeseg.cli.pages.bench_charts import grouped_bars
from edgeseg.cli.pages.html import markup, write_page
from edgeseg.cli.pages.picture_strip import strip
from edgeseg.core.charts import line_chart
from edgeseg.core.metrics import counted_metrics, fewer_classes, symbols

if TYPE_CHECKING:
    from edgeseg.core.data.dataset import Dataset
    from edgeseg.host.checkpoint import Checkpoint
    from edgeseg.host.training.curves import EpochRow
    from edgeseg.host.training.run_folder import RunResult

PAGE = "index.html"
PICTURES = 3
WORST = 3


def show_run(run: RunResult, as_json: bool) -> None:
    """Write a training's page and print what came out of it."""
    show_page(run)
    if as_json:
        print_json(run.document)
        return
    headlines = counted_metrics()
    print_table(
        ("checkpoint", "epoch", *symbols(headlines)),
        [
            (
                run.checkpoint,
                run.document["epoch"],
                *(ratio(run.scores.get(key)) for key in headlines),
            )
        ],
    )
    show_classes(run.network.spec.class_names, run.scores)


def show_classes(names: Sequence[str], scores: Mapping[str, Any]) -> None:
    """Print the classes that a run finds worst and best; all of them where they are few.

    Args:
        names: of the classes.
        scores: as Scores.to_json gives them; may be empty.
    """
    ious, found = scores.get("per_class_iou"), scores.get("per_class_accuracy")
    if not ious or not found:
        return
    rows = sorted(
        ((name, iou, share) for name, iou, share in zip(names, ious, found, strict=True)),
        key=lambda row: math.inf if row[1] is None else row[1],
    )
    there = [row for row in rows if row[1] is not None]
    shown = there if len(there) <= WORST + 1 else [*there[:WORST], there[-1]]
    few = len(shown) == len(there)
    print_table(
        ("class" if few else f"worst {WORST} and best", "IoU", "accuracy"),
        [(name, ratio(iou), ratio(share)) for name, iou, share in shown],
    )
    if said := fewer_classes(ious):
        say(f"{said}: {', '.join(row[0] for row in rows if row[1] is None)}")


def show_page(run: RunResult) -> None:
    """Write the page of a run and say where it is."""
    page = write_run_page(run.folder, run.rows, run.scores, run.network, run.validation, run.about)
    say(f"page: {page}")


def write_run_page(
    folder: Path,
    rows: Sequence[EpochRow],
    scores: Mapping[str, Any],
    checkpoint: Checkpoint,
    validation: Dataset | None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write index.html into a run's folder and return its path.

    Args:
        folder: of the run; its last two parts are the page's title.
        rows: one an epoch; none where nothing was trained.
        scores: of the validation, as Scores.to_json gives them; may be empty.
        checkpoint: whose labels are drawn.
        validation: where the pictures come from; None gives none.
        about: what the run was made of, as RunResult has it.
    """
    spec = checkpoint.spec
    miou = [(float(row.epoch), row.miou) for row in rows if row.scores]
    loss = [(float(row.epoch), row.loss) for row in rows]
    ious = scores.get("per_class_iou")
    write_page(
        folder / PAGE,
        "run.html",
        version=edgeseg.__version__,
        title=" / ".join(folder.parts[-2:]),
        facts=[
            ("architecture", spec.arch),
            ("size", "{}x{}".format(*spec.size_hw)),
            ("steps", ", ".join(step.kind for step in checkpoint.steps)),
            ("epochs", len(rows)),
            ("seconds", f"{sum(row.seconds for row in rows):.0f}"),
            *(
                (name, ratio(scores.get(key)))
                for name, key in (
                    ("mIoU", "miou"),
                    ("G", "global_accuracy"),
                    ("C", "class_accuracy"),
                )
            ),
            *([("classes in mIoU", said)] if (said := fewer_classes(ious or ())) else []),
        ],
        about=[(name, _text(value)) for name, value in (about or {}).items() if value is not None],
        loss=markup(line_chart([("training loss", loss)], "epoch", "loss", best=min))
        if loss
        else "",
        miou=markup(line_chart([("validation mIoU", miou)], "epoch", "mIoU", best=max))
        if miou
        else "",
        classes_chart=markup(
            grouped_bars(spec.class_names, [("", ious)], "intersection over union")
        )
        if ious
        else "",
        strips=_strips(checkpoint, validation) if validation is not None else [],
        palette=list(zip(spec.class_names, spec.palette, strict=True)),
    )
    return folder / PAGE


def _text(value: Any) -> str:
    """Write a fact for a reader; a command is one that can be typed."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _strips(checkpoint: Checkpoint, validation: Dataset) -> list[list[tuple[str, str]]]:
    from edgeseg.core.data.sampling import spread_indices
    from edgeseg.host.checkpoint import module_from_checkpoint
    from edgeseg.host.models.label_net import LabelNet
    from edgeseg.host.training.validate import label_picture

    spec = checkpoint.spec
    net = LabelNet(spec, module_from_checkpoint(checkpoint)).eval()
    rows = []
    for index in spread_indices(len(validation), PICTURES):
        sample = validation[index]
        if sample.labels is None:
            continue
        found = {"network": label_picture(spec, net, sample.rgb)}
        rows.append(
            strip(sample.rgb, sample.labels, found, spec.palette, spec.ignore_index, sample.name)
        )
    return rows
