"""Files of the gate: reports to judge, accepted baselines, and the history of verdicts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.bounded import is_number, parse_json, read_text
from edgeseg.core.report import Report, read_document
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
    """Read the reports of a file by name.

    The document is a bench's rows, a stream's report, one for each of several cameras, or the
    scores of an evaluation, which have no times.

    Raises:
        UsageError: the file is missing, no JSON, none of these, or a row contradicts another.
    """
    document = read_document(path)
    try:
        return _rows_of(document)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _rows_of(document: Mapping[str, Any]) -> dict[str, Report]:
    many = [key for key in ("reports", "rows") if key in document]
    if not many:
        report = _eval_report(document) or Report.from_json(document)
        return {str(report.run.get("name") or report.bundle.name): report}
    held = document[many[0]]
    if len(many) > 1 or not (isinstance(held, list) and held):
        raise UsageError(
            f"the document has no {many[0]}; give the JSON of a finished edgeseg stream or bench"
        )
    if not all(isinstance(one, dict) for one in held):
        raise UsageError(f"one of its {many[0]} is no report; measure again")
    reports = [Report.from_json(one) for one in held]
    if many == ["reports"]:
        return {f"{one.bundle.name} camera {n}": one for n, one in enumerate(reports)}
    rows: dict[str, Report] = {}
    for report in reports:
        name = report.run.get("name")
        if name is None or name in rows:
            raise UsageError(
                f"{'a row has no name' if name is None else f'the row {name!r} is there twice'}; "
                "give the JSON of edgeseg bench as it was written"
            )
        rows[name] = report
    for name, report in rows.items():
        reference = report.reference
        beside = None if reference is None else rows.get(reference.name)
        if reference and (beside is None or beside is report or beside.reference is not None):
            raise UsageError(
                f"the row {name!r} is compared with {reference.name!r}, which is no reference row "
                "of this run; measure again"
            )
    return rows


def _eval_report(document: Mapping[str, Any]) -> Report | None:
    """Return what `edgeseg eval --json` wrote as a report; None for any other document.

    Raises:
        UsageError: a key is missing or of another type.
    """
    if "per_class" not in document or "n_images" not in document:
        return None
    try:
        scores = {key: document[key] for key in ("global_accuracy", "class_accuracy", "miou")}
        per_class = {name: row["iou"] for name, row in document["per_class"].items()}
        bundle = {key: document["bundle"][key] for key in ("name", "sha256", "precision")}
        n, bf = document["n_images"], document.get("bf")
        written = {
            "format": document.get("format", 1),
            "bundle": bundle,
            "machine": {},
            "source": document["data"],
            "frames": n,
            "dropped": 0,
            "reconnects": 0,
            "fps": None,
            "latency_ms": {},
            "memory": None,
            "accuracy": {"n": n, **scores, "bf": bf, "per_class_iou": per_class},
            "backend": document["backend"],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the document is no evaluation ({error!r}); give the JSON of edgeseg eval --json"
        ) from error
    return Report.from_json(written)


def read_baselines(paths: Sequence[Path]) -> list[dict[str, Report]]:
    """Read accepted runs of one task, the one to compare with first.

    Args:
        paths: of reports; a folder stands for the .json files in it, by name.

    Raises:
        UsageError: none is there, or one is no report.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path} holds no .json file; accept a report into it first")
        files += inside
    for path in files:
        if not path.exists():
            raise UsageError(f"no baseline yet at {path}: write it with --accept 'first baseline'")
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError("one baseline is given twice; runs are compared by how far they differ")
    return [read_rows(file) for file in files]


def accept(report: Path, baseline: Path, reason: str, when: str) -> None:
    """Make a report file the new baseline; see accept_document.

    Raises:
        UsageError: no reason is given, the file is no report, or nothing was measured.
    """
    for name, row in read_rows(report).items():
        if row.frames == 0 or row.run.get("error"):
            why = row.run.get("error") or "no frame was measured"
            raise UsageError(f"{report} is no baseline: {name}: {why}; measure again")
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
    """Read a history file; lines that a killed run left unfinished, or damaged, are passed over.

    Raises:
        UsageError: the file cannot be read.
    """
    entries = []
    advice = "give another --history"
    for line in read_text(path, UsageError, advice=advice, errors="replace").splitlines():
        try:
            entry = parse_json(line, path, UsageError, advice=advice)
        except UsageError:
            continue
        if _is_entry(entry):
            entries.append(entry)
    return entries


def _is_entry(entry: Any) -> bool:
    """Tell whether a line is one of history_line's: what draws it takes every figure as one."""
    return (
        isinstance(entry, dict)
        and entry.keys() >= HISTORY_KEYS
        and all(isinstance(entry[key], str) for key in HISTORY_KEYS - {"rows"})
        and isinstance(entry["rows"], dict)
        and all(
            isinstance(row, dict)
            and all(key == "sha256" or is_number(value) for key, value in row.items())
            for row in entry["rows"].values()
        )
    )
