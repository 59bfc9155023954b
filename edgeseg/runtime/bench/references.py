"""Backends to compare with: a plain loop over ONNX Runtime's session, and any function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.backends.base import INPUT, OUTPUT, Backend, BackendIo
from edgeseg.runtime.backends.kernels import open_onnxruntime, precision_of


class CallableBackend(Backend):
    """A function from frames to labels, for what has no backend here, such as torch.

    Nothing is checked: the row shows what the function costs by itself.

    Args:
        function: takes frames "1 h w 3" and gives labels "1 h w" when it is done, both uint8.
        io: what it is.
    """

    def __init__(
        self,
        function: Callable[[UInt8[np.ndarray, "n h w 3"]], UInt8[np.ndarray, "n h w"]],
        io: BackendIo,
    ) -> None:
        self.io = io
        self._function = function

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel."""
        return self._function(frames)

    def close(self) -> None:
        """Keep nothing: the function owns what it needs."""


def bare_onnxruntime(bundle: Bundle, threads: int | None) -> Backend:
    """Open a session as the runtime's own manual does and call it in a plain loop.

    What the same file on the onnxruntime backend costs beyond this is edgeseg's own.

    Raises:
        BackendUnavailable: onnxruntime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendUnavailable(
            "the bare row needs onnxruntime; pip install 'edgeseg[onnxruntime]'"
        ) from error
    from edgeseg.core.graph.load import bundle_graph

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session, kernels = open_onnxruntime(bundle_graph(bundle).SerializeToString(), options)
    shape = (1, *bundle.spec.size_hw, 3)
    io = BackendIo(
        f"onnxruntime {ort.__version__}, bare loop",
        "cpu",
        precision_of(kernels),
        threads,
        shape,
        kernels,
    )
    return CallableBackend(lambda frames: session.run([OUTPUT], {INPUT: frames})[0], io)
