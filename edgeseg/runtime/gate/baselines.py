"""Files of the gate: reports to judge, accepted baselines, and the history of verdicts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.report import Report
from edgeseg.errors import UsageError
from edgeseg.runtime.gate.comparable import MACHINE_KEYS
from edgeseg.runtime.gate.judge import figures
from edgeseg.runtime.gate.verdict import Verdict

HISTORY_KEYS = {"at", "machine", "verdict", "rows"}


def machine_key(machine: Mapping[str, Any]) -> str:
    """Return a folder name for a machine: what it is, and a digest of all that must be equal."""
    values = [machine.get(key) for key in MACHINE_KEYS]
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:8]
    words = str(machine.get("board") or machine.get("cpu") or machine.get("architecture"))
    # "Intel(R) Xeon(R) Processor @ 2.60GHz" -> "intel-xeon-processor-2-60ghz"
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", words.lower())).strip("-")
    return f"{slug[:40].strip('-')}-{machine.get('cores')}c-{digest}"


def read_rows(path: Path) -> dict[str, Report]:
    """Read the reports of a file by name: a bench's rows, or a stream's, one for each camera.

    Raises:
        UsageError: the file is missing, no JSON, or neither document.
    """
    document = read_document(path)
    for many in ("reports", "rows"):
        if many in document and not (isinstance(document[many], list) and document[many]):
            raise UsageError(
                f"{path} has no {many}; give the JSON of a finished edgeseg stream or bench"
            )
    if "reports" in document:
        cameras = [Report.from_json(one) for one in document["reports"]]
        return {f"{one.bundle.name} camera {n}": one for n, one in enumerate(cameras)}
    if "rows" not in document:
        report = Report.from_json(document)
        return {str(report.run.get("name") or report.bundle.name): report}
    reports = [Report.from_json(row) for row in document["rows"]]
    return {str(report.run.get("name")): report for report in reports}


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON document.

    Raises:
        UsageError: the file is missing or holds no JSON object.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a readable JSON report ({error})") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no report; give the JSON of edgeseg stream or bench")
    return document


def accept(report: Path, baseline: Path, reason: str, when: str) -> None:
    """Make a report file the new baseline; see accept_document.

    Raises:
        UsageError: no reason is given, or the file is no report.
    """
    read_rows(report)
    accept_document(read_document(report), baseline, reason, when)


def accept_document(document: Mapping[str, Any], baseline: Path, reason: str, when: str) -> None:
    """Write a baseline with the reason and the digest of the file it replaces.

    Args:
        document: of a report or a bench.
        baseline: the file to write.
        reason: why; kept in the file for those who read its diff.
        when: date and time, ISO 8601.

    Raises:
        UsageError: no reason is given.
    """
    if not reason.strip():
        raise UsageError("a new baseline needs a reason; give one in a few words")
    replaced = (
        hashlib.sha256(baseline.read_bytes()).hexdigest()[:12] if baseline.is_file() else None
    )
    accepted = {"reason": reason.strip(), "at": when, "replaces": replaced}
    text = json.dumps({**document, "accepted": accepted}, indent=1)
    atomic_write_text(baseline, text + "\n")


def baseline_file(path: Path, machine: Mapping[str, Any], name: str) -> Path:
    """Return where this machine's baseline lies: `path` itself, or a file of its own in a folder.

    Args:
        path: a .json file for one machine, or a folder with a folder for each machine.
        machine: fingerprint of this machine.
        name: of the test, for the file in the folder.
    """
    if path.suffix == ".json":
        return path
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-")
    return path / machine_key(machine) / f"{slug}.json"


def find_baseline(
    path: Path, machine: Mapping[str, Any], name: str, former: str = ""
) -> Path | None:
    """Return this machine's baseline, else another machine's of the same test, else None.

    Accuracy and sizes compare on every machine, and the gate says what does not.

    Args:
        path: as baseline_file takes it.
        machine: fingerprint of this machine.
        name: of the test.
        former: what an older edgeseg called it; such a file serves where there is none by name.
    """
    files = [baseline_file(path, machine, one) for one in (name, former) if one]
    # This machine's file first, by whichever name: another's leaves the times unjudged.
    own = [file for file in files if file.is_file()]
    others = [other for file in files for other in sorted(path.glob(f"*/{file.name}"))]
    return next(iter(own + others), None)


def history_line(rows: Mapping[str, Report], verdict: Verdict, when: str) -> dict[str, Any]:
    """Return one entry of a history: the verdict and every figure of every row."""
    first = next(iter(rows.values()))
    return {
        "at": when,
        "machine": machine_key(first.machine),
        "verdict": verdict.verdict,
        "rows": {
            name: {
                "sha256": report.bundle.sha256,
                **{key: value for key, value in figures(report).items() if value is not None},
            }
            for name, report in rows.items()
        },
    }


def append_history(path: Path, line: Mapping[str, Any]) -> None:
    """Add one line to a history file, one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            # What a killed run left of its line must not take this one with it.
            if file.read() != b"\n":
                file.write(b"\n")
        file.write(json.dumps(line).encode() + b"\n")


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read a history file; a line that a killed run left unfinished is passed over."""
    entries = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and set(entry) >= HISTORY_KEYS:
            entries.append(entry)
    return entries
