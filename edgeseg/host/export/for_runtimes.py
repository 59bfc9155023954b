"""A bundle for NVIDIA's own runtimes: the graph in their form, and their configuration filled in.

Nothing here has run in one of these runtimes. Each graph is run on ONNX Runtime, and its labels are
compared with the bundle's. What each runtime feeds and reads, and the keys of its files, are from
its public documents and sources; docs/runtimes.md says of each what was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from edgeseg.core.bundle import Bundle
from edgeseg.core.files import atomic_dir
from edgeseg.core.graph.form import Form
from edgeseg.core.graph.load import bundle_graph
from edgeseg.core.graph.runtime_forms import feed, in_form, labels_of
from edgeseg.core.graph.unpool_plugin import DOMAIN
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.export.runtimes import MODEL, RUNTIMES, readme

README = "README.txt"
# A runtime's own preprocessing rounds otherwise than the graph's, and softmax makes ties.
MIN_AGREEMENT = 0.999


def write_for_runtime(bundle: Bundle, name: str, folder: Path) -> float:
    """Write the graph and the configuration for a runtime; the folder appears complete or not.

    Args:
        bundle: the bundle.
        name: a key of RUNTIMES.
        folder: what is written; an earlier one of the same runtime is replaced.

    Returns:
        Share of the golden frame's pixels whose labels are the bundle's, both on ONNX Runtime.

    Raises:
        UsageError: the bundle names plugins, or other files stand at `folder`.
        ExportError: the graph is not one of edgeseg's exports, or its labels differ.
    """
    runtime = RUNTIMES[name]
    check_place(folder, name)
    source = bundle_graph(bundle)
    if any(node.domain == DOMAIN for node in source.graph.node):
        raise UsageError(
            f"{bundle.path} has operators of edgeseg's plugin, which {name} does not load; export "
            "it without --unpool plugin"
        )
    model = in_form(source, runtime.form)
    agreement = agreement_with(bundle, source, model, runtime.form)
    if agreement < MIN_AGREEMENT:
        raise ExportError(
            f"in the form for {name} {bundle.name} gives the bundle's labels on {agreement:.4f} of "
            f"the pixels, expected {MIN_AGREEMENT}; please report it"
        )
    texts = {**runtime.files(bundle, runtime.form), README: readme(bundle, name, runtime.form)}
    with atomic_dir(folder) as place:
        inside = place / runtime.folder
        inside.mkdir(parents=True, exist_ok=True)
        onnx.save(model, inside / MODEL)
        for file, text in texts.items():
            (place / file).write_text(text)
    return agreement


def check_place(folder: Path, name: str) -> None:
    """Refuse a folder that holds anything but an earlier export for the same runtime.

    Raises:
        UsageError: it does.
    """
    if not folder.exists():
        return
    readme = folder / README
    if not readme.is_file() or f"for {name}\n" not in readme.read_text(errors="replace"):
        raise UsageError(
            f"{folder} exists and is not an export for {name}; move it, or give another -o"
        )


def agreement_with(
    bundle: Bundle, source: onnx.ModelProto, model: onnx.ModelProto, form: Form
) -> float:
    """Return on which share of the golden frame's pixels two graphs give the same labels."""
    frame = bundle.golden().frame
    ours = _run(source, {source.graph.input[0].name: frame}, "labels")
    theirs = _run(model, {form.input_name: feed(form, frame)}, form.output_name)
    return float((labels_of(form, theirs) == ours).mean())


def _run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], output: str) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (found,) = session.run([output], dict(feeds))
    return found
