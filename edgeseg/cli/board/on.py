"""`edgeseg on`: run a verb on a board from the desk."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.board.places import boards_file, wheel_cache
from edgeseg.cli.common.output import print_json, print_table, relay, say
from edgeseg.core.suggest import unknown
from edgeseg.errors import EdgesegError, UsageError

if TYPE_CHECKING:
    from edgeseg.runtime.remote.boards import Board
    from edgeseg.runtime.remote.job import Ended, Session, Word

# What `on` does itself, beside the verbs that run on the board.
OWN = {
    "first-run": "edgeseg.cli.board.first_run:first_run",
    "install": "edgeseg.cli.board.on:install",
    "attach": "edgeseg.cli.board.on:attach",
    "stop": "edgeseg.cli.board.on:stop",
    "jobs": "edgeseg.cli.board.on:jobs",
}


@click.command(
    name="on",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: edgeseg on orin bench model --data synthetic:64 --html bench.html",
)
@click.argument("boards", metavar="BOARD[,BOARD…]")
@click.argument("verb")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]…")
def command(boards: str, verb: str, arguments: tuple[str, ...]) -> int:
    """Run VERB on a board that `edgeseg board add` named, as if it ran here.

    VERB is doctor, build, verify, bench, eval, stream, lint, gate or models, with its own
    ARGUMENTS. edgeseg is installed there where it is not; bundles and data are copied where they
    are not; what is written with -o, --html and the like comes back. What lies on the board
    already is named board:/PATH. The exit code is the verb's.

    VERB may also be one of these:

    first-run MODEL: the first hour of a board in one command, with a page.

    install: install or update edgeseg there.

    jobs: what runs and ran there.

    attach: go on reading a job whose line broke, and bring its results.

    stop: end what runs there.

    A broken line is taken up again; the run goes on meanwhile. Ctrl-C ends it there, a second one
    at once. One run at a time: a second desk is refused and told whose run it is.
    """
    from edgeseg.cli.board.arguments import ROLES
    from edgeseg.runtime.remote.boards import find_board, read_boards

    known = read_boards(boards_file())
    found = [find_board(known, name) for name in boards.split(",")]
    if len(set(found)) < len(found):
        raise UsageError(f"{boards} names a board twice")
    if verb in OWN:
        module, _, name = OWN[verb].partition(":")
        own: click.Command = getattr(importlib.import_module(module), name)
        result = own.main(
            list(arguments), prog_name=f"edgeseg on {boards} {verb}", standalone_mode=False,
            obj=found,
        )  # fmt: skip
        return result if isinstance(result, int) else 0
    if verb not in ROLES:
        raise UsageError(unknown("verb for a board", verb, [*ROLES, *OWN]))
    if len(found) > 1:
        return _on_several(found, verb, arguments)
    from edgeseg.cli.board.desk import on_boards

    words = verb_words(verb, arguments)
    (ended,) = on_boards(found, lambda session: session.run(words, ready(session)))
    if isinstance(ended, EdgesegError):
        raise ended
    tell_brought(found[0], ended)
    return ended.code


def verb_words(verb: str, arguments: Sequence[str], label: str = "") -> list[Word]:
    """Return a verb and its arguments as a Session takes them; `label` goes into results' names."""
    from edgeseg.cli import edgeseg_command
    from edgeseg.cli.board.arguments import words_for

    command = edgeseg_command.get_command(click.Context(edgeseg_command), verb)
    assert command is not None
    return words_for(verb, arguments, command, label=label)


def ready(session: Session) -> str:
    """Install edgeseg on a session's board where it is not, and return its wheel's hash."""
    from edgeseg.runtime.remote.wheel import edgeseg_wheel

    wheel, sha256 = edgeseg_wheel(wheel_cache())
    session.hello()
    session.install(wheel, sha256)
    return sha256


def tell_brought(board: Board, ended: Ended) -> None:
    """Say what came back from a board."""
    for path in ended.brought:
        say(f"from {board.name}: {path}")


