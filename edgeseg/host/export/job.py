"""The job of `edgeseg export`: a checkpoint, or a model of the zoo, becomes a bundle."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import MANIFEST_FILE, Bundle, read_bundle
from edgeseg.core.data.open import open_pictures
from edgeseg.core.files import atomic_dir, atomic_write_text
from edgeseg.core.given import name_of
from edgeseg.core.output_checks import check_bundle, check_file
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.recipe import IMPORT, StepDone
from edgeseg.core.suggest import unknown
from edgeseg.core.text.names import component
from edgeseg.core.zoo import (
    ZOO,
    find_checkpoint,
    missing_checkpoint,
    zoo_checkpoint,
    zoo_checkpoints,
    zoo_names,
)
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint
from edgeseg.host.cost import checkpoint_cost
from edgeseg.host.export.calibration_ranges import (
    calibration_of,
    cross_check,
    read_cache,
    read_table,
    version_number,
)
from edgeseg.host.export.export import ExportOptions, bundle_from_checkpoint, bundle_from_module
from edgeseg.host.export.for_runtimes import check_place, write_for_runtime
from edgeseg.host.export.job_options import CALIBRATING, ExportJobOptions
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.from_onnx.network import network_of
from edgeseg.host.quantization.calibrate import (
    calibrated_checkpoint,
    calibration_frames,
    quantize_step,
)


def export(
    checkpoint: str | Path | None = None,
    precision: str = "int8",
    *,
    progress: ProgressCallback = silent,
    **options: Any,
) -> Bundle:
    """Export a checkpoint from Python: `edgeseg.export("best.safetensors", calibrate="mine/")`.

    Args:
        checkpoint: a file or a name of the zoo; None takes the zoo's default model.
        precision: "int8", "fp16" or "fp32".
        progress: told of the calibration, and of what is not used.
        **options: further options of `edgeseg export`, with underscores: calibrate, observer, out…

    Raises:
        EdgesegError: as export_job says.
    """
    chosen = ExportJobOptions.of(checkpoint=checkpoint, precision=precision, **options)
    return export_job(chosen, progress)


@trusting
def export_job(options: ExportJobOptions, progress: ProgressCallback = silent) -> Bundle:
    """Write the bundle of a checkpoint; it appears complete or not at all.

    A checkpoint of a quantization-aware training brings its INT8 ranges; a float one takes them
    from `options.calibrate`.

    Args:
        options: by the names of the verb's options.
        progress: told of the calibration, and of what is not used.

    Returns:
        The bundle, read back.

    Raises:
        UsageError: options contradict each other, or an INT8 export has no ranges.
        CheckpointError: the file is no checkpoint.
        ExportError: the graph is not valid, or its labels are not torch's.
    """
    if options.runtimes and is_bundle(options.checkpoint):
        return bundle_for_runtimes(options, progress)
    if is_bundle(options.checkpoint):
        return quantized_bundle(options, progress)
    options.refuse_idle()
    precision = options.precision or ""
    if options.calibration_cache:
        version_number(options.tensorrt)
    reads = (options.checkpoint, options.calibrate)
    check_file("--calibration-table", options.calibration_table, "ranges.txt", reads)
    check_file("--calibration-cache", options.calibration_cache, "calibration.cache", reads)
    path, name = find_start(options.checkpoint, precision)
    if path is None and options.writes_ranges:
        raise UsageError(f"the zoo ships no checkpoint of {name}, and so no ranges to write")
    folder = options.out or Path("runs/export") / f"{name}-{precision}"
    check_bundle("-o", folder)
    for runtime in options.runtimes:
        check_place(place_of(folder, runtime), runtime)
    if path is None:
        why = f"the zoo holds {name} in {precision} already; leave them out"
        options.refuse_given((*CALIBRATING, "size"), why)
        tell(progress, f"the zoo holds {name} in {precision} already; copying it")
        copied = copy_of_zoo(name, folder)
        write_for_runtimes(copied, options.runtimes, folder, progress)
        return copied
    given = load_checkpoint(path)
    same_size = options.size in (None, given.spec.size_hw)
    if options.size:
        spec = dataclasses.replace(given.spec, size_hw=options.size)
        given = dataclasses.replace(given, spec=spec)
    start = with_ranges(given, path, options, progress)
    # Keep the scores only if they were measured in this precision and at this size.
    measured = same_size and given.quantized == (precision == "int8")
    scores = start.scores if measured else {}
    cost = checkpoint_cost(start)
    bundle = bundle_from_checkpoint(
        start,
        precision,
        folder,
        options=ExportOptions(
            raw_logits=options.raw_logits,
            simplify=options.simplify,
            plugin=options.unpool == "plugin",
            name=name,
        ),
        reference={**scores, "params": cost.params, "macs": cost.macs},
    )
    if options.writes_ranges:
        write_ranges(start, name, options, progress)
    write_for_runtimes(bundle, options.runtimes, folder, progress)
    return bundle


def is_bundle(given: str | None) -> bool:
    """Tell whether a bundle's folder was given, not a checkpoint or a name."""
    return given is not None and (Path(given) / MANIFEST_FILE).is_file()


