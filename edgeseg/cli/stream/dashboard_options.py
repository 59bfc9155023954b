"""The options of the live page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def dashboard_options(command: _F) -> _F:
    """Add `--dashboard` and `--token` to a command."""
    command = click.option(
        "--token",
        envvar="EDGESEG_TOKEN",
        show_envvar=True,
        default="",
        help="What a viewer from another machine must know. Every user here sees arguments: "
        "prefer the variable.",
    )(command)
    return click.option(
        "--dashboard",
        is_flag=False,
        flag_value="",
        metavar="[HOST:PORT]",
        help="Show the run live in a browser; give it last, or as --dashboard=HOST:PORT. "
        "[default address: 127.0.0.1:8080]",
    )(command)
