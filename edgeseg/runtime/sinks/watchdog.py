"""A sink that tells systemd that frames come out: sd_notify's protocol, one datagram a message."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from edgeseg.errors import SinkError
from edgeseg.runtime.sinks.base import Prediction, Sink

# Not every frame: systemd wants one message within WatchdogSec, which is seconds.
PERIOD_S = 1.0


class WatchdogSink(Sink):
    """Says READY with the first prediction, then that it is alive as long as predictions come.

    A camera that delivers nothing leaves it silent, and systemd starts the service again.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the socket.

        Args:
            address: NOTIFY_SOCKET's value; a leading @ is an abstract name.
            clock: seconds that only go forward.

        Raises:
            SinkError: no socket listens at that address.
        """
        self.uri = "systemd"
        self._clock = clock
        self._last: float | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect("\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            self._socket.close()
            raise SinkError(
                f"NOTIFY_SOCKET is {address!r}, where nobody listens ({error.strerror}); "
                "unset it outside systemd"
            ) from error

    def write(self, prediction: Prediction) -> None:
        """Send a message if the last one is a second old."""
        now = self._clock()
        if self._last is None:
            self._send("READY=1\nWATCHDOG=1")
        elif now - self._last >= PERIOD_S:
            self._send("WATCHDOG=1")
        else:
            return
        self._last = now

    def close(self) -> None:
        """Say that the service is stopping."""
        if self._socket.fileno() != -1:
            if self._last is not None:
                self._send("STOPPING=1")
            self._socket.close()

    def _send(self, message: str) -> None:
        try:
            self._socket.send(message.encode())
        except OSError as error:
            raise SinkError(f"systemd does not take messages ({error.strerror})") from error
