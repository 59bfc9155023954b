"""Handlers of SIGINT, SIGTERM and SIGHUP: exit while a run loads, end it with its report later."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """Leave by an exception on SIGTERM and SIGHUP, which else would leave temporary files behind.

    A library that builds an engine gets to its end first.
    """

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    with _handled(leave, _endings()[1:]):
        yield


@contextlib.contextmanager
def stop_on_signal(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on ctrl-C, SIGTERM or SIGHUP; a second ctrl-C interrupts as usual."""
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor in terminals:
            if not os.isatty(descriptor):
                # The terminal is gone: a print to it would fail, and the report to -o with it.
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        print("edgeseg: ending; the report follows", file=sys.stderr)

    with _handled(ask, _endings()):
        yield


def _endings() -> list[signal.Signals]:
    """Return the signals that ask a program to end, ctrl-C first."""
    found = [signal.SIGINT, signal.SIGTERM]
    # Windows has no SIGHUP. Under nohup it is ignored, and must stay ignored.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return found


@contextlib.contextmanager
def _handled(
    handler: Callable[[int, object], None], numbers: Sequence[signal.Signals]
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
