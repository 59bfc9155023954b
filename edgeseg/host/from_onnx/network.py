"""An imported bundle's graph as a torch network: from normalized planes to scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import fx

from edgeseg.core.bundle import Bundle
from edgeseg.core.graph.logits_end import end_at_logits
from edgeseg.core.graph.view import GraphView, attributes, node_name
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import ExportError
from edgeseg.host.from_onnx.operators import OPERATORS, Draft, Place
from edgeseg.host.models.label_net import LabelNet

Runner = Callable[[onnx.ModelProto, np.ndarray], list[np.ndarray]]
# What an import calls the nodes that it puts before a network.
NORMALIZE = "edgeseg.normalize/"
TO_PIXELS = [0, 2, 3, 1]
# As an import is held to its file.
AGREEMENT = 0.999
FRAMES = 3
SEED = 20


def network_of(bundle: Bundle, run: Runner) -> fx.GraphModule:
    """Return the network of an imported FP32 bundle as layers of torch.

    Its labels are compared with the bundle's own on frames of the synthetic drive.

    Args:
        bundle: its graph is normalized by nodes that an import added.
        run: runs a graph as it stands on a frame, and returns its outputs.

    Raises:
        ExportError: an operator or form is not known in torch, or the labels differ.
    """
    model = onnx.load_from_string(bundle.onnx_bytes())
    whole = onnx.ModelProto.FromString(model.SerializeToString())
    logits = end_at_logits(model, model.graph.output[0].name)
    if logits is None:
        raise ExportError(
            f"{bundle.path} ends in labels, not in scores, so that nothing tells how sure it is "
            "while ranges are chosen; import the file with --output of its scores"
        )
    module = _converted(bundle, model, logits)
    net = LabelNet(bundle.spec, module).eval()
    drive = SyntheticDrive(bundle.spec.size_hw, seed=SEED, n=FRAMES)
    for index in range(FRAMES):
        frame = np.ascontiguousarray(drive.frame(index)[0][None])
        with torch.no_grad():
            found = net(torch.from_numpy(frame)).numpy()
        agreement = float((found == run(whole, frame)[0]).mean())
        if agreement < AGREEMENT:
            raise ExportError(
                f"{bundle.path} in torch gives the bundle's labels on {agreement:.2%} of a frame, "
                f"expected {AGREEMENT:.1%}; please report it with the file"
            )
    return module


def _converted(bundle: Bundle, model: onnx.ModelProto, logits: str) -> fx.GraphModule:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    view = GraphView(inferred)
    unknown = sorted(
        {
            node.op_type
            for node in inferred.graph.node
            if not node.name.startswith(NORMALIZE) and node.op_type not in OPERATORS
        }
    )
    if unknown:
        raise ExportError(
            f"{bundle.path} has operators that edgeseg cannot bring to torch: "
            f"{', '.join(unknown)}; import the network as package.module:callable"
        )
    draft = Draft()
    values: dict[str, Any] = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in inferred.graph.initializer
    }
    begin = _network_input(inferred.graph)
    values[begin] = draft.graph.placeholder("image")
    started = False
    for node in inferred.graph.node:
        if node.name.startswith(NORMALIZE) and not started:
            started = begin in node.output
            continue
        about, name = attributes(node), node_name(node)
        inputs = [values.get(each) if each else None for each in node.input]
        shape, before = view.shape_of(node.output[0]), view.shape_of(node.input[0])
        if shape is None or before is None or len(node.output) != 1:
            raise ExportError(f"{bundle.path}: the shape of {name!r} is not fixed")
        values[node.output[0]] = OPERATORS[node.op_type](
            Place(draft, name, inputs, about, shape, before)
        )
    draft.graph.output(values[logits])
    draft.graph.lint()
    return fx.GraphModule(draft.root, draft.graph, "Imported").eval()


def _network_input(graph: onnx.GraphProto) -> str:
    """Return the tensor N,3,h,w behind the normalization, before a turn to N,h,w,3."""
    ours = [node for node in graph.node if node.name.startswith(NORMALIZE)]
    planes = [
        node
        for node in ours
        if not (node.op_type == "Transpose" and attributes(node).get("perm") == TO_PIXELS)
    ]
    if not planes:
        raise ExportError("the bundle is none that edgeseg import wrote; give its checkpoint")
    return planes[-1].output[0]
