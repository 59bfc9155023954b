"""Opens the live page of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeseg import __version__
from edgeseg.core.bundle import Bundle
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.dashboard.live import Dashboard, no_shadow
from edgeseg.runtime.http.address import parse_address
from edgeseg.runtime.sinks.base import Sink
from edgeseg.runtime.sources.base import Source
from edgeseg.runtime.telemetry import Telemetry

# Gives the figures of a shadow evaluation, None before the first comparison.
ShadowStatus = Callable[[], Mapping[str, Any] | None]


def open_dashboard(
    stack: contextlib.ExitStack,
    text: str | None,
    token: str,
    bundle: Bundle,
    backend: Backend,
    sources: Sequence[tuple[Source, ShadowStatus | None]],
    telemetry: Telemetry,
    tell: Callable[[str], None] = lambda line: None,
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
        tell: told the page's address, as one line for the user.

    Raises:
        UsageError: the address is malformed, or open to the network without a token.
        SinkError: the port is taken.
    """
    if text is None:
        return []
    address = parse_address(text, token)
    io = backend.io.to_json()
    page = stack.enter_context(Dashboard(address, bundle, io, telemetry, __version__))
    how = "; the token is asked once" if token else ""
    tell(f"dashboard: {page.url}{how}")
    return [page.camera(source, shadow or no_shadow) for source, shadow in sources]
