"""`edgeseg doctor`: what this machine can and cannot do."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import json_option
from edgeseg.cli.common.output import print_json, print_table, say


@click.command(name="doctor", cls=Verb, epilog="Example: edgeseg doctor")
@json_option
def command(as_json: bool) -> None:
    """Look at this machine: Python, OpenCV, runtimes, GPU, board, memory, disk, zoo.

    Each line that is not ok names its cure. The exit code is 0 whatever is found: what is missing
    may not be needed here.
    """
    from edgeseg.runtime.doctor.checks import examine, to_json

    findings = examine(folder=Path.cwd())
    if as_json:
        print_json(to_json(findings))
        return
    print_table(
        ("check", "status", "found", "needed"),
        [(item.name, item.status, item.found, item.needed) for item in findings],
    )
    for item in findings:
        if item.cure:
            say(f"{item.name}: {item.cure}")
