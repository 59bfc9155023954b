"""A small HTTP server for a few viewers, on the standard library.

Why http.server is enough: five GET paths known beforehand, no files served, no bodies read, no TLS
(a tunnel or a proxy brings it), and few connections. What it lacks is added here: limits of
connections, time limits for reading and sending, a token, the Host check, security headers and an
end within two seconds. A web framework would add ten packages to every board.

A connection is a stranger's until it has asked for something that it may see. Strangers have places
of their own, a newcomer takes that of the oldest, and their connection ends with its answer: so
whoever holds many takes no place from /healthz or from those with the token.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hmac
import http.cookies
import http.server
import secrets
import socket
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Callable, Generator, Mapping

from edgeseg.errors import SinkError
from edgeseg.runtime.closeable import Closeable
from edgeseg.runtime.http.address import Address

MAX_CONNECTIONS = 16  # of viewers, who have shown the token where there is one
MAX_STRANGERS = 32
STRANGERS_EACH = 16  # of one address, whose own oldest then makes room
REQUEST_S = 10.0  # to send a whole request, and to stay silent between two
SEND_S = 2.0  # to take one answer, or one piece of a stream
POLL_S = 0.25
JOIN_S = 2.0
SEND_BUFFER = 1 << 18
MAX_TARGET = 2048
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
ASK = b"""<!doctype html><html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width"><title>edgeseg</title>
<h1>edgeseg</h1><form action="/" method=get><label>Token <input name=token type=password
autocomplete=current-password required autofocus></label> <button>Show</button></form></html>
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a path gives: a whole body, or pieces sent as they come until the viewer goes away."""

    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    status: int = 200
    policy: str = NO_CONTENT
    pieces: Generator[bytes, None, None] | None = None


Path = Callable[[Mapping[str, str]], Answer]


class Server(Closeable):
    """Serves paths until it is closed.

    Args:
        address: where, and with which token.
        paths: what each path gives, from its query; called in a thread per connection.
        open_paths: paths that need no token.
        closing: set before the threads are joined; a path that waits must watch it.

    Raises:
        SinkError: the port is taken or not allowed.
    """

    def __init__(
        self,
        address: Address,
        paths: Mapping[str, Path],
        closing: threading.Event,
        open_paths: tuple[str, ...] = (),
    ) -> None:
        self._closing = closing
        try:
            self._listener = _Listener(address, paths, open_paths)
        except OSError as error:
            raise SinkError(
                f"{address.host}:{address.port} cannot listen ({error.strerror}); give another "
                "port or address"
            ) from error
        self.port: int = self._listener.server_address[1]
        self._thread: threading.Thread | None = threading.Thread(
            target=self._listener.serve_forever,
            kwargs={"poll_interval": POLL_S},
            name="edgeseg-http",
        )
        self._thread.start()

    @property
    def connections(self) -> int:
        """Viewers' connections open now."""
        return len(self._listener.open)

    def close(self) -> None:
        """Drop the viewers, stop listening and join every thread."""
        if self._thread is None:
            return
        self._closing.set()
        self._listener.shutdown()
        self._thread.join(JOIN_S)
        self._thread = None
        self._listener.drop_all()
        self._listener.server_close()


