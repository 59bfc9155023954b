"""A verdict for machines and pages of continuous integration: JUnit XML and Markdown."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from edgeseg.core.text.names import markdown_cell, one_line
from edgeseg.runtime.gate.verdict import Check, Verdict

WORDS = {True: "ok", False: "failed", None: "not comparable"}


def junit_xml(verdict: Verdict, name: str) -> str:
    """Return a JUnit report: a test case for each check, not comparable ones as skipped.

    The elements are those that Jenkins, GitLab and GitHub's readers agree on: testsuite, testcase,
    failure, skipped.
    """
    counts = {ok: sum(check.ok is ok for check in verdict.checks) for ok in (False, None)}
    suite = ElementTree.Element(
        "testsuite",
        name="edgeseg gate",
        tests=str(len(verdict.checks)),
        failures=str(counts[False]),
        skipped=str(counts[None]),
        errors="0",
    )
    for check in verdict.checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=one_line(name), name=one_line(check.name)
        )
        if check.ok is False:
            ElementTree.SubElement(case, "failure", type=check.kind, message=one_line(check.why))
        elif check.ok is None:
            ElementTree.SubElement(
                case, "skipped", message=f"not comparable: {one_line(check.why)}"
            )
        else:
            ElementTree.SubElement(case, "system-out").text = one_line(check.why)
    ElementTree.indent(suite)
    body = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def markdown(verdict: Verdict, name: str, notes: Sequence[str] = ()) -> str:
    """Return a table for the summary page of a CI run, what did not pass first, notes below it."""
    order = {False: 0, None: 1, True: 2}
    lines = [
        f"### edgeseg gate: {markdown_cell(name)}: {verdict.verdict.replace('_', ' ')}",
        "",
        "| check | verdict | why |",
        "|---|---|---|",
    ]
    lines += [_line(check) for check in sorted(verdict.checks, key=lambda c: order[c.ok])]
    lines += ["", *map(markdown_cell, notes)] if notes else []
    return "\n".join(lines) + "\n"


def _line(check: Check) -> str:
    cells = (check.name, WORDS[check.ok], check.why)
    return "| " + " | ".join(markdown_cell(cell) for cell in cells) + " |"