def _on_several(boards: Sequence[Board], verb: str, arguments: Sequence[str]) -> int:
    from edgeseg.cli.board.desk import on_boards, worst

    asked = "--json" in arguments
    table = verb == "bench"
    given = [*arguments, "--json"] if table and not asked else list(arguments)

    # Before a board is asked anything: an argument that is wrong should cost no time.
    words = {board.name: verb_words(verb, given, board.name) for board in boards}

    def action(session: Session) -> Ended:
        return session.run(words[session.board.name], ready(session))

    found = on_boards(boards, action, quiet=True)
    documents: dict[str, Any] = {}
    codes = []
    for board, ended in zip(boards, found, strict=True):
        if isinstance(ended, EdgesegError):
            codes.append(ended.exit_code)
            documents[board.name] = {"error": str(ended)}
            continue
        codes.append(ended.code)
        tell_brought(board, ended)
        if asked or table:
            documents[board.name] = _json_of(ended)
        else:
            relay(f"{board.name}\n{ended.out}", sys.stdout)
    if asked:
        print_json({"boards": documents})
    elif table:
        rows = [row for name, each in documents.items() for row in bench_rows(name, each)]
        print_table(
            ("board", "row", "runs in", "mIoU", "p50 ms", "p99 ms", "FPS", "memory MB"), rows
        )
    return worst(codes)


def _json_of(ended: Ended) -> dict[str, Any]:
    try:
        document = json.loads(ended.out)
    except ValueError:
        return {"error": f"exit code {ended.code}, no document"}
    return document if isinstance(document, dict) else {"document": document}


def bench_rows(board: str, document: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of a bench's document for the table of several boards."""
    if "error" in document:
        return [(board, document["error"], *[None] * 6)]
    rows: list[tuple[object, ...]] = []
    for row in document["rows"]:
        infer = row["latency_ms"]["infer"]
        memory, accuracy = row.get("memory") or {}, row.get("accuracy") or {}
        peak = memory.get("peak_bytes")
        rows.append(
            (
                board,
                row["run"]["name"],
                row["backend"]["precision"],
                None if "miou" not in accuracy else f"{accuracy['miou']:.4f}",
                f"{infer['p50']:.2f}",
                f"{infer['p99']:.2f}",
                f"{row['run']['fps_of_infer']:.0f}",
                None if peak is None else f"{peak / 1e6:.1f}",
            )
        )
    return rows


@click.command(name="install")
@click.pass_obj
def install(boards: Sequence[Board]) -> None:
    """Install or update edgeseg on the boards."""
    from edgeseg.cli.board.desk import on_boards

    def action(session: Session) -> bool:
        from edgeseg.runtime.remote.wheel import edgeseg_wheel

        wheel, sha256 = edgeseg_wheel(wheel_cache())
        session.hello()
        return session.install(wheel, sha256)

    for board, fresh in zip(boards, on_boards(boards, action), strict=True):
        if not isinstance(fresh, EdgesegError):
            say(f"{board.name}: {'installed' if fresh else 'has this edgeseg already'}")


@click.command(name="attach")
@click.argument("job", required=False)
@click.pass_obj
def attach(boards: Sequence[Board], job: str | None) -> int:
    """Go on reading JOB, by default the one that runs or ran last, and bring its results."""
    from edgeseg.cli.board.desk import on_boards

    board = _one(boards, "attach")

    def action(session: Session) -> Ended:
        session.hello()
        return session.attach(job)

    (ended,) = on_boards([board], action)
    if isinstance(ended, EdgesegError):
        raise ended
    tell_brought(board, ended)
    return ended.code


@click.command(name="stop")
@click.option("--now", is_flag=True, help="At once: no report is written.")
@click.pass_obj
def stop(boards: Sequence[Board], now: bool) -> None:
    """End what runs on the boards, whoever started it."""
    from edgeseg.cli.board.desk import on_boards

    def action(session: Session) -> str:
        return session.stop(now=now) or ""

    for board, job in zip(boards, on_boards(boards, action), strict=True):
        if not isinstance(job, EdgesegError):
            say(f"{board.name}: {f'{job} has ended' if job else 'nothing runs there'}")


@click.command(name="jobs")
@click.pass_obj
def jobs(boards: Sequence[Board]) -> None:
    """List what runs and ran on the boards, the oldest first."""
    from edgeseg.cli.board.desk import on_boards

    found = on_boards(boards, lambda session: session.hello())
    rows = []
    for board, about in zip(boards, found, strict=True):
        if isinstance(about, EdgesegError):
            continue
        running = (about["holder"] or {}).get("job")
        for job in about["jobs"]:
            state = job["state"]
            if state != "ended":
                state = "running" if job["job"] == running else "lost"
            rows.append(
                (board.name, job["job"], job["who"]["who"], job["title"], state, job["code"])
            )
    print_table(("board", "job", "desk", "command", "state", "code"), rows)


def _one(boards: Sequence[Board], verb: str) -> Board:
    if len(boards) > 1:
        raise UsageError(f"{verb} is for one board; give one of them")
    return boards[0]
