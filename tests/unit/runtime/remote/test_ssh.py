"""What ssh is given, and what its failures mean."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.remote.boards import Board
from edgeseg.runtime.remote.ssh import LineError, failure, ssh_command, ssh_options

BOARD = Board("orin", "10.0.0.2", "nvidia", 2222, "/home/me/my key%h")


@pytest.fixture(autouse=True)
def some_ssh(monkeypatch, tmp_path):
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_host_keys_are_checked_and_nothing_is_asked(some_ssh):
    words = ssh_options(BOARD)
    given_options = dict(word.split("=") for word in words if "=" in word and word[0] != "/")
    assert given_options["StrictHostKeyChecking"] == "yes"
    assert given_options["BatchMode"] == "yes"
    assert words[0] == str(some_ssh)
    assert words[words.index("-p") + 1] == "2222"
    # ssh would put the host in place of %h.
    assert words[words.index("-i") + 1] == "/home/me/my key%%h"


def test_the_target_cannot_be_taken_for_an_option():
    words = ssh_command(BOARD, ["true"])
    assert words[-3:] == ["--", "nvidia@10.0.0.2", "true"]


WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(WORD, min_size=1))
def test_a_shell_splits_the_words_as_they_were(words):
    if not words[0]:
        return
    line = ssh_command(BOARD, ["printf", "%s\\0", *words])[-1]
    done = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Host key verification failed.", "ssh -p 2222 -i '/home/me/my key%h' nvidia@10"),
        ("No ED25519 host key is known for x\nHost key verification failed.", "is not known here"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "ssh-keygen -R '[10.0.0.2]:2222'"),
        ("nvidia@h: Permission denied (publickey).", "ssh-copy-id -p 2222"),
        ("ssh: Could not resolve hostname x: Name or service not known", "no such host"),
        ("something new", "something new"),
    ],
)  # fmt: skip
def test_a_failure_names_the_command_to_type(text, said):
    error = failure(BOARD, text)
    assert said in str(error)
    assert "\n" not in str(error)
    assert not isinstance(error, LineError)


@pytest.mark.parametrize(
    "text",
    [
        "ssh: connect to host 10.0.0.2 port 22: Connection refused",
        "ssh: connect to host 10.0.0.2 port 22: No route to host",
        "Connection closed by 10.0.0.2 port 22",
        "client_loop: send disconnect: Broken pipe",
        "Timeout, server 10.0.0.2 not responding.",
        "kex_exchange_identification: read: Connection reset by peer",
    ],
)
def test_a_broken_line_may_be_tried_again(text):
    assert isinstance(failure(BOARD, text), LineError)


def test_no_ssh_here_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(BackendUnavailable, match="openssh-client"):
        ssh_options(BOARD)
