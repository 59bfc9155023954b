import pytest

from edgeseg.errors import UsageError
from edgeseg.runtime.http.address import parse_address

TOKEN = "long-enough-to-keep"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "127.0.0.1", 8080),
        ("9000", "127.0.0.1", 9000),
        (":9000", "127.0.0.1", 9000),
        ("localhost", "127.0.0.1", 8080),
        ("127.0.0.2:80", "127.0.0.2", 80),
        ("[::1]:9000", "::1", 9000),
    ],
)
def test_this_machine_needs_no_token(text, host, port):
    address = parse_address(text)
    assert (address.host, address.port, address.token) == (host, port, "")


@pytest.mark.parametrize("text", ["0.0.0.0", "0.0.0.0:80", "[::]:80", "board.local:80", "10.0.0.7"])
def test_the_network_needs_one(text):
    with pytest.raises(UsageError, match="EDGESEG_TOKEN") as caught:
        parse_address(text)
    assert caught.value.exit_code == 2
    assert "ssh -L" in str(caught.value)
    assert parse_address(text, TOKEN).token == TOKEN


@pytest.mark.parametrize("text", ["out.mp4:", "a b", "127.0.0.1:99999", "http://x", "host/path"])
def test_a_malformed_address_is_answered(text):
    with pytest.raises(UsageError, match="expected HOST:PORT"):
        parse_address(text, TOKEN)


@pytest.mark.parametrize("token", ["short", "with spaces in it, long", "umläute-in-the-token"])
def test_a_guessable_token_is_refused_without_repeating_it(token):
    with pytest.raises(UsageError, match="16 or more") as caught:
        parse_address("", token)
    assert token not in str(caught.value)
    assert token not in repr(parse_address("", TOKEN))
    assert TOKEN not in repr(parse_address("", TOKEN))


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("127.0.0.1:8080", True),
        ("localhost:9999", True),  # a tunnel's port is another one
        ("[::1]:8080", True),
        ("192.168.1.7", True),
        ("evil.example", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("", False),
        (None, False),
    ],
)
def test_a_strangers_domain_is_no_known_host(header, known):
    assert parse_address("").is_known_host(header) is known
