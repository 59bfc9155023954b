"""`edgeseg tune`: search what to prune and what to leave in float, to meet a budget."""

from __future__ import annotations

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import print_json, print_table, ratio, shown
from edgeseg.cli.tune.page import write_tune_page
from edgeseg.host.tuning.options import TuneOptions


@click.command(
    name="tune",
    cls=Verb,
    epilog="Example: edgeseg tune runs/train/segnet-basic/best.safetensors --data synthetic "
    "--target-ms 8 --backend openvino --precision int8 --max-drop 0.01",
)
@job_options(TuneOptions, out="runs/tune/ARCH")
@json_option
@needs("torch", "safetensors", "cv2", "torch_pruning", "optuna", "onnx", "onnxscript")
def command(options: TuneOptions, as_json: bool) -> None:
    """Search how to prune the float CHECKPOINT so that it meets a target at the best accuracy.

    Time is measured on --backend, candidate and CHECKPOINT in turns, here or on the board that --on
    names; with --board it is that board's roofline, which is computed and a floor. The folder gets
    best.safetensors, recipe.toml, tried.json, tried.txt and tried.html. Exit code 3 where the best
    loses more than --max-drop, 4 where no trial met the target.
    """
    from edgeseg.host.tuning.tune import tune_job

    options.check()
    timer = None
    if options.on:
        from edgeseg.cli.board.timer import board_timer

        timer = board_timer(options.on, options.backend, options.threads)
    with shown() as progress:
        result = tune_job(options, progress, on_trial=write_tune_page, timer=timer)
    document = result.document
    if as_json:
        print_json(document)
    else:
        scores = document["scores"]
        costs = (f"{document[key]:.4g}" for key in ("cost", "target", "cost_before"))
        print_table(
            ("checkpoint", document["unit"], "target", "before", "mIoU", "before "),
            [(result.checkpoint, *costs, ratio(scores["miou"]), ratio(scores["before"]))],
        )
    result.check_accuracy()
