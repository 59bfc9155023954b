"""`edgeseg gate`: may this report pass?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.options import PATH, json_option
from edgeseg.cli.output import print_json, print_table
from edgeseg.errors import AccuracyMissed, EdgesegError, LatencyMissed, UsageError

if TYPE_CHECKING:
    from edgeseg.core.report import Budget


@click.command(
    name="gate", epilog="Example: edgeseg gate report.json --budget deploy/targets/orin-nano.toml"
)
@click.argument("report", type=PATH)
@click.option("--baseline", type=PATH, help="An earlier report of the same bundle's task.")
@click.option("--budget", type=PATH, help="A TOML file with a [budget] table.")
@click.option(
    "--miou-drop",
    type=click.FloatRange(min=0),
    default=0.005,
    show_default=True,
    help="Largest loss of mIoU against --baseline.",
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
@json_option
def command(
    report: Path,
    baseline: Path | None,
    budget: Path | None,
    miou_drop: float,
    slower: float,
    larger: float,
    as_json: bool,
) -> None:
    """Judge REPORT, the JSON of `edgeseg stream`, against limits.

    Exit code 0 pass, 3 accuracy failed, 4 only latency or memory failed, 1 not comparable: times
    and bytes of two reports compare only on equal machines.
    """
    from edgeseg.core.report import read_report
    from edgeseg.target.gate import Tolerance, judge

    if baseline is None and budget is None:
        raise UsageError("nothing to judge against; give --baseline REPORT, --budget FILE or both")
    limits = _read_budget(budget) if budget else None
    verdict = judge(
        read_report(report),
        budget=limits,
        baseline=read_report(baseline) if baseline else None,
        tolerance=Tolerance(miou_drop=miou_drop, latency_ratio=slower, memory_ratio=larger),
    )
    if as_json:
        print_json(verdict.to_json())
    else:
        words = {True: "ok", False: "failed", None: "not comparable"}
        print_table(
            ("check", "verdict", "why"),
            [(check.name, words[check.ok], check.why) for check in verdict.checks],
        )
    if verdict.exit_code == 0:
        return
    wanted: Any = False if verdict.verdict == "fail" else None
    reasons = "; ".join(f"{c.name}: {c.why}" for c in verdict.checks if c.ok is wanted)
    kind = {3: AccuracyMissed, 4: LatencyMissed}.get(verdict.exit_code, EdgesegError)
    raise kind(f"{report} {verdict.verdict.replace('_', ' ')}: {reasons or 'no limit is set'}")


def _read_budget(path: Path) -> Budget:
    from edgeseg.core.report import Budget

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; give a TOML file with a [budget] table") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not readable TOML ({error})") from error
    table = document.get("budget")
    if not isinstance(table, dict):
        raise UsageError(f"{path} has no [budget] table; its tables: {', '.join(document)}")
    return Budget.from_document(table)
