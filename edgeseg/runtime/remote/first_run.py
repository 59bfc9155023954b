"""The first hour of a board: look, verify, build, measure, stream, and one row of figures."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.report import Report
from edgeseg.runtime.remote.job import Brought, Ended, Sent, Session, Word

DOCUMENT, BENCH, STREAM = "first-run.json", "bench.json", "stream.json"
BENCH_PAGE = "bench.html"
ERROR = "edgeseg: error: "
COLUMNS = (
    "board", "mode", "date", "bundle", "FPS", "end-to-end p50 / p99", "peak memory", "mIoU",
    "report",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FirstRunOptions:
    """What is run.

    Attributes:
        model: the bundle: a Sent folder, or a zoo name.
        others: more bundles for the bench, such as the FP16 twin.
        data: what the bench scores on.
        source: what is streamed.
        seconds: how long.
        folder: where reports and the page go.
    """

    model: Sent | str
    others: tuple[Sent | str, ...]
    data: Sent | str
    source: Sent | str
    seconds: float
    folder: Path


@dataclasses.dataclass(frozen=True)
class Step:
    """One verb of the first run.

    Attributes:
        name: the verb.
        command: what it would be by hand.
        code: its exit code.
        seconds: how long it took, with the copies.
        note: why it failed, empty where it did not.
        document: what it printed or wrote as JSON, None where nothing.
    """

    name: str
    command: str
    code: int
    seconds: float
    note: str
    document: Mapping[str, Any] | None


def first_run(
    session: Session,
    wheel_sha256: str,
    options: FirstRunOptions,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Run every step on a board where edgeseg is installed, and write the document.

    A step that fails does not end the run: what the board cannot do yet is a finding. Only a stop
    by the user does.

    Args:
        session: after hello and install.
        wheel_sha256: of the edgeseg there.
        options: what is run.
        told: gets a line when a step begins, and one when it failed.

    Returns:
        The document: board, steps with their own documents, and the row of figures.

    Raises:
        BoardError: the line stays broken, or another desk took the board.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    steps: list[Step] = []
    for words, written in _plan(options):
        told(f"{session.board.name}: {words[0]}")
        step, stopped = _step(session, wheel_sha256, words, written)
        steps.append(step)
        if step.note:
            told(f"{session.board.name}: {step.name}: {step.note}")
        if stopped:
            told(f"{session.board.name}: stopped; the steps after {step.name} were not run")
            break
    about = session.about
    document = {
        "format": 1,
        "board": session.board.name,
        "name": about["name"] or about["machine"],
        "python": about["python"],
        "date": datetime.datetime.now().date().isoformat(),
        "model": _shown(options.model),
        "steps": [dataclasses.asdict(step) for step in steps],
    }
    document["row"] = row(document)
    atomic_write_text(options.folder / DOCUMENT, json.dumps(document, indent=1) + "\n")
    return document


def row(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures for the table of boards, by COLUMNS; "-" where there is none.

    The figures are the stream's; where its source has no truth, mIoU is the bench's.
    """
    held = {step["name"]: step["document"] for step in document["steps"]}
    found = dict.fromkeys(COLUMNS, "-")
    found |= {"board": document["name"], "date": document["date"], "bundle": document["model"]}
    miou = _bench_miou(held.get("bench"))
    if held.get("stream"):
        report = Report.from_json(held["stream"])
        machine, whole = report.machine, report.latency_ms.get("end_to_end")
        found["board"] = machine.get("board") or machine.get("cpu") or document["name"]
        mode = machine.get("power_mode_name") or machine.get("power_mode")
        found["mode"] = str(mode) if mode is not None else "-"
        where = f"{report.backend.get('runtime')}, {report.backend.get('precision')}"
        found["bundle"] = f"{report.bundle.name} ({where})"
        if report.fps is not None:
            found["FPS"] = f"{report.fps:.1f}"
        if whole is not None:
            found["end-to-end p50 / p99"] = f"{whole.p50:.1f} / {whole.p99:.1f} ms"
        if report.memory is not None:
            found["peak memory"] = f"{report.memory.peak_bytes / (1 << 20):.0f} MiB"
        if report.accuracy is not None:
            miou = report.accuracy.miou
        found["report"] = STREAM
    if miou is not None:
        found["mIoU"] = f"{miou:.4f}"
    return found


def markdown_row(figures: Mapping[str, str]) -> str:
    """Return the row as a line of a Markdown table."""
    return "| " + " | ".join(figures[column].replace("|", "/") for column in COLUMNS) + " |"


def _plan(options: FirstRunOptions) -> list[tuple[list[Word], Path | None]]:
    folder = options.folder
    bench, stream = folder / BENCH, folder / STREAM
    page = folder / BENCH_PAGE
    return [
        (["doctor", "--json"], None),
        (["verify", options.model, "--json"], None),
        (["build", options.model, "--json"], None),
        (
            ["bench", options.model, *options.others, "--data", options.data,
             "-o", Brought(bench, str(bench)), "--html", Brought(page, str(page))],
            bench,
        ),
        (
            ["stream", options.model, options.source, "null",
             "--seconds", f"{options.seconds:g}", "-o", Brought(stream, str(stream))],
            stream,
        ),
    ]  # fmt: skip


def _step(
    session: Session, wheel_sha256: str, words: Sequence[Word], written: Path | None
) -> tuple[Step, bool]:
    errors: list[str] = []
    told = session.listener.err

    def err(line: str) -> None:
        if line.startswith(ERROR):
            errors.append(line.removeprefix(ERROR).strip())
        else:
            told(line)

    if written is not None:
        written.unlink(missing_ok=True)
    began = time.monotonic()
    session.listener.err = err
    try:
        ended = session.run(words, wheel_sha256)
    finally:
        session.listener.err = told
    note = errors[-1] if errors else "" if ended.code == 0 else f"exit code {ended.code}"
    step = Step(
        str(words[0]),
        shlex.join(["edgeseg", *(_shown(word) for word in words)]),
        ended.code,
        round(time.monotonic() - began, 1),
        note,
        _document(ended, written),
    )
    return step, ended.stopped


def _document(ended: Ended, written: Path | None) -> Mapping[str, Any] | None:
    try:
        text = ended.out if written is None else written.read_text()
        found = json.loads(text)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _bench_miou(document: Mapping[str, Any] | None) -> float | None:
    if not document:
        return None
    scored = [row["accuracy"] for row in document["rows"] if row.get("accuracy")]
    return float(scored[0]["miou"]) if scored else None


def _shown(word: Word) -> str:
    return word if isinstance(word, str) else str(word.path)
