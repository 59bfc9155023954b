"""`edgeseg import`: a network that others made."""

from __future__ import annotations

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import bundle_json, megabytes, print_json, print_table, say, shown
from edgeseg.host.imports.job_options import ImportOptions


@click.command(
    name="import",
    cls=Verb,
    epilog="Example: edgeseg import fast_scnn.onnx --classes classes.txt --size 360x480 --unit "
    "-o fast_scnn",
)
@job_options(ImportOptions, out="runs/import/NAME")
@json_option
@needs("torch", "onnx", "onnxsim", "cv2")
def command(options: ImportOptions, as_json: bool) -> None:
    """Import SOURCE, an ONNX file, as an FP32 bundle.

    Its labels are compared with those of the file itself.
    """
    from edgeseg.host.imports.job import import_job

    with shown() as progress:
        bundle = import_job(options, progress)
    if as_json:
        print_json({"bundle": bundle_json(bundle), "path": str(bundle.path)})
        return
    height, width = bundle.spec.size_hw
    print_table(
        ("bundle", "precision", "size", "classes", "bytes", "sha256"),
        [
            (
                bundle.path,
                bundle.precision,
                f"{height}x{width}",
                bundle.spec.n_classes,
                megabytes(bundle.size_bytes),
                bundle.digest[:12],
            )
        ],
    )
    say(f"next: edgeseg export {bundle.path} --int8 --calibrate DATA")
