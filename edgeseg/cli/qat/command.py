"""`edgeseg qat`: train a network further with INT8 rounding in it."""

from __future__ import annotations

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import shown
from edgeseg.cli.qat import tables
from edgeseg.errors import UsageError
from edgeseg.host.quantization.options import QatOptions


@click.command(
    name="qat",
    cls=Verb,
    epilog="Example: edgeseg qat runs/train/segnet-basic/best.safetensors --data synthetic",
)
@job_options(QatOptions, out="runs/qat/ARCH")
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Only rank the layers by the mIoU they lose in INT8, on --val-limit images or 20; with "
    "--keep-float auto, pick as well.",
)
@click.option(
    "--compare-ptq",
    is_flag=True,
    help="Only fill the table float / PTQ by observer and refinement / QAT; resumes by itself.",
)
@json_option
@needs("torch", "safetensors", "cv2")
def command(options: QatOptions, sensitivity: bool, compare_ptq: bool, as_json: bool) -> None:
    """Quantize the float CHECKPOINT and train it on with fake INT8 in the loop.

    Batch norms are folded, Q/DQ are placed and calibrated on --data, then the weights adapt. The
    result carries its scales: `edgeseg export --int8` needs no calibration data for it.
    """
    from edgeseg.cli.common.run_page import show_run
    from edgeseg.host.quantization.compare import compare_job
    from edgeseg.host.quantization.qat import qat_job
    from edgeseg.host.quantization.rank_layers import rank_job

    if sensitivity and compare_ptq:
        raise UsageError("--sensitivity and --compare-ptq are two runs; give one of them")
    with shown() as progress:
        if compare_ptq:
            comparison = compare_job(options, progress)
        elif sensitivity:
            ranking = rank_job(options, progress)
        else:
            run = qat_job(options, progress)
    if compare_ptq:
        tables.print_comparison(comparison, as_json)
    elif sensitivity:
        tables.print_ranking(ranking, as_json)
    else:
        tables.draw_ranking(run.folder)
        show_run(run, as_json)
