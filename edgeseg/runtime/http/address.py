"""Where a page is served and who may see it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket

from edgeseg.errors import UsageError

DEFAULT_PORT = 8080
LOOPBACK = "127.0.0.1"
LEAST_TOKEN = 16
LOCAL_NAMES = ("localhost", "ip6-localhost")
MAKE_ONE = "python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"


@dataclasses.dataclass(frozen=True)
class Address:
    """A checked place to listen on.

    Attributes:
        host: an IP address or a name.
        port: 0 lets the system choose.
        token: what a viewer must know; empty only on this machine's own loopback.
    """

    host: str
    port: int
    token: str = dataclasses.field(default="", repr=False)

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 for an address with colons."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def is_known_host(self, header: str | None) -> bool:
        """Return whether a request's Host header names this server and not a stranger's domain.

        A page of a stranger can point its own domain at 127.0.0.1 and read what is served there
        (DNS rebinding); its requests then carry that domain. A bare IP address needs no DNS and
        cannot be rebound. The port is not compared: behind a tunnel it is another one.
        """
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/\s]+)(?::\d{1,5})?", header or "")
        if match is None:
            return False
        name = match[1].strip("[]").rstrip(".").lower()
        if _is_ip(name):
            return True
        own = socket.gethostname().lower()
        return name in (*LOCAL_NAMES, self.host.lower(), own, f"{own.split('.')[0]}.local")


def parse_address(text: str, token: str = "", option: str = "--dashboard") -> Address:
    """Check HOST:PORT, HOST, PORT or `[IPv6]:PORT`, and that a reachable one has a token.

    Args:
        text: what the user gave; empty means 127.0.0.1:8080.
        token: what a viewer must know, empty for none.
        option: what the user gave it to, for messages.

    Raises:
        UsageError: it is malformed, reaches beyond this machine without a token, or the token is
            short enough to guess.
    """
    example = f"expected HOST:PORT, as {LOOPBACK}:{DEFAULT_PORT}"
    text = text.rstrip("/")
    if text.isdecimal():
        text = f":{text}"
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*)(?::(\d{1,5}))?", text)
    if match is None or int(match[2] or 0) > 65535:
        # Who gives user:password@HOST must not find it in a log.
        raise UsageError(f"{option} is {text.rpartition('@')[2]!r}, {example}")
    host, port = match[1].strip("[]") or LOOPBACK, int(match[2] or DEFAULT_PORT)
    if token and (len(token) < LEAST_TOKEN or not re.fullmatch(r"[\x21-\x7e]+", token)):
        raise UsageError(
            f"the token has {len(token)} characters, expected {LEAST_TOKEN} or more without "
            f"spaces; make one with {MAKE_ONE}"
        )
    if not token and not _is_loopback(host):
        raise UsageError(
            f"{option} {host}:{port} is open to the network and anyone there could watch. Set "
            f"EDGESEG_TOKEN (make one with {MAKE_ONE}), or stay on {LOOPBACK} and use a tunnel "
            f"(ssh -L {port}:{LOOPBACK}:{port} BOARD)"
        )
    return Address(LOOPBACK if host in LOCAL_NAMES else host, port, token)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host in LOCAL_NAMES or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)
