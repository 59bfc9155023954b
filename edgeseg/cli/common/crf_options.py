"""The dense CRF's options, for the verbs that label pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.options import parse_settings
from edgeseg.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


def crf_option(function: Function) -> Function:
    """Add --crf and --crf-set; the verb gets `crf`, the CRF's options or None."""

    @functools.wraps(function)
    def gathered(*args: Any, crf: bool, crf_settings: tuple[str, ...], **given: Any) -> Any:
        if crf_settings and not crf:
            raise UsageError("--crf-set would change nothing: there is no --crf")
        settings = parse_settings(crf_settings)
        options = CrfOptions().with_settings(settings) if crf else None
        return function(*args, crf=options, **given)

    result: Any = gathered
    result = click.option(
        "--crf-set",
        "crf_settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="A value of the CRF's: appearance, position, colour, smoothness, radius or "
        "iterations; may be repeated.",
    )(result)
    chosen: Function = click.option(
        "--crf",
        is_flag=True,
        help="Refine the labels by a dense CRF, on the CPU; slow, see docs/crf.md.",
    )(result)
    return chosen
