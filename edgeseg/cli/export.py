"""`edgeseg export`: from a checkpoint to a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.common.options import (
    PATH,
    json_option,
    needs,
    precision_options,
    refuse_given,
)
from edgeseg.cli.common.output import bundle_json, megabytes, print_json, print_table, say, shown
from edgeseg.cli.common.quantize_options import quantize_options
from edgeseg.cli.export_ranges import write_calibration
from edgeseg.core.options import DATA_HELP
from edgeseg.core.output_checks import check_bundle, check_file
from edgeseg.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle

# Options that only a calibration follows.
CHOICES = (
    "observer", "percentile", "equalize", "bias_correct", "adaround", "adaround_steps",
    "keep_float",
)  # fmt: skip


@click.command(
    name="export",
    epilog="Example: edgeseg export runs/qat/segnet-basic/best.safetensors --int8 -o model",
)
@click.argument("checkpoint", required=False)
@precision_options(int8="INT8 with Q/DQ nodes.", fp16="FP16 network, FP32 borders.", fp32="FP32.")
@click.option(
    "--calibrate",
    metavar="DATA",
    help=f"Frames that choose INT8 ranges where the checkpoint has none: {DATA_HELP}.",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Frames of --calibrate to use.",
)
@quantize_options
@click.option(
    "--keep-float",
    multiple=True,
    metavar="LAYER",
    help="Leave this convolution in float; may be repeated.",
)
@click.option(
    "--calibration-table", type=PATH, metavar="FILE", help="Write the INT8 ranges as text."
)
@click.option(
    "--calibration-cache",
    type=PATH,
    metavar="FILE",
    help="Write them as TensorRT's calibration cache, for the --fp32 export on DLA up to 10.7.",
)
@click.option(
    "--tensorrt",
    default="10.7.0",
    show_default=True,
    help="TensorRT release that the cache is for, 7 to 10.",
)
@click.option("--raw-logits", is_flag=True, help="Give the logits as a second output.")
@click.option(
    "--unpool",
    type=click.Choice(["lower", "plugin"]),
    default="lower",
    show_default=True,
    help="SegNet's un-pooling: standard operators, or those of the TensorRT plugin.",
)
@click.option("--simplify", is_flag=True, help="Run onnxsim over the graph and check its result.")
@click.option(
    "-o", "--out", type=PATH, help="The bundle's folder.  [default: runs/export/MODEL-PRECISION]"
)
@json_option
@needs("torch", "onnx", "onnxscript", "safetensors", "cv2")
def command(
    checkpoint: str | None,
    precision: str | None,
    calibrate: str | None,
    images: int,
    observer: str,
    percentile: float,
    equalize: bool,
    bias_correct: bool,
    adaround: bool,
    adaround_steps: int,
    keep_float: tuple[str, ...],
    calibration_table: Path | None,
    calibration_cache: Path | None,
    tensorrt: str,
    raw_logits: bool,
    unpool: str,
    simplify: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Export CHECKPOINT, a file or a zoo name, to a bundle; without it, the zoo's default model.

    A checkpoint of `edgeseg qat` brings its INT8 ranges; a float one needs --calibrate. The bundle
    appears complete or not at all.
    """
    from edgeseg.core.data.open import open_dataset
    from edgeseg.host.export.calibration_ranges import version_number
    from edgeseg.host.quantization.calibrate import calibrated_checkpoint
    from edgeseg.host.quantization.options import QuantizeOptions

    if precision is None:
        raise UsageError("no precision is given; give one of --int8, --fp16, --fp32")
    tables = calibration_table is not None or calibration_cache is not None
    if tables and precision != "int8":
        raise UsageError("--calibration-table and --calibration-cache go with --int8")
    if calibration_cache:
        version_number(tensorrt)
    reads = (checkpoint, calibrate)
    check_file("--calibration-table", calibration_table, "ranges.txt", reads)
    check_file("--calibration-cache", calibration_cache, "calibration.cache", reads)
    if precision != "int8":
        refuse_given(CHOICES, f"{precision} has no INT8 ranges; leave them out or give --int8")
    if calibrate is None:
        refuse_given(("images",), "there is no --calibrate")
    if observer != "percentile":
        refuse_given(("percentile",), "--observer is another")
    if not adaround:
        refuse_given(("adaround_steps",), "there is no --adaround")
    if calibration_cache is None:
        refuse_given(("tensorrt",), "there is no --calibration-cache, whose version it is")
    choice = QuantizeOptions(
        observer=observer,
        percentile=percentile,
        keep_float=keep_float,
        equalize=equalize,
        bias_correct=bias_correct,
        adaround=adaround_steps if adaround else 0,
    )
    path, name = _checkpoint(checkpoint, precision)
    if path is None and tables:
        raise UsageError(f"the zoo ships no checkpoint of {name}, and so no ranges to write")
    folder = out or Path("runs/export") / f"{name}-{precision}"
    check_bundle("-o", folder)
    if path is None:
        refuse_given(CHOICES, f"the zoo holds {name} in {precision} already; leave them out")
        bundle = _copy_of_zoo(name, folder)
    else:
        from edgeseg.host.checkpoint import load_checkpoint
        from edgeseg.host.cost import checkpoint_cost
        from edgeseg.host.export.export import ExportOptions, bundle_from_checkpoint

        loaded = load_checkpoint(path)
        measured_in_int8 = loaded.quantized
        if loaded.quantized:
            refuse_given(
                CHOICES,
                f"{path} has its INT8 ranges already; leave them out, or give the float checkpoint "
                "and --calibrate DATA",
            )
        if calibrate is not None and precision == "int8" and not loaded.quantized:
            data = open_dataset(calibrate, "train", size_hw=loaded.spec.size_hw)
            with shown() as progress:
                loaded = calibrated_checkpoint(loaded, choice, data, images, progress=progress)
        elif calibrate is not None:
            say("--calibrate is not used: " + ("the checkpoint has its INT8 ranges already"
                if loaded.quantized else f"{precision} has no ranges"))  # fmt: skip
        # Scores of the other arithmetic are none of this bundle's.
        scores = loaded.scores if measured_in_int8 == (precision == "int8") else {}
        cost = checkpoint_cost(loaded)
        bundle = bundle_from_checkpoint(
            loaded,
            precision,
            folder,
            options=ExportOptions(
                raw_logits=raw_logits, simplify=simplify, plugin=unpool == "plugin", name=name
            ),
            reference={**scores, "params": cost.params, "macs": cost.macs},
        )
        if tables:
            write_calibration(loaded, name, calibration_table, calibration_cache, tensorrt)
    _print(bundle, as_json)


