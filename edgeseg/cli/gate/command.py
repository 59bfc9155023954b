"""`edgeseg gate`: judges a report against limits."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import PATH, json_option, refuse_given
from edgeseg.cli.common.output import print_json, say
from edgeseg.core.files import atomic_write_text
from edgeseg.core.output_checks import check_files
from edgeseg.errors import AccuracyMissed, EdgesegError, LatencyMissed, UsageError

if TYPE_CHECKING:
    from edgeseg.core.report import Report
    from edgeseg.runtime.gate.verdict import Verdict


@click.command(
    name="gate",
    cls=Verb,
    epilog="Example: edgeseg gate report.json --baseline baseline.json",
)
@click.argument("report", type=PATH)
@click.option(
    "--baseline",
    type=PATH,
    multiple=True,
    help="An accepted report of the same task. Repeat it, or give a folder of them, to judge a "
    "stream's times by how far they wander from run to run; twenty are needed.",
)
@click.option("--budget", type=PATH, help="A TOML file with a [budget] table.")
@click.option(
    "--strict", is_flag=True, help="A time keeps --budget only if its whole 95 % interval does."
)
@click.option(
    "--only",
    type=click.Choice(["accuracy"]),
    help="Judge accuracy alone, as on a shared runner whose times say nothing.",
)
@click.option(
    "--row", "wanted", multiple=True, help="Judge this row of a bench only; may be repeated."
)
@click.option(
    "--miou-drop",
    type=click.FloatRange(min=0),
    default=0.005,
    show_default=True,
    help="Largest loss of mIoU against --baseline.",
)
@click.option(
    "--class-drop",
    type=click.FloatRange(min=0),
    default=0.05,
    show_default=True,
    help="Largest loss of one class's IoU against --baseline.",
)
@click.option(
    "--slower",
    type=click.FloatRange(min=0, min_open=True),
    default=1.10,
    show_default=True,
    help="Largest latency as a multiple of --baseline's.",
)
@click.option(
    "--larger",
    type=click.FloatRange(min=0, min_open=True),
    default=1.10,
    show_default=True,
    help="Largest memory as a multiple of --baseline's.",
)
@click.option("--accept", metavar="REASON", help="Make REPORT the new --baseline, and say why.")
@click.option("--junit", type=PATH, help="Write the checks as JUnit XML.")
@click.option("--markdown", type=PATH, help="Write the checks as Markdown, for a CI page.")
@click.option("--history", type=PATH, help="Add figures and verdict to this file, one JSON a line.")
@click.option("--trend", type=PATH, help="Draw --history as a page.")
@click.option("-v", "--verbose", is_flag=True, help="Show the checks that passed as well.")
@json_option
def command(
    report: Path,
    baseline: tuple[Path, ...],
    budget: Path | None,
    strict: bool,
    only: str | None,
    wanted: tuple[str, ...],
    miou_drop: float,
    class_drop: float,
    slower: float,
    larger: float,
    accept: str | None,
    junit: Path | None,
    markdown: Path | None,
    history: Path | None,
    trend: Path | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Judge REPORT, the JSON of `edgeseg stream`, `bench` or `eval`, against limits.

    Times are compared with a baseline as ratios to the bench's reference row, and fail only when
    the whole 95 % interval is beyond the limit. A stream has no such row: its times are judged by
    --budget, or by twenty baselines. Exit code 0 pass, 3 accuracy failed, 4 only latency, memory or
    size failed, 1 not comparable: times and bytes of two reports compare only on equal machines.
    """
    from edgeseg.cli.gate.findings import print_findings
    from edgeseg.core.metrics import partial_means
    from edgeseg.core.report import class_ious
    from edgeseg.runtime.gate import baselines
    from edgeseg.runtime.gate.budget import read_budget
    from edgeseg.runtime.gate.judge import Tolerance, judge_rows

    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    if accept is not None and not baseline:
        raise UsageError("--accept writes --baseline; give the file")
    if accept is not None and (len(baseline) > 1 or baseline[0].is_dir()):
        raise UsageError("--accept writes one file; give one --baseline FILE")
    if accept is not None and wanted:
        raise UsageError("--accept takes the whole report as the baseline; leave --row out")
    if not baseline and budget is None:
        raise UsageError("nothing to judge against; give --baseline REPORT, --budget FILE or both")
    if trend is not None and history is None:
        raise UsageError("--trend draws --history; give the file")
    if not baseline:
        refuse_given(("miou_drop", "class_drop", "slower", "larger"), "there is no --baseline")
    if budget is None:
        refuse_given(("strict",), "there is no --budget")
    outputs = (
        ("--junit", junit, "gate.xml"),
        ("--markdown", markdown, "gate.md"),
        ("--history", history, "gate.jsonl"),
        ("--trend", trend, "trend.html"),
    )
    check_files(outputs, (report, *baseline, budget))
    limits = read_budget(budget) if budget else None
    if limits is not None and strict:
        limits = dataclasses.replace(limits, strict=True)
    tolerance = Tolerance(
        miou_drop=miou_drop,
        class_drop=class_drop,
        latency_ratio=slower,
        tail_ratio=max(slower, Tolerance.tail_ratio),
        memory_ratio=larger,
    )
    rows = _chosen(baselines.read_rows(report), wanted, report)
    if accept is not None:
        # All that may be wrong with the command is known by now: this replaces a file.
        baselines.accept(report, baseline[0], accept, now)
        say(f"new baseline: {baseline[0]}")
    before = [
        _of_task(rows, found, wanted)
        for found in (baselines.read_baselines(baseline) if baseline else [])
    ]
    verdict = judge_rows(
        rows,
        budget=limits,
        baseline=before[0] if before else None,
        repeats=before[1:],
        tolerance=tolerance,
    )
    if only is not None:
        verdict = verdict.of_accuracy()
    notes = partial_means({name: class_ious(row).values() for name, row in rows.items()})
    # Before any file is written, which a full disk may end.
    if as_json:
        print_json(verdict.to_json())
    else:
        print_findings(verdict, notes, every=verbose)
    _write_pages(verdict, report, junit, markdown, notes)
    if history is not None:
        baselines.append_history(history, baselines.history_line(rows, verdict, now))
    if trend is not None and history is not None:
        from edgeseg.cli.gate.trend_page import write_trend_page

        write_trend_page(trend, baselines.read_history(history))
    if as_json and verdict.exit_code:
        # Standard output is for a program; a person reads this.
        kind = {3: AccuracyMissed, 4: LatencyMissed}.get(verdict.exit_code, EdgesegError)
        raise kind(f"{report} {verdict.verdict.replace('_', ' ')}: {verdict.reasons()}")
    return verdict.exit_code


def _of_task(
    rows: dict[str, Report], before: dict[str, Report], wanted: tuple[str, ...]
) -> dict[str, Report]:
    """Return the baseline's rows that belong to the report's."""
    if wanted:
        before = {name: row for name, row in before.items() if name in wanted}
    if len(rows) == len(before) == 1:
        # One report against one: another name is no other task.
        return dict(zip(rows, before.values(), strict=True))
    return before


def _chosen(rows: dict[str, Report], wanted: tuple[str, ...], path: Path) -> dict[str, Report]:
    missing = [name for name in wanted if name not in rows]
    if missing:
        raise UsageError(f"{path} has no row {missing[0]!r}; its rows: {', '.join(rows)}")
    return {name: row for name, row in rows.items() if not wanted or name in wanted}


def _write_pages(
    verdict: Verdict, report: Path, junit: Path | None, markdown: Path | None, notes: list[str]
) -> None:
    from edgeseg.cli.gate import ci_pages as gatepages

    if junit is not None:
        atomic_write_text(junit, gatepages.junit_xml(verdict, report.stem))
    if markdown is not None:
        atomic_write_text(markdown, gatepages.markdown(verdict, report.stem, notes))
