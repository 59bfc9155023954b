"""Gives every number option an upper end, and takes none that is NaN or infinite.

A slip of the key (`--threads 99999999`) made a runtime take 12 GB and never come back. What a verb
gives as its own limit stays; what it leaves open ends here.
"""

from __future__ import annotations

import math
from typing import Any

import click

# The most that makes sense, by option; others end at the two below.
MOST: dict[str, float] = {
    "--threads": 1024,
    "--batch": 65_536,
    "--epochs": 100_000,
    "--trial-epochs": 100_000,
    "--stop-after": 100_000,
    "--validate-every": 100_000,
    "--rounds": 100_000,
    "--trials": 100_000,
    "--repeat": 10_000,
    "--adaround-steps": 1_000_000,
    "--round-to": 4096,
    "--port": 65_535,
    "--warmup": 100_000,
    "--workspace": 1 << 20,
    "--lr": 100.0,
    "--encoder-lr": 1000.0,
    "--percentile": 100.0,
    "--mix-share": 1000.0,
    "--hold": 86_400_000.0,
}
MOST_INTEGER = 100_000_000
MOST_FLOAT = 1e12


class BoundedInteger(click.IntRange):
    """A whole number up to a limit that help does not show, since nobody reaches it."""

    def __init__(self, given: click.types.IntParamType, most: int) -> None:
        """Take the lower end of `given`, if it has one."""
        least = getattr(given, "min", None)
        super().__init__(min=least, max=most, min_open=getattr(given, "min_open", False))
        self._shown = given

    def _describe_range(self) -> str:
        shown = self._shown
        return shown._describe_range() if isinstance(shown, click.IntRange) else ""


class BoundedNumber(click.FloatRange):
    """A finite number between a verb's own limits, or up to one that help does not show."""

    def __init__(self, given: click.types.FloatParamType, most: float) -> None:
        """Take the limits of `given`, as far as it has any."""
        own = getattr(given, "max", None)
        least = getattr(given, "min", None)
        super().__init__(
            min=-most if least is None else least,
            max=most if own is None else own,
            min_open=getattr(given, "min_open", False),
            max_open=getattr(given, "max_open", False),
        )
        self._shown = given

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse NaN, which no comparison finds out of range."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found

    def _describe_range(self) -> str:
        shown = self._shown
        return shown._describe_range() if isinstance(shown, click.FloatRange) else ""


def bound(command: click.Command) -> click.Command:
    """Give the number options of a verb, and of the verbs below it, their limits; return it."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            bound(inner)
    for param in command.params:
        kind = param.type
        most = MOST.get(param.opts[-1])
        if isinstance(kind, (BoundedInteger, BoundedNumber)):
            continue
        if isinstance(kind, click.types.FloatParamType):
            param.type = BoundedNumber(kind, MOST_FLOAT if most is None else most)
        elif isinstance(kind, click.types.IntParamType) and getattr(kind, "max", None) is None:
            param.type = BoundedInteger(kind, int(MOST_INTEGER if most is None else most))
    return command
