"""Calls a function in a process of its own, so that a crash there is an error here."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from edgeseg import errors
from edgeseg.errors import BackendError, EdgesegError

JOIN_S = 10.0
PARENT_S = 1.0
# The child imports from where the parent did, also where the parent changed its sys.path; -I keeps
# the working directory out of it until then.
CHILD = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from edgeseg.runtime.engine.subprocess_call import serve; serve(int(sys.argv[1]))"
)


def call_in_subprocess(
    function: Callable[..., Any],
    *args: Any,
    what: str,
    progress: Callable[..., None] = lambda *args: None,
) -> Any:
    """Call `function(*args, progress=…)` in a new process and return its result.

    A native library that ends its process, or a kernel that ends it for want of memory, leaves
    this process alive. Memory the call used is given back in full.

    Args:
        function: a function of a module; it, its arguments and its result must pickle.
        *args: its arguments.
        what: what is being done, for messages: "building the engine of model".
        progress: gets what the function gives to its own `progress`.

    Raises:
        EdgesegError: the one that the function raised.
        BackendError: it raised anything else, or the process ended without a result.
    """
    receiving, sending = multiprocessing.Pipe(duplex=False)
    # Not multiprocessing's own processes: they run the caller's main script a second time.
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", CHILD, str(sending.fileno())],
        stdin=subprocess.PIPE,
        pass_fds=[sending.fileno()],
        # Ctrl-C goes to a whole group; what it means is decided here.
        start_new_session=True,
    )
    sending.close()
    answer: tuple[str, Any] | None = None
    try:
        assert process.stdin is not None  # a PIPE was asked for
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            stream.write(pickle.dumps(sys.path) + pickle.dumps((function, args)))
        while answer is None:
            try:
                kind, value = receiving.recv()
            except OSError as error:
                # It was ended in the middle of what it sent.
                raise EOFError from error
            if kind == "progress":
                progress(*value)
            else:
                answer = kind, value
    except EOFError:
        # It closed its end, or the system did: it is ending.
        pass
    except BaseException:
        process.kill()
        raise
    finally:
        _end(process)
        receiving.close()
    if answer is None:
        raise BackendError(f"{what} failed: {_ending(process.returncode)}")
    kind, value = answer
    if kind == "result":
        return value
    name, message = value
    error_class = getattr(errors, name, None)
    if not (isinstance(error_class, type) and issubclass(error_class, EdgesegError)):
        error_class, message = BackendError, f"{what} failed: {name}: {message}"
    raise error_class(message)


def serve(handle: int) -> None:
    """Do the work in the child: read it from standard input, answer on file descriptor `handle`."""
    sending: Connection = Connection(handle, readable=False)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        function, args = pickle.load(sys.stdin.buffer)
        result = function(*args, progress=lambda *given: sending.send(("progress", given)))
        sending.send(("result", result))
    except BaseException as error:
        lines = str(error).strip().splitlines()
        sending.send(("error", (type(error).__name__, lines[0] if lines else "")))
    finally:
        sending.close()


def _end_with(parent: int) -> None:
    """End this process once its parent is gone: nobody is left to take the result."""
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(1)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(JOIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(JOIN_S)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with code {code} and without a result"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if -code == signal.SIGKILL:
        return (
            f"its process was ended by {name}, most likely for want of memory; close other "
            "programs or the desktop, add swap, or give a smaller --workspace"
        )
    return (
        f"its process was ended by {name} inside a native library; run edgeseg doctor, and "
        "trtexec --onnx=model.onnx to see whether TensorRT alone does the same"
    )
