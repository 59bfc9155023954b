"""Cameras that speak HTTP: what an address gives, and snapshots, asked for again and again."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

import cv2
import numpy as np

from edgeseg.core.text.redact import encode_credentials, public_uri
from edgeseg.errors import SourceError
from edgeseg.runtime.sources.device import Device, Picture
from edgeseg.runtime.sources.network.reach import network_error

# A snapshot is asked for so often at most; cameras take some tenths of a second for one.
POLL_S = 0.2
# The largest picture that is read, in bytes.
MOST_BYTES = 64 << 20
AGENT = "edgeseg"


def kind_at(uri: str, open_s: float) -> str:
    """Return what an HTTP address gives: "snapshot", "multipart" or "other", as HLS.

    Raises:
        SourceError: it does not answer, or with a refusal or a page.
    """
    with _opened(uri, open_s) as answer:
        kind = answer.headers.get_content_type().lower()
        if kind.startswith("multipart/"):
            return "multipart"
        if kind.startswith("image/"):
            return "snapshot"
        if kind in ("text/html", "application/json"):
            raise SourceError(
                f"{public_uri(uri)} gives a page ({kind}), no pictures; give the address of the "
                "stream itself, often /video, /stream or /mjpg/video.mjpg"
            )
        return "other"


class SnapshotDevice(Device):
    """One JPEG or PNG per request.

    Args:
        uri: with credentials.
        read_s: longest wait for one picture.
        clock: nanoseconds that only go forward.
    """

    def __init__(self, uri: str, *, read_s: float, clock: Callable[[], int]) -> None:
        self._uri = uri
        self._name = public_uri(uri)
        self._read_s = read_s
        self._clock = clock
        self._asked = 0.0

    def grab(self) -> Picture | None:
        """Ask for the next picture."""
        time.sleep(max(0.0, self._asked + POLL_S - time.monotonic()))
        self._asked = time.monotonic()
        with _opened(self._uri, self._read_s) as answer:
            try:
                data = answer.read(MOST_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise SourceError(f"{self._name} broke off within a picture") from error
        arrived_ns = self._clock()
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if bgr is None:
            return None
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return Picture(rgb, arrived_ns, self._clock() - arrived_ns)

    def close(self) -> None:
        """Do nothing; each request has a connection of its own."""


def _opened(uri: str, timeout_s: float) -> http.client.HTTPResponse:
    """Ask for an address, with Basic or Digest authentication where it has credentials."""
    parts = urllib.parse.urlsplit(encode_credentials(uri))
    host = parts.netloc.rpartition("@")[2]
    bare = parts._replace(netloc=host).geturl()
    begin = time.monotonic()
    try:
        handlers: list[urllib.request.BaseHandler] = []
        if parts.username is not None:
            known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            known.add_password(
                None,
                bare,
                urllib.parse.unquote(parts.username),
                urllib.parse.unquote(parts.password or ""),
            )
            handlers = [
                urllib.request.HTTPBasicAuthHandler(known),
                urllib.request.HTTPDigestAuthHandler(known),
            ]
        request = urllib.request.Request(bare, headers={"User-Agent": AGENT})
        answer: http.client.HTTPResponse = urllib.request.build_opener(*handlers).open(
            request, timeout=timeout_s
        )
    except urllib.error.HTTPError as error:
        error.close()
        raise network_error(uri, error, time.monotonic() - begin) from None
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, Exception) else error
        raise network_error(uri, reason, time.monotonic() - begin) from None
    except (TimeoutError, OSError, ValueError, http.client.HTTPException) as error:
        raise network_error(uri, error, time.monotonic() - begin) from None
    return answer
