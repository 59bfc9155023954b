"""Options of a calibration, for the verbs that quantize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgeseg.host.quantization.observers import OBSERVERS
from edgeseg.host.quantization.options import ADAROUND_STEPS

Function = TypeVar("Function", bound=Callable[..., Any])


def quantize_options(function: Function) -> Function:
    """Add the options of a calibration: the observer and what improves on rounding to nearest."""
    options = [
        click.option(
            "--observer",
            type=click.Choice(list(OBSERVERS)),
            default="entropy",
            show_default=True,
            help="How ranges are chosen.",
        ),
        click.option(
            "--percentile",
            type=float,
            default=99.99,
            show_default=True,
            help="For --observer percentile: per cent of the non-zero magnitudes inside.",
        ),
        click.option(
            "--equalize", is_flag=True, help="Even out weight ranges across layers first (CLE)."
        ),
        click.option(
            "--bias-correct", is_flag=True, help="Put each layer's mean rounding error in its bias."
        ),
        click.option(
            "--adaround",
            is_flag=True,
            help="Choose for each weight whether it rounds up or down; minutes.",
        ),
        click.option(
            "--adaround-steps",
            type=click.IntRange(min=1),
            default=ADAROUND_STEPS,
            show_default=True,
            help="Steps of --adaround for each layer.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function
