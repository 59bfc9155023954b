"""The boards that a user has named: who and where they are, and the file that keeps them."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.bounded import read_toml
from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
# Python writes this path into scripts, whose first line takes no spaces.
FOLDER = re.compile(r"(/[A-Za-z0-9._+@][A-Za-z0-9._+@-]*)+")
EXTRA = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# Rsync splits the ssh command by quotes and spaces itself.
BAD_IN_KEY = re.compile(r"[\x00-\x1f\x7f'\"\\]")
OWNER_ONLY = 0o600


@dataclasses.dataclass(frozen=True)
class Board:
    """A machine that ssh reaches.

    Attributes:
        name: what the user calls it.
        host: name, address or alias of ssh's own configuration; an IPv6 address in brackets.
        user: who logs in; None leaves it to ssh.
        port: of its sshd; None leaves it to ssh.
        key: file of the private key; None leaves it to ssh.
        folder: edgeseg's folder there; None is ~/.edgeseg.
        extras: pip extras to install there; None chooses by what the board is.

    Raises:
        UsageError: a field has a form that it cannot have.
    """

    name: str
    host: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    folder: str | None = None
    extras: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.user is not None and not USER.fullmatch(self.user):
            raise UsageError(f"user {self.user!r} is not a user's name; give such as nvidia")
        _check_host(self.host)
        if self.port is not None and not 1 <= self.port <= 65535:
            raise UsageError(f"port {self.port} is not in 1-65535; leave --port out for 22")
        if self.key is not None and (not self.key.startswith("/") or BAD_IN_KEY.search(self.key)):
            raise UsageError(
                f"key {self.key!r} is not a whole path without quotes; give such as "
                "/home/me/.ssh/id_ed25519"
            )
        if self.folder is not None and (
            not FOLDER.fullmatch(self.folder) or "/../" in f"{self.folder}/"
        ):
            raise UsageError(
                f"folder {self.folder!r} is not a whole path of letters, digits and . _ + @ -; "
                "give such as /mnt/ssd/edgeseg"
            )
        for extra in self.extras or ():
            if not EXTRA.fullmatch(extra):
                raise UsageError(f"extra {extra!r} is not an extra's name; give such as tensorrt")

    @property
    def target(self) -> str:
        """What ssh is given: user@host or host, without brackets."""
        host = self.host.strip("[]")
        return host if self.user is None else f"{self.user}@{host}"

    @property
    def rsync_target(self) -> str:
        """What rsync is given before the colon."""
        return self.host if self.user is None else f"{self.user}@{self.host}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, but the name."""
        found = dataclasses.asdict(self)
        del found["name"]
        return {key: value for key, value in found.items() if value is not None}


def parse_target(text: str) -> tuple[str | None, str]:
    """Split "user@host" or "host" into user and host.

    Raises:
        UsageError: it is neither.
    """
    user, at, host = text.rpartition("@")
    if at and not user:
        raise UsageError(f"{text!r} has no user before the @; give user@host")
    if not host:
        raise UsageError(f"{text!r} names no host; give user@host")
    return user if at else None, host


def check_name(name: str) -> None:
    """Refuse a name that could be mistaken for something else.

    Raises:
        UsageError: it is not letters, digits and . _ -, or starts otherwise than with the first.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a board's name; give letters, digits and . _ -, such as orin"
        )


def read_boards(path: Path) -> dict[str, Board]:
    """Return the boards of a file by name, none where there is no file.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    if not path.exists():
        return {}
    document = read_toml(path, UsageError, advice="mend or remove it")
    return {name: _from_table(path, name, table) for name, table in document.items()}


def write_boards(path: Path, boards: Mapping[str, Board]) -> None:
    """Write the file, which only its owner may read."""
    blocks = []
    for name in sorted(boards):
        # Names are plain ASCII; what JSON writes unescaped is TOML as well.
        lines = [
            f"{key} = {json.dumps(value, ensure_ascii=False)}"
            for key, value in boards[name].to_json().items()
        ]
        blocks.append("\n".join([f'["{name}"]', *lines]) + "\n")
    atomic_write_text(path, "\n".join(blocks), mode=OWNER_ONLY)


def find_board(boards: Mapping[str, Board], name: str) -> Board:
    """Return the board of a name.

    Raises:
        UsageError: the name is malformed or unknown.
    """
    check_name(name)
    if not boards:
        raise UsageError(
            f"no board is known, so {name} is not; name one first: edgeseg board add {name} "
            "user@host"
        )
    if name not in boards:
        raise UsageError(unknown("board", name, boards))
    return boards[name]


def _from_table(path: Path, name: str, table: Any) -> Board:
    known = {field.name: field for field in dataclasses.fields(Board)}
    kinds = {"port": int, "extras": list}
    if not isinstance(table, dict) or "host" not in table:
        raise UsageError(f"{path}: [{name}] has no host; mend it, or edgeseg board add {name} …")
    for key, value in table.items():
        if key not in known or key == "name":
            raise UsageError(f"{path}: [{name}] has {key}, which is no field of a board; remove it")
        if not isinstance(value, kinds.get(key, str)) or isinstance(value, bool):
            raise UsageError(f"{path}: [{name}] has {key} = {value!r}, of the wrong type; mend it")
    extras = table.get("extras")
    if extras is not None and not all(isinstance(each, str) for each in extras):
        raise UsageError(f"{path}: [{name}] has extras = {extras!r}, expected names; mend it")
    given = {**table, "extras": None if extras is None else tuple(extras)}
    try:
        return Board(name=name, **given)
    except UsageError as error:
        raise UsageError(f"{path}: [{name}]: {error}") from error


def _check_host(host: str) -> None:
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise UsageError(f"host {host!r} is not an IPv6 address in brackets") from None
    elif not HOST.fullmatch(host):
        raise UsageError(
            f"host {host!r} is not a host; give a name, an address, or an IPv6 address in brackets"
        )
