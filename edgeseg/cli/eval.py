"""`edgeseg eval`: accuracy of a bundle on labelled data."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseg.cli.common.crf_options import crf_option
from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import (
    PATH,
    backend_option,
    data_option,
    json_option,
    needs,
    reading_options,
    refuse_given,
)
from edgeseg.cli.common.output import (
    bundle_json,
    print_json,
    print_table,
    progress_bar,
    ratio,
    say,
    shown,
)
from edgeseg.cli.common.runtimes import backend_options, engine_precision, precision_option
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.data.read_options import ReadOptions
from edgeseg.core.output_checks import check_file, check_folder
from edgeseg.core.text.names import component
from edgeseg.errors import UsageError

# With its optimizers off it computes a graph node by node, as the file has them.
EXACT_BACKEND = "onnxruntime"

# Rows of a search that the terminal gets.
SHOWN = 10


@click.command(
    name="eval",
    cls=Verb,
    epilog="Example: edgeseg eval deeplabv3plus-mobilenetv2-camvid --data synthetic:20",
)
@click.argument("bundle")
@data_option(required=True)
@reading_options
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="Which part of --data.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Score this many images, spread evenly.")
@click.option("--no-bf", is_flag=True, help="Leave boundary F1 out; it takes longer than the rest.")
@click.option(
    "--confusion",
    type=PATH,
    metavar="FILE.png",
    help="Draw the confusion matrix, per cent of each class's truth.",
)
@click.option(
    "--save-errors",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Write the N images with most wrong pixels as image | truth | prediction | difference.",
)
@click.option(
    "-o",
    "--out",
    type=PATH,
    help="Folder for --save-errors, whose earlier pictures there are replaced.  "
    "[default: runs/eval/BUNDLE]",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Run the graph file's own arithmetic, as TensorRT computes it: INT8 that clips at 127 "
    "steps. On CPUs --backend onnxruntime is faster and lets what cannot be negative reach 255.",
)
@crf_option
@click.option(
    "--crf-search",
    is_flag=True,
    help="Search the CRF's values on training images and print the best; needs --split train.",
)
@backend_option
@precision_option("auto")
@json_option
@needs("cv2")
def command(
    bundle: str,
    data: str,
    split: str,
    limit: int | None,
    no_bf: bool,
    confusion: Path | None,
    save_errors: int,
    out: Path | None,
    exact: bool,
    crf: CrfOptions | None,
    crf_search: bool,
    backend: str | None,
    threads: int,
    read: ReadOptions,
    as_json: bool,
) -> None:
    """Score BUNDLE, a folder or a zoo name, on labelled data.

    G, C and mIoU come from one confusion matrix over all images, void pixels left out, at each
    image's own size. BF is the boundary F1, mean over the classes of an image, then over images.
    """
    if crf_search:
        _search(bundle, data, split, limit, crf, backend, threads, read=read, as_json=as_json)
        return
    from edgeseg.cli.pages.error_pictures import check_panels, confusion_chart, write_panels
    from edgeseg.core.data.census import check_data
    from edgeseg.core.data.open import open_dataset
    from edgeseg.core.images.io import write_png
    from edgeseg.core.metrics import fewer_classes
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.backends.choose import first_backend
    from edgeseg.runtime.backends.dense_crf import CrfBackend, refined
    from edgeseg.runtime.evaluation.evaluate import evaluate

    loaded = find_bundle(bundle)
    dataset = open_dataset(data, split, size_hw=loaded.spec.size_hw, limit=limit, options=read)
    folder = out or Path("runs") / "eval" / component(loaded.name)
    check_file("--confusion", confusion, "confusion.png", (bundle, data))
    if confusion is not None and confusion.suffix.lower() != ".png":
        raise UsageError(f"--confusion {confusion} is no .png; give such as confusion.png")
    if not save_errors:
        refuse_given(("out",), "there is no --save-errors, whose folder it is")
    else:
        check_folder("-o", folder)
        check_panels(folder)
    if exact and crf:
        raise UsageError(
            "--crf needs the network's scores, and --exact runs the whole file, which ends in "
            "labels; leave one out"
        )
    if exact and backend not in (None, EXACT_BACKEND):
        raise UsageError(
            f"--exact runs on {EXACT_BACKEND} with its optimizers off, not on {backend}; leave "
            "--backend out"
        )
    with shown() as progress:
        check_data(None, dataset, progress=progress)
    name = EXACT_BACKEND if exact else first_backend(backend)
    engine_precision([name])
    options = backend_options(name, threads) | ({"optimize": False} if exact else {})
    with (
        open_backend(name, loaded, **options) as opened,
        progress_bar("eval", len(dataset)) as bar,
    ):
        running = refined(opened, loaded.spec.n_classes, crf)
        result = evaluate(
            running,
            loaded.spec,
            dataset,
            boundary=not no_bf,
            keep_worst=save_errors,
            progress=bar.update,
        )
        runs = running.io
    document = result.to_json()
    if isinstance(running, CrfBackend):
        document["crf"] = running.to_json()
    if result.worst:
        write_panels(folder, result.worst, dataset.palette, dataset.ignore_index)
        say(f"the {len(result.worst)} worst images are in {folder}")
    if confusion:
        write_png(confusion, confusion_chart(result.counts, result.class_names))
    if as_json:
        print_json(
            {
                "bundle": bundle_json(loaded),
                "backend": {"name": name, "exact": exact, **runs.to_json()},
                "data": dataset.name,
                **document,
            }
        )
        return
    print_table(
        ("bundle", "backend", "runs in", "images", "G", "C", "mIoU", "BF"),
        [
            (
                loaded.name,
                runs.runtime,
                f"{loaded.precision}, as the file says" if exact else runs.precision,
                document["n_images"],
                *(
                    ratio(document[key])
                    for key in ("global_accuracy", "class_accuracy", "miou", "bf")
                ),
            )
        ],
        title=dataset.name,
    )
    if said := fewer_classes(row["iou"] for row in document["per_class"].values()):
        say(said)
    if "crf" in document:
        say(f"the dense CRF took {document['crf']['ms_per_frame']:.0f} ms an image, the network's "
            "own time not included")  # fmt: skip
    print_table(
        ("class", "IoU", "accuracy", "BF"),
        [
            (name, ratio(row["iou"]), ratio(row["accuracy"]), ratio(row["bf"]))
            for name, row in document["per_class"].items()
        ],
    )


def _search(
    bundle: str,
    data: str,
    split: str,
    limit: int | None,
    crf: CrfOptions | None,
    backend: str | None,
    threads: int,
    *,
    read: ReadOptions,
    as_json: bool,
) -> None:
    """Search the CRF's values and print the candidates, best first."""
    from edgeseg.core.data.census import check_data
    from edgeseg.core.data.open import open_dataset
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.backends.choose import first_backend
    from edgeseg.runtime.evaluation.crf_search import search_crf

    why = "--crf-search scores the candidates by G, C and mIoU"
    refuse_given(("no_bf", "confusion", "save_errors", "out", "exact"), why)
    if split != "train":
        raise UsageError(
            "--crf-search chooses values, which validation and test images must not do; add "
            "--split train, and --limit 20 for a start"
        )
    loaded = find_bundle(bundle)
    dataset = open_dataset(data, split, size_hw=loaded.spec.size_hw, limit=limit, options=read)
    with shown() as progress:
        check_data(dataset, None, allow_empty=True, progress=progress)
    name = first_backend(backend)
    with (
        open_backend(name, loaded, **backend_options(name, threads)) as opened,
        progress_bar("search", 2 * len(dataset)) as bar,
    ):
        network, *trials = search_crf(
            opened, loaded.spec, dataset, start=crf or CrfOptions(), progress=bar.update
        )
    best = trials[0].options or CrfOptions()
    if as_json:
        rows = [
            {
                "crf": trial.options and trial.options.to_json(),
                "miou": trial.scores.miou,
                "global_accuracy": trial.scores.global_accuracy,
                "class_accuracy": trial.scores.class_accuracy,
            }
            for trial in (network, *trials)
        ]
        print_json({"bundle": bundle_json(loaded), "data": dataset.name, "trials": rows})
        return
    print_table(
        ("appearance", "position", "colour", "smoothness", "radius", "mIoU", "G", "C"),
        [
            (
                *(
                    f"{value:g}"
                    for key, value in trial.options.to_json().items()
                    if key != "iterations"
                ),
                *scores,
            )
            if trial.options
            else ("no CRF", "", "", "", "", *scores)
            for trial in (network, *trials[:SHOWN])
            for scores in [
                tuple(
                    ratio(getattr(trial.scores, key))
                    for key in ("miou", "global_accuracy", "class_accuracy")
                )
            ]
        ],
        title=f"{dataset.name}, {len(dataset)} images, the best {SHOWN} of {len(trials)}",
    )
    settings = " ".join(f"--crf-set {key}={value:g}" for key, value in best.to_json().items())
    say(f"next: edgeseg eval {bundle} --data {data} --crf {settings}")
