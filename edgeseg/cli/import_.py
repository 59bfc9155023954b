"""`edgeseg import`: a network that others made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import bundle_json, megabytes, print_json, print_table, say, shown
from edgeseg.host.imports.job_options import ImportOptions

if TYPE_CHECKING:
    from edgeseg.host.imports.module import Imported


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
    """Import SOURCE, an ONNX file, as an FP32 bundle, or package.module:callable as a checkpoint.

    The bundle's labels are compared with those of the file itself, the checkpoint's scores with
    those of the module. The checkpoint names the callable, which later verbs call again: they ask
    for --trust PACKAGE.
    """
    from edgeseg.core.bundle import Bundle
    from edgeseg.host.imports.job import import_job

    with shown() as progress:
        made = import_job(options, progress)
    if not isinstance(made, Bundle):
        _print_checkpoint(made, as_json)
        return
    bundle = made
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


def _print_checkpoint(made: Imported, as_json: bool) -> None:
    spec = made.checkpoint.spec
    height, width = spec.size_hw
    if as_json:
        print_json(
            {
                "checkpoint": str(made.path),
                "spec": spec.to_json(),
                "convolutions": made.layers,
                "whole": made.hidden,
                "fresh": made.fresh,
            }
        )
        return
    print_table(
        ("checkpoint", "network", "size", "classes", "convolutions", "bytes"),
        [
            (
                made.path,
                spec.arch,
                f"{height}x{width}",
                spec.n_classes,
                f"{made.layers}, and {made.hidden} inside parts" if made.hidden else made.layers,
                megabytes(made.path.stat().st_size),
            )
        ],
    )
    package = spec.arch.partition(":")[0].partition(".")[0]
    verb = f"train {spec.arch} --init {made.path}" if made.fresh else f"qat {made.path}"
    say(f"next: edgeseg {verb} --data DATA --trust {package}")
