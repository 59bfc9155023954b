"""A loaded network that labels pictures: `edgeseg.load(NAME)(PICTURE)`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.data.census import check_data
from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import read_rgb
from edgeseg.core.zoo import find_bundle
from edgeseg.errors import UsageError
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.backends.choose import first_backend, options_for
from edgeseg.runtime.backends.open import open_backend
from edgeseg.runtime.evaluation.evaluate import EvalResult, evaluate, predict
from edgeseg.runtime.prediction.result import Result
from edgeseg.runtime.single_slot import Outcome
from edgeseg.runtime.sources.open import open_source

COLORS = ("rgb", "bgr")
# Longest wait for a camera's next frame before it is asked again.
WAIT_S = 1.0


def load(
    model: str | Path, *, backend: str = "auto", threads: int | None = None, **options: Any
) -> Model:
    """Load a network on a runtime of this machine.

    Args:
        model: the name of a shipped model, or a bundle's folder.
        backend: a runtime such as "onnxruntime"; "auto" takes the first that works here, a GPU's
            before a CPU's.
        threads: threads of one inference; None leaves the choice to the runtime.
        **options: further keyword arguments of the backend.

    Raises:
        UsageError: the model is neither a name nor a path that exists.
        BundleError: the bundle is damaged, or another file stands there; the message names the
            command that makes a bundle of it.
        BackendUnavailable: no such runtime is installed here.
    """
    bundle = find_bundle(str(model))
    name = first_backend(None if backend == "auto" else backend)
    opened = open_backend(name, bundle, **options_for(name, threads), **options)
    return Model(bundle, opened)


class Model:
    """A network that is called with pictures; a context manager that frees its runtime.

    One call at a time: a model is not safe from two threads at once.

    Attributes:
        bundle: what was loaded.
        backend: the runtime that holds it.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.backend = backend

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the runtime; calling the model afterwards raises BackendError."""
        self.backend.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the class names, by label."""
        return tuple(self.bundle.spec.class_names)

    def __call__(self, image: Any, *, color: str = "rgb") -> Any:
        """Label a picture, or each of a list.

        Args:
            image: an array of uint8, h w 3 or h w (grey), of any size; a path, whose EXIF rotation
                is applied; a PIL image; or a list of these.
            color: order of an array's channels, "rgb" or "bgr" as OpenCV reads it.

        Returns:
            A Result, or a list of them for a list.

        Raises:
            UsageError: what was given is no picture.
            DataError: a file is missing or is not an image.
            BackendError: the runtime failed.
        """
        if color not in COLORS:
            raise UsageError(f"color is {color!r}, expected 'rgb' or 'bgr'")
        if isinstance(image, list | tuple):
            return [self(each, color=color) for each in image]
        source = str(image) if isinstance(image, str | Path) else ""
        return self._label(as_rgb(image, color), source)

    def evaluate(self, data: str, *, split: str = "val", limit: int | None = None) -> EvalResult:
        """Score the network on labelled data, as `edgeseg eval` does.

        Args:
            data: a data folder, "synthetic" or "synthetic:N".
            split: "train", "val" or "test".
            limit: score this many images at most, spread evenly.

        Raises:
            DataError: the folder is missing or is no data set.
            BackendError: the runtime failed.
        """
        spec = self.bundle.spec
        dataset = open_dataset(data, split, size_hw=spec.size_hw, limit=limit)
        check_data(None, dataset)
        return evaluate(self.backend, spec, dataset)

    def stream(
        self, source: str | Path, *, live: bool = False, timeout_s: float = 10.0
    ) -> Iterator[Result]:
        """Label the frames of a camera, a video, a folder or the synthetic drive, one by one.

        Args:
            source: as for `edgeseg stream`: a path, `rtsp://…`, `v4l2:///dev/video0`, …
            live: read a file at its own rate and drop what comes too late, as a camera does.
            timeout_s: end with a TimeoutError when no frame came for so long.

        Raises:
            UsageError: unknown source or option.
            SourceError: it cannot be opened, or failed.
            TimeoutError: a camera gave nothing for `timeout_s`.
        """
        pace = 30.0 if live and "://" not in str(source) else None
        with open_source(str(source), self.bundle.spec, pace_fps=pace) as opened:
            last = time.monotonic()
            while True:
                frame = opened.read(WAIT_S)
                if frame is Outcome.TIMEOUT:
                    if time.monotonic() - last > timeout_s:
                        raise TimeoutError(f"{opened.uri}: no frame in {timeout_s:g} s")
                    continue
                if isinstance(frame, Outcome):
                    return
                last = time.monotonic()
                yield self._label(frame.rgb, frame.name or f"{opened.uri}#{frame.index}")

    def _label(self, rgb: np.ndarray, source: str) -> Result:
        spec = self.bundle.spec
        labels = predict(self.backend, spec, rgb)
        return Result(rgb, labels, self.names, spec.palette, source)


def as_rgb(image: Any, color: str = "rgb") -> np.ndarray:
    """Return a picture as uint8, h w 3, RGB, contiguous.

    Raises:
        UsageError: it is none of an array of uint8, a path and a PIL image.
        DataError: the file is missing or is not an image.
    """
    if isinstance(image, str | Path):
        return read_rgb(Path(image))
    if type(image).__module__.startswith("PIL."):
        from PIL import ImageOps

        return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.size == 0:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(
            f"a picture of type {kind} was given, expected a uint8 array (h w 3), a path or a "
            "PIL image"
        )
    if image.ndim == 2 or _channels(image.shape) == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    if _channels(image.shape) != 3:
        raise UsageError(
            f"an array of shape {image.shape} was given, expected h w 3 or h w; drop an alpha "
            "channel with image[..., :3]"
        )
    return np.ascontiguousarray(image[..., ::-1] if color == "bgr" else image)


def _channels(shape: Sequence[int]) -> int:
    return shape[2] if len(shape) == 3 else 0