def _checkpoint(given: str | None, precision: str) -> tuple[Path | None, str]:
    """Return the checkpoint's path and the model's name; no path where only a zoo bundle serves."""
    from edgeseg.core.bundle import read_bundle
    from edgeseg.core.suggest import unknown
    from edgeseg.core.zoo import ZOO, zoo_checkpoint, zoo_names

    names = zoo_names()
    if given is not None and (Path(given).exists() or Path(given).suffix):
        path = Path(given)
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder; give the .safetensors file of a run")
        # Resolved, since "best.safetensors" and "../best.safetensors" name no folder.
        return path, path.parent.resolve().name if path.stem in ("best", "last") else path.stem
    if given is None and not names:
        raise UsageError(
            "no checkpoint is given and this install ships no model; give the .safetensors file "
            "that edgeseg train or edgeseg qat wrote"
        )
    name = given or names[0]
    if name not in names:
        raise UsageError(unknown("checkpoint or zoo model", name, names))
    shipped = zoo_checkpoint(name)
    held = read_bundle(ZOO / name).precision
    if shipped is None and held != precision:
        raise UsageError(
            f"the zoo ships {name} as {held} only; for {precision} give the .safetensors file "
            "that edgeseg train or edgeseg qat wrote"
        )
    return shipped, name


def _copy_of_zoo(name: str, folder: Path) -> Bundle:
    from edgeseg.core.bundle import read_bundle
    from edgeseg.core.files import atomic_dir
    from edgeseg.core.zoo import ZOO

    source = read_bundle(ZOO / name)
    say(f"the zoo holds {name} in {source.precision} already; copying it")
    with atomic_dir(folder) as temporary:
        for file in source.path.iterdir():
            shutil.copyfile(file, temporary / file.name)
    return read_bundle(folder)


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
