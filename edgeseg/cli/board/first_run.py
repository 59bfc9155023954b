"""`edgeseg on BOARD first-run MODEL`: the first hour of a board in one command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.common.options import DURATION, PATH, json_option
from edgeseg.cli.common.output import print_json, print_table, say
from edgeseg.core.output_checks import check_folder
from edgeseg.errors import EdgesegError

if TYPE_CHECKING:
    from edgeseg.runtime.remote.boards import Board
    from edgeseg.runtime.remote.job import Sent, Session

PAGE, ROW = "index.html", "row.md"


@click.command(name="first-run")
@click.argument("model")
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="BUNDLE",
    help="One more bundle in the bench, such as the FP16 twin of MODEL; may be repeated.",
)
@click.option(
    "--data",
    default="synthetic:64",
    show_default=True,
    help="What the bench scores on: synthetic:N, a folder, or board:/FOLDER there.",
)
@click.option(
    "--source",
    default="synthetic://?fps=30",
    show_default=True,
    help="What is streamed, such as csi://0.",
)
@click.option(
    "--seconds",
    type=DURATION,
    default="60s",
    show_default=True,
    help="How long it streams; 5m shows what heat does.",
)
@click.option(
    "-o", "--out", type=PATH, help="Folder of the results.  [default: runs/first-run/BOARD]"
)
@json_option
@click.pass_obj
def first_run(
    boards: Sequence[Board],
    model: str,
    others: tuple[str, ...],
    data: str,
    source: str,
    seconds: float,
    out: Path | None,
    as_json: bool,
) -> int:
    """Install edgeseg on the board, then doctor, verify, build, bench and stream MODEL there.

    The folder gets index.html with all of it, first-run.json, the reports, and row.md, the row for
    the table of boards in jetson.md. A step that fails is a finding and does not end the run.
    """
    from edgeseg.cli.board.arguments import place_word
    from edgeseg.cli.board.desk import on_boards, worst
    from edgeseg.cli.board.on import ready
    from edgeseg.runtime.remote.first_run import FirstRunOptions
    from edgeseg.runtime.remote.first_run import first_run as run_all

    def word(role: str, option: str, value: str) -> Sent | str:
        return place_word(role, value, option)

    folders = {
        board.name: (out or Path("runs") / "first-run") / board.name
        if out is None or len(boards) > 1
        else out
        for board in boards
    }
    for folder in folders.values():
        check_folder("-o", folder)
    given = {
        "model": word("bundle", "MODEL", model),
        "others": tuple(word("bundle", "--with", other) for other in others),
        "data": word("data", "--data", data),
        "source": word("data", "--source", source),
    }

    def action(session: Session) -> dict[str, Any]:
        sha256 = ready(session)
        options = FirstRunOptions(
            **given,  # type: ignore[arg-type]
            seconds=seconds,
            folder=folders[session.board.name],
        )
        return run_all(session, sha256, options, say)

    found = on_boards(boards, action, quiet=True)
    documents: dict[str, Any] = {}
    codes: list[int] = []
    for board, document in zip(boards, found, strict=True):
        if isinstance(document, EdgesegError):
            codes.append(document.exit_code)
            continue
        codes += [step["code"] for step in document["steps"]]
        documents[board.name] = document
        _write(folders[board.name], document)
        say(f"page: {folders[board.name] / PAGE}")
    if as_json:
        print_json(next(iter(documents.values())) if len(boards) == 1 else {"boards": documents})
    else:
        _print(documents)
    return worst(codes)


def _write(folder: Path, document: Mapping[str, Any]) -> None:
    import edgeseg
    from edgeseg.cli.pages.html import write_page
    from edgeseg.core.files import atomic_write_text
    from edgeseg.runtime.remote.first_run import BENCH_PAGE, COLUMNS, markdown_row

    line = markdown_row(document["row"])
    head = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    atomic_write_text(folder / ROW, f"{head}{line}\n")
    held = {step["name"]: step["document"] or {} for step in document["steps"]}
    write_page(
        folder / PAGE,
        "first_run.html",
        version=edgeseg.__version__,
        document=document,
        columns=COLUMNS,
        row=[document["row"][column] for column in COLUMNS],
        line=line,
        steps=[
            (
                step["name"],
                "ok" if step["code"] == 0 else f"exit code {step['code']}",
                f"{step['seconds']:.0f} s",
                step["note"],
            )
            for step in document["steps"]
        ],
        findings=[
            (each["name"], each["status"], each["found"], each["cure"])
            for each in held.get("doctor", {}).get("checks", ())
            if each["status"] != "ok"
        ],
        verified=[
            (each["backend"], each["runtime"], each["precision"], f"{each['agreement']:.4f}",
             "ok" if each["ok"] else "differs")
            for each in held.get("verify", {}).get("results", ())
        ],
        engines=[
            (each["precision"], each["runs_in"], f"{each['latency_ms']['p50']:.3f}",
             f"{each['latency_ms']['p99']:.3f}", f"{each['golden_agreement']:.4f}",
             f"{each['bytes'] / 1e6:.1f}")
            for each in held.get("build", {}).get("engines", ())
        ],
        int8=held.get("build", {}).get("fp16_over_int8"),
        rows=_bench_rows(document["board"], held.get("bench")),
        bench_page=BENCH_PAGE if (folder / BENCH_PAGE).is_file() else "",
        stream=_stages(held.get("stream")),
        commands=[step["command"] for step in document["steps"]],
    )  # fmt: skip


def _bench_rows(board: str, document: Mapping[str, Any] | None) -> list[tuple[object, ...]]:
    from edgeseg.cli.board.on import bench_rows

    return [line[1:] for line in bench_rows(board, document)] if document else []


def _stages(document: Mapping[str, Any] | None) -> list[tuple[str, ...]]:
    if not document:
        return []
    return [
        (stage.replace("_", " "), *(f"{times[key]:.2f}" for key in ("p50", "p90", "p99")))
        for stage, times in document["latency_ms"].items()
    ]


def _print(documents: Mapping[str, Any]) -> None:
    from edgeseg.runtime.remote.first_run import COLUMNS

    if not documents:
        return
    steps = [
        (name, step["name"], "ok" if step["code"] == 0 else step["code"],
         f"{step['seconds']:.0f} s", step["note"] or None)
        for name, document in documents.items()
        for step in document["steps"]
    ]  # fmt: skip
    print_table(("board", "step", "exit", "took", "why"), steps)
    print_table(
        COLUMNS,
        [
            [document["row"][column] for column in COLUMNS]
            for document in documents.values()
        ],
    )  # fmt: skip
