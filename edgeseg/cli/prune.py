"""`edgeseg prune`: take channels out of a trained network, or make it 2:4 sparse."""

from __future__ import annotations

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import print_json, print_table, ratio, shown
from edgeseg.host.jobs.options import PruneJobOptions


@click.command(
    name="prune",
    cls=Verb,
    epilog="Example: edgeseg prune runs/train/segnet-basic/best.safetensors --target-macs 0.5 "
    "--data synthetic --epochs 5",
)
@job_options(PruneJobOptions, out="runs/prune/ARCH")
@json_option
@needs("torch", "safetensors", "cv2", "torch_pruning")
def command(options: PruneJobOptions, as_json: bool) -> None:
    """Narrow the float CHECKPOINT and, with --epochs, train what is left.

    The run's folder gets pruned.safetensors, widths.txt (what became of every layer), scores.json
    and env.json; with --epochs also best.safetensors, last.safetensors and the curves, for each of
    --rounds in a folder of its own. Go on with `edgeseg train --init` or `edgeseg qat`.
    """
    from edgeseg.cli.common.run_page import show_classes, show_page
    from edgeseg.host.jobs.prune import prune_job

    with shown() as progress:
        run = prune_job(options, progress)
    show_page(run)
    if as_json:
        print_json(run.document)
        return
    before, after = run.document["before"], run.document["after"]
    print_table(
        ("checkpoint", "MACs", "of before", "parameters", "of before", "mIoU"),
        [
            (
                run.checkpoint,
                f"{after['macs'] / 1e6:.1f} M",
                ratio(after["macs"] / before["macs"]),
                f"{after['params'] / 1e6:.3f} M",
                ratio(after["params"] / before["params"]),
                ratio(run.scores["miou"]) if run.scores else None,
            )
        ],
    )
    show_classes(run.network.spec.class_names, run.scores)
