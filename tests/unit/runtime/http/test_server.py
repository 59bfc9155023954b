import contextlib
import socket
import statistics
import time
from collections.abc import Callable

import pytest
from page_run import HandSource, ask, open_page, playing, prediction

import edgeseg.runtime.http.server as server_module
from edgeseg.runtime.http.server import MAX_CONNECTIONS, MAX_STRANGERS

TOKEN = "a-token-of-some-length"


def connection(page) -> socket.socket:
    return socket.create_connection(("127.0.0.1", page._server.port), timeout=5)


def until(ready: Callable[[], bool]) -> None:
    """Wait for what another thread does; a busy machine may take its time."""
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_strangers_host_header_gets_nothing(tmp_path):
    with open_page(tmp_path) as page:
        for path in ("/", "/status", "/metrics", "/healthz"):
            code, headers, body = ask(page, path, Host="evil.example")
            assert code == 403
            assert b"evil" not in body
            assert headers["x-content-type-options"] == "nosniff"
        assert ask(page, "/", Host="localhost:9000")[0] == 200


def test_a_strangers_page_cannot_embed_or_take_a_place(tmp_path):
    with open_page(tmp_path) as page:
        for site in ("cross-site", "same-site"):
            assert ask(page, "/status", **{"Sec-Fetch-Site": site})[0] == 403
        assert ask(page, "/status", **{"Sec-Fetch-Site": "same-origin"})[0] == 200
        assert ask(page, "/", **{"Sec-Fetch-Site": "cross-site"})[0] == 200  # a followed link
        assert ask(page, "/status")[1]["cross-origin-resource-policy"] == "same-origin"


def test_the_token_guards_every_figure_and_leaves_the_address(tmp_path):
    with open_page(tmp_path, TOKEN) as page:
        for path in ("/", "/status", "/frame", "/metrics", "/nothing"):
            assert ask(page, path)[0] == 401, path
            assert ask(page, path, Authorization="Bearer wrong-token-of-this-size")[0] == 401
        assert ask(page, "/?token=wrong")[0] == 401
        assert ask(page, "/healthz")[0] == 503
        assert ask(page, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
        code, headers, _ = ask(page, f"/?token={TOKEN}")
        assert (code, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert TOKEN not in cookie
        pair = cookie.split(";")[0]
        assert ask(page, "/status", Cookie=pair)[0] == 200
        assert ask(page, "/status", Cookie=pair.replace("=", "=x", 1))[0] == 401
        assert ask(page, "/status", Cookie="a=b; =; \x00")[0] == 401
        assert TOKEN not in ask(page, "/", Cookie=pair)[2].decode()


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"GET /page.py HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"GET / HTTP/1.1\r\n\r\n", b"403"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", b"501"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"<script>alert(1)</script> / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"501"),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_question_is_answered_and_not_echoed(tmp_path, request_bytes, code):
    with open_page(tmp_path) as page, connection(page) as viewer:
        viewer.sendall(request_bytes)
        answer = viewer.recv(65536)
        assert answer.split(b" ", 2)[1] == code, answer[:200]
        assert b"<script>alert" not in answer
        assert b"nosniff" in answer
        assert ask(page, "/")[0] == 200


def test_enough_viewers_are_enough(tmp_path):
    with open_page(tmp_path) as page, contextlib.ExitStack() as viewers:
        first = viewers.enter_context(connection(page))
        for viewer in (first, *(viewers.enter_context(connection(page)) for _ in range(15))):
            viewer.sendall(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert viewer.recv(100).startswith(b"HTTP/1.1 200")
        assert page._server.connections == MAX_CONNECTIONS
        assert ask(page, "/status")[0] == 503
        first.close()
        until(lambda: page._server.connections < MAX_CONNECTIONS)
        assert ask(page, "/status")[0] == 200


def test_strangers_take_no_place_from_health_or_from_the_token(tmp_path):
    """Two hundred connections that show no token, silent or asking again and again."""
    with open_page(tmp_path, token=TOKEN) as page, contextlib.ExitStack() as strangers:
        unhealthy = ask(page, "/healthz")[2]
        assert unhealthy
        for number in range(200):
            one = strangers.enter_context(connection(page))
            if number % 2:
                with contextlib.suppress(OSError):
                    one.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3)
            if number % 10 == 0:
                # Without a frame health is no better; the answer comes from the page all the same.
                assert ask(page, "/healthz")[2] == unhealthy
                assert ask(page, "/status", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert page._server.connections <= MAX_CONNECTIONS + MAX_STRANGERS


@pytest.mark.parametrize("twice", ["Host: 127.0.0.1", "Content-Length: 0"])
def test_a_header_that_stands_twice_is_refused(tmp_path, twice):
    with open_page(tmp_path) as page, connection(page) as viewer:
        head = f"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n{twice}\r\n{twice}\r\n\r\n"
        viewer.sendall(head.encode())
        assert viewer.recv(100).startswith(b"HTTP/1.1 400")


def test_a_viewer_that_never_finishes_its_question_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "REQUEST_S", 0.3)
    with open_page(tmp_path) as page, connection(page) as slow:
        gone = False
        for _ in range(300):
            try:
                slow.sendall(b"G")  # each byte comes in time, the question never ends
            except OSError:
                gone = True
                break
            time.sleep(0.1)
        assert gone


def test_a_dead_viewer_slows_nobody_down(tmp_path):
    """Eight viewers ask for large pictures and never read; the loop's calls stay as they were."""

    picture = prediction(1, (240, 320))

    def write_all() -> tuple[float, float]:
        """Return the median time of a write and the time of all."""
        took = []
        for _ in range(60):
            start = time.perf_counter()
            sink.write(picture)
            took.append(time.perf_counter() - start)
            time.sleep(0.005)
        return statistics.median(took), sum(took)

    with (
        open_page(tmp_path) as page,
        playing(page, HandSource()) as sink,
        # Left open by a failed assertion, they would fail whichever test runs when they are found.
        contextlib.ExitStack() as viewers,
    ):
        alone, _ = write_all()
        for _ in range(8):
            viewer = viewers.enter_context(connection(page))
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            # Pipelined questions: the answers fill every buffer.
            viewer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        watched, together = write_all()
        # 1.0 to 1.3 where nothing else runs. One write that waits for a viewer takes SEND_S.
        assert watched < 20 * alone
        assert together < server_module.SEND_S
        assert ask(page, "/status")[0] == 200


def test_it_ends_while_viewers_hang_on(tmp_path):
    # open_page itself holds that closing leaves no thread, as a wait that runs out would.
    with (
        contextlib.ExitStack() as viewers,
        open_page(tmp_path) as page,
        playing(page, HandSource()),
    ):
        for text in (
            b"",
            b"GET /sta",
            b"GET /frame?after=999999 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            viewers.enter_context(connection(page)).sendall(text)
        until(lambda: page._server.connections == 3)
