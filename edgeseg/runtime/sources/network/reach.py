"""Says why a camera on a network cannot be opened: the password, the name, the port, the way."""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable

from edgeseg.core.text.redact import encode_credentials, public_uri, redact
from edgeseg.errors import SourceError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
# Longest try to connect once more, after a library failed without saying why.
TRY_S = 2.0
STATUS = {
    400: "does not understand the request (400 Bad Request); check the path",
    401: "refuses the user name or password (401 Unauthorized); check them",
    403: "forbids access (403 Forbidden); check the user's rights and the password",
    404: "has nothing at this path (404 Not Found); check the path",
    405: "gives no pictures at this path (405 Method Not Allowed); check the path",
    453: "has no bandwidth left (453); close another viewer",
    454: "lost the session (454); try again",
    503: "serves as many viewers as it can (503 Service Unavailable); close another one",
}


def network_error(
    uri: str,
    error: BaseException | None,
    took_s: float,
    connect: Callable[..., socket.socket] = socket.create_connection,
) -> SourceError:
    """Return the error of a camera that could not be opened, in a user's words.

    Args:
        uri: as given, with its secrets.
        error: what the library raised, None where it only failed.
        took_s: the time that really passed.
        connect: of `socket`, another one in tests.
    """
    name = public_uri(uri)
    why = _by_status(error) or _by_connection(uri, took_s, connect)
    if not why:
        said = _words(error)
        why = (
            f"does not answer as a camera does{f' ({said})' if said else ''}; check the path, the "
            "user name and the password, and that no other program uses it"
        )
    return SourceError(f"{name} {why}{_note(uri)} (after {took_s:.1f} s)")


def _by_status(error: BaseException | None) -> str:
    status = getattr(error, "code", None)
    if not isinstance(status, int) or not 400 <= status < 600:
        match = re.search(r"\b(?:returned |error )?([45]\d\d)\b", str(error or ""))
        status = int(match[1]) if match else 0
    if status in STATUS:
        return STATUS[status]
    return f"answers with status {status}; check the address" if 400 <= status < 600 else ""


def _by_connection(uri: str, took_s: float, connect: Callable[..., socket.socket]) -> str:
    """Return why no connection can be made, empty where one can."""
    parts = urllib.parse.urlsplit(encode_credentials(uri))
    try:
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, 554)
    except ValueError:
        return "has a port that is no number from 1 to 65535; check the address"
    if not host:
        return "names no host; check the address"
    begin = time.monotonic()
    try:
        connect((host, port), TRY_S).close()
    except socket.gaierror as error:
        return f"cannot be found: the name {host} is not known ({error.strerror}); check the name"
    except ConnectionRefusedError:
        return (
            f"refuses the connection: nothing listens on port {port} of {host}; check the port "
            "and whether the camera's stream is switched on"
        )
    except TimeoutError:
        waited = took_s + time.monotonic() - begin
        return (
            f"does not answer: no connection to {host} within {waited:.1f} s; check the address, "
            "the cable and the camera's power"
        )
    except OSError as error:
        if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN):
            return (
                f"cannot be reached: there is no way to {host} ({error.strerror}); check the "
                "network, the cable and the address"
            )
        return f"cannot be reached ({error.strerror or error}); check the address"
    return ""


def _words(error: BaseException | None) -> str:
    # FFmpeg's text repeats the URI, with its password.
    if error is None:
        return ""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failed'}"
    return redact(str(getattr(error, "strerror", None) or getattr(error, "reason", "") or ""))


def _note(uri: str) -> str:
    if encode_credentials(uri) == uri:
        return ""
    return (
        ". Its user name or password has characters that belong percent-encoded into an address "
        "(@ as %40, / as %2F, # as %23); that was done, split at the last @"
    )