class _Listener(socketserver.ThreadingMixIn, http.server.HTTPServer):
    # Joined by server_close, so that no thread outlives the server.
    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True

    def __init__(
        self, address: Address, paths: Mapping[str, Path], open_paths: tuple[str, ...]
    ) -> None:
        self.address_family = address.family
        self.address = address
        self.paths = paths
        self.open_paths = open_paths
        # The cookie is no copy of the token: it ends with this run.
        self.session = secrets.token_urlsafe(24)
        self.open: dict[socket.socket, float | None] = {}
        # Those of `open` that have shown nothing yet, oldest first, with their address.
        self.strangers: dict[socket.socket, str] = {}
        self.viewers: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.address.host, self.server_address[1]

    def process_request(self, request: object, client_address: object) -> None:
        """Begin a thread; the oldest stranger makes room where there are enough."""
        assert isinstance(request, socket.socket)
        address = str(client_address[0]) if isinstance(client_address, tuple) else ""
        with self._lock:
            own = [one for one, whose in self.strangers.items() if whose == address]
            if len(own) >= STRANGERS_EACH:
                leaves = own[0]
            elif len(self.strangers) >= MAX_STRANGERS:
                leaves = next(iter(self.strangers))
            else:
                leaves = None
            if leaves is not None:
                # Its thread ends with its connection, and forgets the rest.
                del self.strangers[leaves]
            self.open[request] = time.monotonic()
            self.strangers[request] = address
        if leaves is not None:
            _cut(leaves)
        super().process_request(request, client_address)

    def admit(self, request: socket.socket) -> bool:
        """Take a stranger among the viewers; False where there are enough of them."""
        with self._lock:
            if request in self.viewers:
                return True
            if request not in self.strangers or len(self.viewers) >= MAX_CONNECTIONS:
                return False
            del self.strangers[request]
            self.viewers.add(request)
            return True

    def is_stranger(self, request: socket.socket) -> bool:
        """Tell whether a connection has shown nothing yet."""
        with self._lock:
            return request not in self.viewers

    def shutdown_request(self, request: object) -> None:
        """Forget a connection and close it."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self.open.pop(request, None)
            self.strangers.pop(request, None)
            self.viewers.discard(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Drop viewers that are slow to say what they want; called every POLL_S."""
        late = time.monotonic() - REQUEST_S
        with self._lock:
            slow = [one for one, since in self.open.items() if since is not None and since < late]
        for one in slow:
            _cut(one)

    def waiting(self, request: socket.socket, *, waits: bool) -> None:
        """Note that a connection is being read from, or that its request is being answered."""
        with self._lock:
            if request in self.open:
                self.open[request] = time.monotonic() if waits else None

    def drop_all(self) -> None:
        """Wake every thread that reads or sends."""
        with self._lock:
            found = list(self.open)
        for one in found:
            _cut(one)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a viewer that went away is no error."""


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"
    policy = NO_CONTENT
    timeout = REQUEST_S
    disable_nagle_algorithm = True

    def setup(self) -> None:
        # A stalled viewer is seen when this is full, and no sooner.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().setup()

    def version_string(self) -> str:
        return "edgeseg"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard error is the progress display's, and a URL may hold a token."""

    def handle_one_request(self) -> None:
        self.server.waiting(self.request, waits=True)
        super().handle_one_request()

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request, without repeating any of it."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._send(Answer(b"this is no request for this page\n", status=code), body=True)

    def do_HEAD(self) -> None:
        self._respond(body=False)

    def do_GET(self) -> None:
        self._respond(body=True)

    def _respond(self, *, body: bool) -> None:
        self.server.waiting(self.request, waits=False)
        self.request.settimeout(SEND_S)
        try:
            self._send(self._answer_or_fail(), body=body)
        except OSError:
            # The viewer went away or reads too slowly.
            self.close_connection = True
        finally:
            with contextlib.suppress(OSError):
                self.request.settimeout(REQUEST_S)

    def _answer_or_fail(self) -> Answer | str:
        try:
            return self._answer()
        except Exception as error:
            # A fault of the page is the page's own: the run goes on, and the viewer learns of it.
            return Answer(f"the page failed: {type(error).__name__}\n".encode(), status=500)

    def _answer(self) -> Answer | str:
        """Return what to send; a string is a path to go to, with the cookie."""
        if not self.server.address.is_known_host(self.headers.get("Host")):
            return Answer(b"unknown Host; use the address this page was started with\n", status=403)
        if any(len(self.headers.get_all(name, [])) > 1 for name in ("Content-Length", "Host")):
            self.close_connection = True
            return Answer(b"a header stands twice\n", status=400)
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return Answer(b"no body is expected\n", status=400)
        if len(self.path) > MAX_TARGET:
            return Answer(b"the address is too long\n", status=414)
        try:
            parts = urllib.parse.urlsplit(self.path)
        except ValueError:
            return Answer(b"this is no address\n", status=400)
        query = dict(urllib.parse.parse_qsl(parts.query))
        # A picture on a stranger's page would take a viewer's place, and show what it must not.
        if parts.path != "/" and self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            return Answer(b"only this page may ask\n", status=403)
        if self.server.address.token and parts.path not in self.server.open_paths:
            token = query.pop("token", "")
            if parts.path == "/" and self._is_token(token):
                return "/"
            if not self._is_token(token) and not self._has_proof():
                return Answer(ASK, "text/html; charset=utf-8", status=401)
        if parts.path not in self.server.open_paths and not self.server.admit(self.request):
            self.close_connection = True
            return Answer(b"enough viewers look at this page\n", status=503)
        path = self.server.paths.get(parts.path)
        return path(query) if path else Answer(b"nothing is here\n", status=404)

    def _is_token(self, text: str) -> bool:
        wanted = self.server.address.token
        return hmac.compare_digest(text.encode(), wanted.encode())

    def _has_proof(self) -> bool:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(token.strip()):
            return True
        try:
            cookies = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        except http.cookies.CookieError:
            return False
        found = cookies.get(self._cookie)
        return found is not None and hmac.compare_digest(
            found.value.encode(), self.server.session.encode()
        )

    @property
    def _cookie(self) -> str:
        # Cookies know no ports; two runs on one board must not log each other out.
        return f"edgeseg_{self.server.server_port}"

    def _send(self, answer: Answer | str, *, body: bool) -> None:
        if isinstance(answer, str):
            self.send_response(303)
            self.send_header("Location", answer)
            cookie = f"{self._cookie}={self.server.session}; HttpOnly; SameSite=Lax; Path=/"
            self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.policy = answer.policy
        if self.server.is_stranger(self.request):
            self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        if answer.status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if answer.pieces is None:
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if body:
                self.wfile.write(answer.body)
            return
        self.close_connection = True
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.closing(answer.pieces) as pieces:
            for piece in pieces if body else ():
                self.wfile.write(piece)
