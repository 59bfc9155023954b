"""What `edgeseg tune --on BOARD` times candidates with."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from edgeseg.cli.board.desk import Terminal
from edgeseg.cli.board.on import ready
from edgeseg.cli.board.places import boards_file, desk
from edgeseg.runtime.remote.boards import find_board, read_boards
from edgeseg.runtime.remote.job import Session
from edgeseg.runtime.remote.timing import BoardTimer


def board_timer(name: str, backend: str | None, threads: int) -> BoardTimer:
    """Connect to a board, install edgeseg there where it is not, and return its timer.

    Args:
        name: the board's.
        backend: the runtime there; None is TensorRT on a Jetson, else ONNX Runtime.
        threads: of one inference; 0 is the runtime's choice.

    Raises:
        UsageError: the board is unknown.
        BoardError: it is not reachable, or edgeseg cannot be installed there.
    """
    board = find_board(read_boards(boards_file()), name)
    session = Session(board, Terminal(name, alone=True, quiet=True).listener(), desk=desk())
    sha256 = ready(session)
    if backend is None:
        backend = "tensorrt" if session.about["jetson"] else "onnxruntime"
    # Removed when the verb ends.
    held = tempfile.TemporaryDirectory(prefix="edgeseg-frame-")
    folder = Path(click.get_current_context().with_resource(held))
    return BoardTimer(session, sha256, folder, backend, threads)
