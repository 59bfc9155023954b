"""`edgeseg eval`: accuracy of a bundle on labelled data."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseg.cli.common.options import (
    PATH,
    backend_option,
    data_option,
    json_option,
    needs,
    refuse_given,
)
from edgeseg.cli.common.output import bundle_json, print_json, print_table, progress_bar, ratio, say
from edgeseg.cli.common.runtimes import backend_options
from edgeseg.core.output_checks import check_file, check_folder
from edgeseg.errors import UsageError

# With its optimisers off it computes a graph node by node, as the file has them.
EXACT_BACKEND = "onnxruntime"


@click.command(name="eval", epilog="Example: edgeseg eval runs/export/model --data synthetic:50")
@click.argument("bundle")
@data_option(required=True)
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
@backend_option
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
    backend: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Score BUNDLE, a folder or a zoo name, on labelled data.

    G, C and mIoU come from one confusion matrix over all images, void pixels left out, at each
    image's own size. BF is the boundary F1, mean over the classes of an image, then over images.
    """
    from edgeseg.cli.pages.error_pictures import check_panels, confusion_chart, write_panels
    from edgeseg.core.data.open import open_dataset
    from edgeseg.core.images.io import write_png
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.backends.choose import first_backend
    from edgeseg.runtime.evaluation.evaluate import evaluate

    loaded = find_bundle(bundle)
    dataset = open_dataset(data, split, size_hw=loaded.spec.size_hw, limit=limit)
    folder = out or Path("runs") / "eval" / loaded.name
    check_file("--confusion", confusion, "confusion.png", (bundle, data))
    if confusion is not None and confusion.suffix.lower() != ".png":
        raise UsageError(f"--confusion {confusion} is no .png; give such as confusion.png")
    if not save_errors:
        refuse_given(("out",), "there is no --save-errors, whose folder it is")
    else:
        check_folder("-o", folder)
        check_panels(folder)
    if exact and backend not in (None, EXACT_BACKEND):
        raise UsageError(
            f"--exact runs on {EXACT_BACKEND} with its optimisers off, not on {backend}; leave "
            "--backend out"
        )
    name = EXACT_BACKEND if exact else first_backend(backend)
    options = backend_options(name, threads) | ({"optimize": False} if exact else {})
    with (
        open_backend(name, loaded, **options) as opened,
        progress_bar("eval", len(dataset)) as bar,
    ):
        result = evaluate(
            opened,
            loaded.spec,
            dataset,
            boundary=not no_bf,
            keep_worst=save_errors,
            progress=bar.update,
        )
        runs = opened.io
    document = result.to_json()
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
    print_table(
        ("class", "IoU", "accuracy", "BF"),
        [
            (name, ratio(row["iou"]), ratio(row["accuracy"]), ratio(row["bf"]))
            for name, row in document["per_class"].items()
        ],
    )
