"""The options of a runtime that come from the environment, and the precision of engines."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from edgeseg.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])
PRECISION = "edgeseg.precision"
VARIABLE = "EDGESEG_PRECISION"


def precision_option(default: str) -> Callable[[Function], Function]:
    """Add --precision; the verb's backends get it through backend_options.

    Args:
        default: what is taken where neither the option nor EDGESEG_PRECISION says; "" is the
            bundle's own.
    """

    def keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        context.meta[PRECISION] = (value or default, given)

    return click.option(
        "--precision",
        type=click.Choice(["int8", "fp16", "auto"]),
        envvar=VARIABLE,
        expose_value=False,
        callback=keep,
        help="Engine that TensorRT runs; auto is the one that edgeseg build found fastest, and "
        f"FP16 where INT8 cannot be built.  [default: {VARIABLE}, or "
        f"{default or 'the precision of the bundle'}]",
    )


def engine_precision(backends: Sequence[str] = ()) -> str:
    """Return what --precision or EDGESEG_PRECISION says, empty for the bundle's own.

    Args:
        backends: those that will run.

    Raises:
        UsageError: the option was typed, and none of them builds engines.
    """
    from edgeseg.runtime.backends.open import option_names

    context = click.get_current_context(silent=True)
    precision, typed = ("", False) if context is None else context.meta.get(PRECISION, ("", False))
    if typed and backends and not any("precision" in option_names(name) for name in backends):
        raise UsageError(
            f"--precision {precision} is for TensorRT; {', '.join(backends)} runs the bundle as it "
            "is. Leave it out, or export with --int8 or --fp16"
        )
    return str(precision)


def backend_options(name: str, threads: int) -> dict[str, Any]:
    """Return the keyword arguments with which the command line opens backend `name`.

    EDGESEG_CACHE names the folder of TensorRT's engines, EDGESEG_PLUGIN a library with plugins.
    """
    from edgeseg.runtime.backends.choose import options_for

    return options_for(
        name,
        threads,
        cache=engine_cache(),
        plugin=engine_plugin(),
        precision=engine_precision(),
    )


def engine_cache() -> Path | None:
    """Return the folder that EDGESEG_CACHE names, None for the default one."""
    given = os.environ.get("EDGESEG_CACHE")
    return Path(given) if given else None


def engine_plugin() -> Path | None:
    """Return the library that EDGESEG_PLUGIN names, None for none."""
    given = os.environ.get("EDGESEG_PLUGIN")
    return Path(given) if given else None
