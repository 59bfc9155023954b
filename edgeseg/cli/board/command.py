"""`edgeseg board`: the boards that `edgeseg on` knows by name."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseg.cli.board.places import boards_file
from edgeseg.cli.common.options import json_option
from edgeseg.cli.common.output import print_json, print_table, say


@click.group(name="board", epilog="Example: edgeseg board add orin nvidia@192.168.1.20")
def command() -> None:
    """Name the boards that `edgeseg on` runs on; ssh reaches them."""


@command.command(name="add", epilog="Example: edgeseg board add orin nvidia@192.168.1.20")
@click.argument("name")
@click.argument("target", metavar="USER@HOST")
@click.option("--port", type=int, help="Port of its ssh.  [default: ssh's own choice]")
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File of the private key.  [default: ssh's own choice]",
)
@click.option("--folder", help="edgeseg's folder there, a whole path.  [default: ~/.edgeseg]")
@click.option(
    "--extras",
    help="pip extras to install there, such as tensorrt,onnxruntime.  [default: on a Jetson "
    "tensorrt, onnxruntime and rtsp, elsewhere onnxruntime and rtsp; cv where no OpenCV is]",
)
@click.option("--unchecked", is_flag=True, help="Do not connect to it now.")
def add(
    name: str,
    target: str,
    port: int | None,
    key: Path | None,
    folder: str | None,
    extras: str | None,
    unchecked: bool,
) -> None:
    """Name the board at USER@HOST, or replace what NAME stood for, and try to reach it.

    HOST may be an alias of ~/.ssh/config. Logging in must work by key; edgeseg never asks for a
    password and never accepts an unknown host key, but says what to type.
    """
    from edgeseg.runtime.remote.boards import Board, parse_target, read_boards, write_boards

    user, host = parse_target(target)
    board = Board(
        name=name,
        host=host,
        user=user,
        port=port,
        key=None if key is None else str(key.absolute()),
        folder=None if folder is None else folder.rstrip("/"),
        extras=None if extras is None else tuple(each for each in extras.split(",") if each),
    )
    place = boards_file()
    known = read_boards(place)
    write_boards(place, {**known, name: board})
    say(f"{name} is {board.target}, kept in {place}")
    if not unchecked:
        from edgeseg.runtime.remote.calls import call

        about = call(board, "hello")
        what = about["name"] or about["machine"]
        say(
            f"{name} answers: {what}, Python {about['python']}, "
            f"{about['free'] / 1e9:.1f} GB free in {about['folder']}"
        )


@command.command(name="list", epilog="Example: edgeseg board list")
@json_option
def list_boards(as_json: bool) -> None:
    """List the named boards."""
    from edgeseg.runtime.remote.boards import read_boards

    place = boards_file()
    known = read_boards(place)
    if as_json:
        print_json({"boards": {name: board.to_json() for name, board in known.items()}})
        return
    if not known:
        say(f"no board in {place}; name one: edgeseg board add NAME user@host")
        return
    print_table(
        ("board", "target", "port", "key", "folder", "extras"),
        [
            (
                name,
                board.target,
                board.port,
                board.key,
                board.folder or "~/.edgeseg",
                None if board.extras is None else ",".join(board.extras),
            )
            for name, board in known.items()
        ],
    )


@command.command(name="remove", epilog="Example: edgeseg board remove orin")
@click.argument("name")
def remove(name: str) -> None:
    """Forget a board; what is installed on it stays there."""
    from edgeseg.runtime.remote.boards import find_board, read_boards, write_boards

    place = boards_file()
    known = read_boards(place)
    board = find_board(known, name)
    write_boards(place, {key: value for key, value in known.items() if key != name})
    say(
        f"{name} ({board.target}) is forgotten; to remove edgeseg there as well: ssh "
        f"{board.target} rm -r {board.folder or '.edgeseg'}"
    )