def quantized_bundle(options: ExportJobOptions, progress: ProgressCallback) -> Bundle:
    """Write the INT8 form of a bundle that was imported in FP32.

    Its graph becomes a network of torch, in which the same planner places Q/DQ as in any other.

    Raises:
        UsageError: the bundle is none of those, there is no data to calibrate on, or an option
            needs a checkpoint.
        ExportError: its graph cannot be brought to torch, or its labels differ there.
    """
    bundle = read_bundle(Path(options.checkpoint or ""))
    if bundle.precision != "fp32" or options.precision != "int8" or not _is_imported(bundle):
        raise UsageError(
            f"{bundle.path} is a bundle in {bundle.precision} already; give its checkpoint, or an "
            "imported FP32 bundle with --int8 --calibrate DATA"
        )
    if options.calibrate is None:
        raise UsageError(
            "the bundle has no INT8 ranges; give real frames with --calibrate DATA, such as "
            "--calibrate synthetic"
        )
    ranges = ("calibration_table", "calibration_cache", "tensorrt", "unpool")
    options.refuse_given(ranges, f"{bundle.path} is an imported bundle, not a checkpoint")
    options.refuse_idle()
    folder = options.out or Path("runs/export") / f"{bundle.name}-int8"
    check_bundle("-o", folder)
    module, spec = network_of(bundle, run_unoptimized), bundle.spec
    data = open_pictures(options.calibrate, spec)
    quantized, step = quantize_step(
        module,
        spec,
        options.quantize_options(),
        calibration_frames(spec, data, options.images),
        count=min(options.images, len(data)),
        progress=progress,
    )
    known = {key: bundle.reference[key] for key in ("params", "macs") if key in bundle.reference}
    return bundle_from_module(
        spec,
        quantized,
        "int8",
        folder,
        steps=[*map(StepDone.from_json, bundle.steps), step],
        options=ExportOptions(
            raw_logits=options.raw_logits, simplify=options.simplify, name=folder.name
        ),
        reference=known,
    )


def _is_imported(bundle: Bundle) -> bool:
    return any(step.get("kind") == IMPORT for step in bundle.steps)


def bundle_for_runtimes(options: ExportJobOptions, progress: ProgressCallback) -> Bundle:
    """Write a bundle that exists already for the runtimes that were asked for, and return it.

    Raises:
        UsageError: an option changes the network, which is exported already.
    """
    bundle = read_bundle(Path(options.checkpoint or ""))
    if options.precision not in (None, bundle.precision):
        raise UsageError(
            f"{bundle.path} is {bundle.precision} already; leave --{options.precision} out, or "
            "give its checkpoint"
        )
    made = {"checkpoint", "precision", "runtimes", "out"}
    others = [field.name for field in dataclasses.fields(options) if field.name not in made]
    options.refuse_given(others, f"{bundle.path} is exported already; give its checkpoint")
    folder = options.out or Path("runs/export") / component(bundle.name)
    for runtime in options.runtimes:
        check_place(place_of(folder, runtime), runtime)
    write_for_runtimes(bundle, options.runtimes, folder, progress)
    return bundle


