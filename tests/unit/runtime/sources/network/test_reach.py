"""Why a camera cannot be reached: each cause by its name, after the time that passed."""

import errno
import socket

import pytest

from edgeseg.runtime.sources.network.reach import network_error


def failing(error: OSError | None):
    def connect(address, timeout_s):
        if error is not None:
            raise error
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    return connect


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name cam is not known"),
        (ConnectionRefusedError(), "nothing listens on port 554 of cam"),
        (TimeoutError(), "does not answer: no connection to cam within"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "there is no way to cam"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "there is no way to cam"),
        (None, "does not answer as a camera does"),
    ],
)
def test_each_cause_is_named(error, said):
    found = network_error("rtsp://me:secret@cam/1", None, 1.53, failing(error))
    assert str(found).startswith("rtsp://cam/1 ")
    assert said in str(found)
    assert "secret" not in str(found)
    assert str(found).endswith("(after 1.5 s)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Server returned 401 Unauthorized (authorization failed)", "(401 Unauthorized)"),
        ("Server returned 404 Not Found", "(404 Not Found)"),
        ("Server returned 5XX Server Error reply", "does not answer as a camera does"),
        ("HTTP error 418", "status 418"),
    ],
)
def test_a_servers_answer_is_named(text, said):
    found = network_error("rtsp://cam/1", OSError(text), 0.1, failing(None))
    assert said in str(found)


def test_a_password_that_needs_encoding_is_told_of():
    uri = "rtsp://admin:x@Hunter2secret/9@127.0.0.1:9/cam"
    found = str(network_error(uri, None, 0.0, failing(ConnectionRefusedError())))
    assert "@ as %40" in found
    assert "Hunter2" not in found
    assert "port 9 of 127.0.0.1" in found
    found = network_error("rtsp://cam:99999/x", None, 0.0, failing(None))
    assert "port that is no number" in str(found)
