"""Every number option has two ends."""

import math
from collections.abc import Iterator

import click
import pytest

from edgeseg.cli import VERBS, edgeseg_command, run

CONTEXT = click.Context(edgeseg_command)


def options(command: click.Command, name: str) -> Iterator[tuple[str, click.Parameter]]:
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from options(inner, f"{name} {inner.name}")
    for param in command.params:
        if isinstance(param.type, (click.types.IntParamType, click.types.FloatParamType)):
            yield f"{name} {param.opts[-1]}", param


def numbers() -> dict[str, click.Parameter]:
    found: dict[str, click.Parameter] = {}
    for verb in VERBS:
        command = edgeseg_command.get_command(CONTEXT, verb)
        assert command is not None
        found.update(options(command, verb))
    return found


NUMBERS = numbers()


def test_there_are_numbers_to_look_at():
    assert len(NUMBERS) > 80


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_an_upper_end_and_is_finite(name):
    param = NUMBERS[name]
    assert param.type.max is not None
    with pytest.raises(click.BadParameter):
        param.type.convert("9" * 30, param, CONTEXT)
    if isinstance(param.type, click.types.FloatParamType):
        for odd in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                param.type.convert(odd, param, CONTEXT)
        assert math.isfinite(param.type.max)


def test_a_slip_of_the_key_is_a_usage_error(capsys):
    assert run(["stream", "model", "synthetic://", "null", "--threads", "99999999"]) == 2
    assert "99999999 is not in the range" in capsys.readouterr().err


def test_help_shows_a_verbs_own_limits_alone(capsys):
    assert run(["train", "--help", "--advanced"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "x>=1" in text
    assert "100000" not in text
