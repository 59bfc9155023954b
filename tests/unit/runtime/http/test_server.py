import socket
import time

import pytest
from page_run import HandSource, ask, open_page, playing, prediction

import edgeseg.runtime.http.server as server_module
from edgeseg.runtime.http.server import MAX_CONNECTIONS

TOKEN = "a-token-of-some-length"


def connection(page) -> socket.socket:
    return socket.create_connection(("127.0.0.1", page._server.port), timeout=5)


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
        assert ask(page, "/status", Cookie=pair[:-1] + "x")[0] == 401
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
    with open_page(tmp_path) as page:
        viewers = [connection(page) for _ in range(MAX_CONNECTIONS)]
        deadline = time.perf_counter() + 3
        while page._server.connections < MAX_CONNECTIONS and time.perf_counter() < deadline:
            time.sleep(0.01)
        with connection(page) as one_more:
            assert one_more.recv(100).startswith(b"HTTP/1.1 503")
        viewers.pop().close()
        while page._server.connections >= MAX_CONNECTIONS and time.perf_counter() < deadline:
            time.sleep(0.01)
        assert ask(page, "/")[0] == 200
        for viewer in viewers:
            viewer.close()


def test_a_viewer_that_never_finishes_its_question_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "REQUEST_S", 0.3)
    with open_page(tmp_path) as page, connection(page) as slow:
        begin = time.perf_counter()
        try:
            while time.perf_counter() - begin < 5:
                slow.sendall(b"G")  # each byte comes in time, the question never ends
                time.sleep(0.1)
        except OSError:
            pass
        assert time.perf_counter() - begin < 3


def test_a_dead_viewer_slows_nobody_down(tmp_path):
    """Eight viewers ask for large pictures and never read; the loop's calls stay short."""
    with open_page(tmp_path) as page, playing(page, HandSource()) as sink:
        dead = []
        for _ in range(8):
            viewer = connection(page)
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            # Pipelined questions: the answers fill every buffer.
            viewer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
            dead.append(viewer)
        took = []
        begin = time.perf_counter()
        while time.perf_counter() - begin < 1.5:
            start = time.thread_time()
            sink.write(prediction(1, (240, 320)))
            took.append(time.thread_time() - start)
            time.sleep(0.01)
        assert sorted(took)[len(took) // 2] < 0.005
        assert max(took) < 0.1
        assert ask(page, "/status")[0] == 200
        for viewer in dead:
            viewer.close()


def test_it_ends_while_viewers_hang_on(tmp_path):
    # open_page itself holds that closing took less than two seconds and left no thread.
    idle = []
    with open_page(tmp_path) as page, playing(page, HandSource()):
        for text in (
            b"",
            b"GET /sta",
            b"GET /frame?after=999999 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            viewer = connection(page)
            viewer.sendall(text)
            idle.append(viewer)
        time.sleep(0.2)
        assert page._server.connections == 3
    for viewer in idle:
        viewer.close()
