"""The import of an ONNX file: from somebody's network to an FP32 bundle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from edgeseg import __version__
from edgeseg.core.bundle import Bundle, write_bundle
from edgeseg.core.files import sha256_file
from edgeseg.core.graph.view import GraphView
from edgeseg.core.output_checks import check_bundle
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.recipe import IMPORT, StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.export.export import check_finite
from edgeseg.host.export.graph_passes import set_metadata
from edgeseg.host.imports.job_options import ImportOptions
from edgeseg.host.imports.onnx_file.compare import golden_of
from edgeseg.host.imports.onnx_file.ends import Entry, Exit, find_entry, find_exit
from edgeseg.host.imports.onnx_file.prepare import (
    check_tensors,
    in_float32,
    simplified,
    with_input_shape,
)
from edgeseg.host.imports.onnx_file.read import OWN_DOMAINS, read_network
from edgeseg.host.imports.onnx_file.wrap import wrapped
from edgeseg.runtime.bench.graph_cost import model_cost


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A file that was understood.

    Attributes:
        file: as read, its input's shape fixed.
        network: the same in FP32, simplified, its batch norms folded.
        entry: what it takes.
        end: what it gives.
        spec: of the network.
    """

    file: onnx.ModelProto
    network: onnx.ModelProto
    entry: Entry
    end: Exit
    spec: ModelSpec


def import_onnx(options: ImportOptions, progress: ProgressCallback = silent) -> Bundle:
    """Write the FP32 bundle of an ONNX file; it appears complete or not at all.

    Args:
        options: by the names of the verb's options.
        progress: told what was found in the file.

    Returns:
        The bundle, read back; its labels were compared with the file's own.

    Raises:
        UsageError: an option does not fit an ONNX file, or the size or normalization is missing.
        DataError: classes.txt is missing or malformed.
        ExportError: the file is no float segmentation network of these classes.
    """
    path = Path(options.source)
    options.refuse_given(("weights", "arguments"), f"{path} is an ONNX file, with its weights")
    folder = options.out or Path("runs/import") / path.stem
    check_bundle("-o", folder)
    ready = prepared(options, progress)
    made = wrapped(ready.network, ready.spec, ready.entry, ready.end)
    set_metadata(
        made,
        {
            "edgeseg.arch": ready.spec.arch,
            "edgeseg.precision": "fp32",
            "edgeseg.spec": json.dumps(ready.spec.to_json()),
        },
    )
    made.producer_name, made.producer_version = "edgeseg import", __version__
    check_finite(ready.spec, "fp32", made)
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path} as a bundle is not valid ONNX ({error})") from error
    golden = golden_of(path, ready.file, made, ready.spec, ready.entry, ready.end)
    found = model_cost(made)
    return write_bundle(
        folder,
        made.SerializeToString(),
        golden,
        name=folder.name,
        spec=ready.spec,
        precision="fp32",
        opset=next(o.version for o in made.opset_import if o.domain in OWN_DOMAINS),
        steps=[_step(path, ready.end).to_json()],
        reference={key: found[key] for key in ("params", "macs")},
    )


def prepared(options: ImportOptions, progress: ProgressCallback = silent) -> Prepared:
    """Read an ONNX file, fix its size, and find what it takes and gives.

    Raises:
        UsageError, DataError, ExportError: as import_onnx says.
    """
    path = Path(options.source)
    # Before the file is read: what is missing should cost no time.
    options.preprocess()
    model = read_network(path)
    entry = find_entry(path, model)
    if entry.bytes and not options.raw:
        raise UsageError(f"{path} takes bytes; give --raw instead of a normalization")
    spec = options.spec(path.name, _size(options, path, entry))
    fixed = with_input_shape(model, entry.name, entry.shape(spec.size_hw))
    check_tensors(path, fixed)
    network = simplified(path, in_float32(fixed))
    view = GraphView(network)
    end = find_exit(path, view, spec.size_hw, spec.class_names, options.output)
    _tell(progress, path, view, entry, end, spec)
    return Prepared(fixed, network, entry, end, spec)


def _size(options: ImportOptions, path: Path, entry: Entry) -> tuple[int, int]:
    if entry.size_hw is None:
        if options.size is None:
            raise UsageError(f"{path} takes pictures of any size; give --size HxW")
        return options.size
    if options.size not in (None, entry.size_hw):
        height, width = entry.size_hw
        raise UsageError(
            f"{path} is fixed at {height}x{width}; give --size {height}x{width}, or export it "
            "again with a dynamic height and width"
        )
    return entry.size_hw


def _step(path: Path, end: Exit) -> StepDone:
    metadata: Mapping[str, Any] = {
        "output": end.output,
        "gives": end.kind,
        "dropped": list(end.dropped),
    }
    return StepDone(IMPORT, {"file": path.name, "sha256": sha256_file(path)}, metadata)


def _tell(
    progress: ProgressCallback, path: Path, view: GraphView, entry: Entry, end: Exit,
    spec: ModelSpec,
) -> None:  # fmt: skip
    layout = "N,H,W,3" if entry.channels_last else "N,3,H,W"
    height, width = end.size_hw
    given = {
        "scores": f"scores of {spec.n_classes} classes",
        "score": f"the score of {spec.class_names[-1]}",
        "labels": "labels",
    }[end.kind]
    others = [name for name in view.outputs if name != end.output]
    parts = [
        f"takes {layout}",
        f"gives {given} as {end.output}, {height}x{width}",
        *([f"without {', '.join(dict.fromkeys(end.dropped))}"] if end.dropped else []),
        *([f"outputs {', '.join(others)} are left out"] if others else []),
    ]
    tell(progress, f"{path}: {'; '.join(parts)}")
