"""Backend: one loaded bundle on one runtime, from a frame to its labels."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from edgeseg.errors import BackendError
from edgeseg.runtime.closeable import Closeable

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle

INPUT = "frame"
OUTPUT = "labels"
ENDS_AT_LABELS = (
    "this graph gives no scores per class: it does not end with export's own resize and argmax, "
    "or its file's own arithmetic was asked for; export it with edgeseg export"
)
# The un-pool plugin's operators begin with it.
PLUGIN_OPERATOR = b"EdgesegMax"


@dataclasses.dataclass(frozen=True)
class BackendIo:
    """What a backend takes, and what it really runs on.

    Attributes:
        runtime: name and version, e.g. "onnxruntime 1.31.1".
        device: "cpu", or the device's own name.
        precision: the arithmetic that really runs, e.g. "int8+f32" or "bf16". A runtime may
            choose another one than the bundle's.
        threads: threads of one inference, None for the runtime's own choice.
        frame_shape: n, h, w, 3 of `infer`'s argument.
        kernels: the loaded layers by arithmetic, such as {"int8": 65, "f32": 1}: convolutions and
            matrix products, on TensorRT all layers; empty where the runtime does not tell.
    """

    runtime: str
    device: str
    precision: str
    threads: int | None
    frame_shape: tuple[int, int, int, int]
    kernels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values for reports."""
        document = dataclasses.asdict(self)
        document["frame_shape"] = list(self.frame_shape)
        document["kernels"] = dict(self.kernels)
        return document


class Backend(Closeable):
    """A runtime with a loaded graph; a context manager that frees it.

    One call at a time: `infer` is not safe from two threads at once.

    A class says what a machine needs to run it. These facts are read before the runtime is known
    to be installed, so a backend's module imports its runtime when it is opened, not at its top:

    - packages: the packages it imports. Of names joined by "|" one is enough.
    - cures: how to get a package, where that is not `pip install 'edgeseg[NAME OF THE BACKEND]'`.
    - needs_gpu: an NVIDIA GPU and its driver are needed beside the packages.

    Attributes:
        io: what it takes and runs on.
        memory: bytes the runtime itself knows of, by name; empty where it does not say.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    cures: ClassVar[Mapping[str, str]] = MappingProxyType({})
    needs_gpu: ClassVar[bool] = False

    io: BackendIo
    memory: Mapping[str, int] = MappingProxyType({})

    @abc.abstractmethod
    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel.

        The returned array belongs to the backend and holds only until the next call; copy it to
        keep it. `frames` may be reused as soon as the call returns.

        Raises:
            BackendError: wrong shape or dtype, the runtime failed, or the backend is closed.
        """

    def logits(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n k h2 w2"]:
        """Return the network's scores per class, at the size that it gives them.

        The bundle's own labels are the largest of them after a bilinear resize to the frame's size
        (half-pixel centres). Who owns the arrays is as for `infer`.

        Raises:
            BackendError: this runtime, or this graph, gives labels alone; or as `infer`.
        """
        raise BackendError(
            f"{self.io.runtime} gives labels alone; for scores per class use --backend onnxruntime "
            "or openvino"
        )


def check_labels(labels: np.ndarray, io: BackendIo) -> None:
    """Refuse labels that no caller can use: a graph's declared shape binds no runtime.

    Raises:
        BackendError: they are not one byte for each pixel of the frames.
    """
    if labels.shape != io.frame_shape[:3] or labels.dtype != np.uint8:
        raise BackendError(
            f"the graph gives {labels.dtype} {labels.shape}, expected uint8 {io.frame_shape[:3]}; "
            "export it with edgeseg export"
        )


def check_logits(logits: np.ndarray, io: BackendIo, classes: int) -> None:
    """Refuse scores per class that no labels can be made of.

    Raises:
        BackendError: they are not one plane a class for each frame.
    """
    frames = io.frame_shape[0]
    if logits.ndim != 4 or logits.shape[:2] != (frames, classes) or logits.dtype.kind != "f":
        raise BackendError(
            f"the graph gives {logits.dtype} {logits.shape} before its labels, expected floats "
            f"({frames}, {classes}, h, w); export it with edgeseg export"
        )


def check_frames(frames: np.ndarray, io: BackendIo) -> None:
    """Refuse frames that the graph cannot take.

    Raises:
        BackendError: dtype, shape or memory layout differs from `io`.
    """
    if frames.dtype != np.uint8 or frames.shape != io.frame_shape:
        wanted = "x".join(map(str, io.frame_shape))
        given = "x".join(map(str, frames.shape))
        raise BackendError(
            f"frames are {frames.dtype} {given}, expected uint8 {wanted} (n, h, w, RGB); "
            "letterbox them to the bundle's size_hw"
        )


# Frames of one call: a graph that says more asks for memory that no board has.
MOST_FRAMES = 1024


def graph_shape(
    given: Sequence[Any], size_hw: tuple[int, int], path: Path, channels: int = 3
) -> tuple[int, int, int, int]:
    """Return n, h, w, 3 of a graph's input.

    Args:
        given: what the runtime says of it.
        size_hw: height and width of the manifest.
        path: the graph, for messages.
        channels: of the graph as it was loaded, which may be wider than the file.

    Raises:
        BackendError: the shape is open, of more than MOST_FRAMES frames, or not the manifest's.
    """
    batch = given[0] if given and isinstance(given[0], int) and 0 < given[0] <= MOST_FRAMES else 1
    shape = (batch, *size_hw, 3)
    if tuple(given) != (*shape[:3], channels):
        raise BackendError(
            f"{path} takes frames {list(given)}, its manifest says {list(shape)}; export it again"
        )
    return shape


def load_advice(bundle: Bundle) -> str:
    """Return what to do about a bundle that a CPU's runtime cannot load."""
    # The name of the plugin's operators stands in the file as it is.
    if PLUGIN_OPERATOR in bundle.onnx_bytes():
        return (
            "its un-pooling is TensorRT's plugin (export --unpool plugin), which only TensorRT 10 "
            "and 11 run, with EDGESEG_PLUGIN set"
        )
    return "export the bundle again"


def first_line(error: BaseException) -> str:
    """Return the first non-empty line of a runtime's message, shortened for one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 240 else text[:237] + "..."
