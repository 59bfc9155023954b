"""Named boards: what a name, host, user and path may be, and the file that keeps them."""

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.errors import UsageError
from edgeseg.runtime.remote.boards import (
    Board,
    find_board,
    parse_target,
    read_boards,
    write_boards,
)

HOSTILE = [
    "; rm -rf ~", "a b", "$(id)", "`id`", "-oProxyCommand=id", "é", "a\nb", "", "a,b", "x" * 300,
    "a'b",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["name", "host", "user", "key", "folder", "extras"])
def test_a_field_that_a_shell_or_ssh_could_misread_is_refused(field, text):
    fields = {"name": "orin", "host": "h"}
    if field == "key" and text in ("é", "a b"):
        text = f"relative {text}"
    value = (text,) if field == "extras" else text
    with pytest.raises(UsageError):
        Board(**{**fields, field: value})


@pytest.mark.parametrize("folder", ["/a/../b", "/a/-b", "/", "a/b", "/a b", "/a//b"])
def test_a_folder_is_a_plain_whole_path(folder):
    with pytest.raises(UsageError, match="whole path"):
        Board("orin", "h", folder=folder)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(UsageError, match="1-65535"):
        Board("orin", "h", port=port)


@pytest.mark.parametrize(
    ("text", "user", "host"),
    [
        ("u@h", "u", "h"),
        ("h", None, "h"),
        ("u@[fe80::1]", "u", "[fe80::1]"),
        ("u@10.0.0.2", "u", "10.0.0.2"),
    ],
)  # fmt: skip
def test_a_target_is_split(text, user, host):
    assert parse_target(text) == (user, host)
    board = Board("orin", host, user)
    assert board.target == text.replace("[", "").replace("]", "")
    assert board.rsync_target == text


@pytest.mark.parametrize("text", ["@h", "u@", ""])
def test_half_a_target_is_refused(text):
    with pytest.raises(UsageError, match="user@host"):
        parse_target(text)


def test_boards_come_back_as_they_were_and_only_the_owner_reads_the_file(tmp_path: Path):
    place = tmp_path / "config" / "boards.toml"
    boards = {
        "orin": Board("orin", "10.0.0.2", "nvidia", 2222, "/home/é ü/key", "/mnt/ssd", ("cv",)),
        "a.b": Board("a.b", "[::1]", extras=()),
    }
    write_boards(place, boards)
    assert read_boards(place) == boards
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@settings(max_examples=30)
@given(st.from_regex(r"/[^\x00-\x1f\x7f'\"\\]{0,40}", fullmatch=True))
def test_any_key_that_is_taken_comes_back(tmp_path_factory, key):
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    place = tmp_path_factory.getbasetemp() / "any-key.toml"
    write_boards(place, {"orin": Board("orin", "h", key=key)})
    assert read_boards(place)["orin"].key == key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "is not TOML"),
        ("[orin]\nuser = 'u'\n", "has no host"),
        ("[orin]\nhost = 'h'\nports = 3\n", "no field of a board"),
        ("[orin]\nhost = 'h'\nport = true\n", "wrong type"),
        ("[orin]\nhost = 'h'\nextras = [3]\n", "expected names"),
        ("[orin]\nhost = '-oProxyCommand=x'\n", "is not a host"),
        ("['; rm']\nhost = 'h'\n", "not a board's name"),
        ("orin = 3\n", "has no host"),
    ],
)
def test_a_file_that_was_edited_badly_is_one_line(tmp_path: Path, text, said):
    place = tmp_path / "boards.toml"
    place.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_boards(place)


def test_an_unknown_board_names_the_nearest_or_the_command():
    with pytest.raises(UsageError, match="edgeseg board add orin user@host"):
        find_board({}, "orin")
    with pytest.raises(UsageError, match="did you mean 'orin'"):
        find_board({"orin": Board("orin", "h")}, "orim")
