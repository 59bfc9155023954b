"""`edgeseg train`: a float network from a data set."""

from __future__ import annotations

import dataclasses

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import shown
from edgeseg.cli.common.torchrun import joined_ranks
from edgeseg.host.jobs.options import TrainJobOptions


@click.command(
    name="train",
    cls=Verb,
    epilog="Example: edgeseg train deeplabv3plus-mobilenetv2 --data synthetic --epochs 20",
)
@job_options(TrainJobOptions, out="runs/train/ARCH")
@json_option
@needs("torch", "safetensors", "cv2")
def command(options: TrainJobOptions, as_json: bool) -> None:
    """Train the architecture ARCH; `edgeseg models` lists them.

    The run's folder gets best.safetensors (by validation mIoU), last.safetensors, curves.svg,
    curves.csv, scores.json and env.json. A killed run goes on with --resume to the same result.

    `torchrun --nproc-per-node N -m edgeseg train …` shares every batch, of --batch crops in all,
    among N processes: gloo on CPUs, nccl with --device cuda.
    """
    from edgeseg.cli.common.run_page import show_run
    from edgeseg.host.jobs.train import train_job

    with joined_ranks(options.device) as (ranks, device), shown() as progress:
        own = dataclasses.replace(options, device=device)
        run = train_job(own, progress, ranks=ranks)
    if ranks.first:
        show_run(run, as_json)
