"""`edgeseg eval`: accuracy of a bundle on labelled data."""

from __future__ import annotations

import click

from edgeseg.cli.options import backend_option, data_option, json_option, needs
from edgeseg.cli.output import bundle_json, print_json, print_table, progress_bar, ratio
from edgeseg.cli.runtimes import first_backend


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
@backend_option
@json_option
@needs("cv2")
def command(
    bundle: str,
    data: str,
    split: str,
    limit: int | None,
    no_bf: bool,
    backend: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Score BUNDLE, a folder or a zoo name, on labelled data.

    G, C and mIoU come from one confusion matrix over all images, void pixels left out, at each
    image's own size. BF is the boundary F1, mean over the classes of an image, then over images.
    """
    from edgeseg.core.dataset import open_dataset
    from edgeseg.core.zoo import find_bundle
    from edgeseg.target.backends import open_backend
    from edgeseg.target.evaluate import evaluate

    loaded = find_bundle(bundle)
    dataset = open_dataset(data, split, size_hw=loaded.spec.size_hw, limit=limit)
    name = first_backend(backend)
    with (
        open_backend(name, loaded, threads=threads or None) as opened,
        progress_bar("eval", len(dataset)) as bar,
    ):
        result = evaluate(opened, loaded.spec, dataset, boundary=not no_bf, progress=bar.update)
        runs = opened.io
    document = result.to_json()
    if as_json:
        print_json(
            {
                "bundle": bundle_json(loaded),
                "backend": {"name": name, **runs.to_json()},
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
                runs.precision,
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
        ("class", "IoU", "accuracy"),
        [
            (name, ratio(row["iou"]), ratio(row["accuracy"]))
            for name, row in document["per_class"].items()
        ],
    )
