"""The options of the live page, and its opening."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeseg.cli.common.output import say

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.runtime.backends.base import Backend
    from edgeseg.runtime.sinks.base import Sink
    from edgeseg.runtime.sources.base import Source
    from edgeseg.runtime.telemetry import Telemetry

_F = TypeVar("_F", bound=Callable[..., Any])
Shadow = Callable[[], Mapping[str, Any] | None]


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


def open_dashboard(
    stack: contextlib.ExitStack,
    text: str | None,
    token: str,
    bundle: Bundle,
    backend: Backend,
    sources: Sequence[tuple[Source, Shadow | None]],
    telemetry: Telemetry,
) -> list[Sink]:
    """Open the live page and return one sink for each source; none when it was not asked for.

    Args:
        stack: closes the page.
        text: the address as the user gave it, None for no page.
        token: what a viewer must know, empty for none.
        bundle: what runs.
        backend: what runs it.
        sources: open, each with what tells its shadow evaluation's figures or None.
        telemetry: watches the machine.

    Raises:
        UsageError: the address is malformed, or open to the network without a token.
        SinkError: the port is taken.
    """
    if text is None:
        return []
    from edgeseg import __version__
    from edgeseg.runtime.dashboard.live import Dashboard, no_shadow
    from edgeseg.runtime.http.address import parse_address

    address = parse_address(text, token)
    io = backend.io.to_json()
    page = stack.enter_context(Dashboard(address, bundle, io, telemetry, __version__))
    how = "; the token is asked once" if token else ""
    say(f"dashboard: {page.url}{how}")
    return [page.camera(source, shadow or no_shadow) for source, shadow in sources]
