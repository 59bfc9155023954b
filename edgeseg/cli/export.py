"""`edgeseg export`: from a checkpoint to a bundle."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs, precision_options
from edgeseg.cli.common.output import bundle_json, megabytes, print_json, print_table, shown
from edgeseg.host.export.job_options import ExportJobOptions

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle


@click.command(
    name="export",
    cls=Verb,
    epilog="Example: edgeseg export --int8 -o model",
)
@precision_options(int8="INT8 with Q/DQ nodes.", fp16="FP16 network, FP32 borders.", fp32="FP32.")
@job_options(ExportJobOptions, out="runs/export/MODEL-PRECISION", leave_out=("precision",))
@json_option
@needs("torch", "onnx", "onnxscript", "safetensors", "cv2")
def command(options: ExportJobOptions, precision: str | None, as_json: bool) -> None:
    """Export CHECKPOINT, a file or a zoo name, to a bundle; without it, the zoo's default model.

    A checkpoint of `edgeseg qat` brings its INT8 ranges; a float one needs --calibrate. The bundle
    appears complete or not at all.
    """
    from edgeseg.host.export.job import export_job

    with shown() as progress:
        bundle = export_job(dataclasses.replace(options, precision=precision), progress)
    _print(bundle, as_json)


def _print(bundle: Bundle, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "bundle": bundle_json(bundle),
                "path": str(bundle.path),
                "bytes": bundle.size_bytes,
                "size_hw": list(bundle.spec.size_hw),
                "opset": bundle.opset,
                "reference": dict(bundle.reference),
            }
        )
        return
    height, width = bundle.spec.size_hw
    print_table(
        ("bundle", "precision", "size", "bytes", "sha256"),
        [
            (
                bundle.path,
                bundle.precision,
                f"{height}x{width}",
                megabytes(bundle.size_bytes),
                bundle.digest[:12],
            )
        ],
    )