def write_for_runtimes(
    bundle: Bundle, runtimes: Sequence[str], folder: Path, progress: ProgressCallback
) -> None:
    """Write a bundle for each runtime into a folder beside `folder`, and say so."""
    for runtime in dict.fromkeys(runtimes):
        place = place_of(folder, runtime)
        share = write_for_runtime(bundle, runtime, place)
        tell(
            progress,
            f"{place}: for {runtime}; the bundle's labels on {share:.4f} of the golden frame, on "
            "ONNX Runtime",
        )


def place_of(folder: Path, runtime: str) -> Path:
    """Return the folder of a runtime's files beside a bundle's."""
    return folder.with_name(f"{folder.name}-{runtime}")


def with_ranges(
    given: Checkpoint, path: Path, options: ExportJobOptions, progress: ProgressCallback
) -> Checkpoint:
    """Return the checkpoint as it is exported: calibrated where INT8 needs it and data are given.

    Raises:
        UsageError: the checkpoint has its ranges already, and options ask for others.
    """
    if given.quantized:
        options.refuse_given(
            CALIBRATING,
            f"{path} has its INT8 ranges already; leave them out, or give the float checkpoint "
            "and --calibrate DATA",
        )
    if options.calibrate is None:
        return given
    if options.precision == "int8" and not given.quantized:
        data = open_pictures(options.calibrate, given.spec)
        choice = options.quantize_options()
        return calibrated_checkpoint(given, choice, data, options.images, progress=progress)
    why = (
        "the checkpoint has its INT8 ranges already"
        if given.quantized
        else f"{options.precision} has no ranges"
    )
    tell(progress, f"--calibrate is not used: {why}")
    return given


def find_start(given: str | None, precision: str) -> tuple[Path | None, str]:
    """Return the checkpoint's path and the model's name; no path where only a zoo bundle serves.

    Raises:
        CheckpointError: a folder without a checkpoint is given.
        UsageError: there is no such model, or the zoo has it in another precision only.
    """
    names = zoo_names()
    if given is not None and (Path(given).exists() or Path(given).suffix):
        path = find_checkpoint(Path(given))
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder; give the .safetensors file of a run")
        return path, name_of(path)
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
        if name in zoo_checkpoints():
            raise UsageError(missing_checkpoint(name))
        raise UsageError(
            f"the zoo ships {name} as {held} only; for {precision} give the .safetensors file "
            "that edgeseg train or edgeseg qat wrote"
        )
    return shipped, name


def copy_of_zoo(name: str, folder: Path) -> Bundle:
    """Copy a bundle of the zoo to `folder`."""
    source = read_bundle(ZOO / name)
    with atomic_dir(folder) as temporary:
        for file in source.path.iterdir():
            shutil.copyfile(file, temporary / file.name)
    return read_bundle(folder)


def write_ranges(
    checkpoint: Checkpoint, name: str, options: ExportJobOptions, progress: ProgressCallback
) -> None:
    """Write the table for review and TensorRT's cache, as far as they are asked for.

    Each file is read back and checked.

    Raises:
        UsageError: the version has no calibration cache.
        CheckpointError: what was written is not what the checkpoint holds.
    """
    calibration = calibration_of(checkpoint, name)
    read = {}
    if table := options.calibration_table:
        atomic_write_text(table, calibration.to_table())
        read[str(table)] = read_table(table.read_text())
    if cache := options.calibration_cache:
        atomic_write_text(cache, calibration.to_cache(options.tensorrt))
        read[str(cache)] = read_cache(cache.read_text())
    cross_check(calibration, read)
    tell(progress, f"{', '.join(read)}: {len(calibration.scales)} tensors, read back and equal")
