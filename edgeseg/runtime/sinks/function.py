"""`python:module:name` and `python:FILE.py:name`: every result goes to a function of the user's."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeseg.errors import EdgesegError, SinkError, UsageError
from edgeseg.runtime.prediction.result import Result
from edgeseg.runtime.sinks.base import Left, Prediction, Sink, SinkRequest

EXAMPLE = "python:my_module:on_frame or python:./my_file.py:on_frame"


@dataclasses.dataclass(frozen=True)
class FrameResult(Result):
    """What the function is called with: the labels of one frame, and where it stands.

    Attributes:
        index: the frame's number in the source, dropped ones counted.
        unix_s: when it arrived, seconds since 1970.
        media_s: time in the video or by the camera's own clock; None where there is none.
        latency_ms: by stage, as in JSON lines.
    """

    index: int = 0
    unix_s: float = 0.0
    media_s: float | None = None
    latency_ms: dict[str, float] = dataclasses.field(default_factory=dict)


class FunctionSink(Sink):
    """Calls a function with a FrameResult for each frame, in order, from one thread.

    A class is made once, without arguments, and called; what has a `close` is closed at the end. A
    module is imported as Python finds it, without the working directory; a file is named by its
    path. The arrays must not be changed.
    """

    example = "python:builtins:id"

    def __init__(
        self,
        request: SinkRequest,
        clock: Callable[[], int] = time.perf_counter_ns,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Import the function.

        Raises:
            UsageError: there is no such module, file or name, or it cannot be called.
            SinkError: its module, or making its class, raised an error.
        """
        self.uri = request.uri
        self._request = request
        self._clock, self._wall = clock, wall
        place, sign, name = request.rest.rpartition(":")
        if not sign or not place or not name:
            raise UsageError(f"{request.uri}: expected {EXAMPLE}")
        try:
            found = getattr(_module(place), name)
            self._call: Any = found() if isinstance(found, type) else found
        except AttributeError as error:
            raise UsageError(f"{request.uri}: {place} has no {name}; expected {EXAMPLE}") from error
        except EdgesegError:
            raise
        except Exception as error:
            raise SinkError(
                f"{request.uri} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not callable(self._call):
            raise UsageError(f"{request.uri}: {name} of {place} cannot be called")

    def write(self, prediction: Prediction) -> None:
        """Call the function."""
        frame = prediction.frame
        result = FrameResult(
            frame.rgb,
            prediction.labels,
            self._request.class_names,
            self._request.palette,
            frame.name,
            index=frame.index,
            unix_s=self._wall() - (self._clock() - frame.captured_ns) / 1e9,
            media_s=frame.media_s,
            latency_ms={name: ns / 1e6 for name, ns in prediction.took_ns().items()},
        )
        try:
            self._call(result)
        except Exception as error:
            raise SinkError(f"{self.uri} raised {type(error).__name__}: {error}") from error

    def finish(self) -> Left | None:
        """Close what has a `close`; it leaves nothing that edgeseg could count."""
        close, self._call = getattr(self._call, "close", None), None
        if callable(close):
            try:
                close()
            except Exception as error:
                raise SinkError(
                    f"{self.uri} raised {type(error).__name__} at its end: {error}"
                ) from error
        return None


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                raise
            raise UsageError(
                f"no module {place} is installed; give a file by its path, as "
                f"python:./{place}.py:NAME"
            ) from error
    path = Path(place)
    if not path.is_file():
        raise UsageError(f"{path} does not exist; expected {EXAMPLE}")
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file; expected {EXAMPLE}")
    module = importlib.util.module_from_spec(spec)
    # As its own import would: dataclasses and pickles look a module up by its name.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
