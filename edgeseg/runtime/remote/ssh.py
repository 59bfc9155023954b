"""One call over the system's ssh: what it is given, and what its failures mean."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence

from edgeseg.errors import BackendUnavailable, BoardError
from edgeseg.runtime.remote.boards import Board

# ssh's own failure; a command's exit code is below.
SSH_FAILED = 255
OPTIONS = {
    # Never a question: a run must not wait for someone to type.
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "10",
    # A dead line is noticed after 20 seconds.
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "4",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    # A shared connection would outlive us, and hold our pipes.
    "ControlMaster": "no",
    "ControlPath": "none",
    "EscapeChar": "none",
    "RequestTTY": "no",
    "LogLevel": "ERROR",
}
LINE = re.compile(
    r"Connection (closed|reset|refused|timed out)|connection (closed|unexpectedly closed)|"
    r"Broken pipe|not responding|No route to host|Network is unreachable|Operation timed out|"
    r"Connection to .* (closed|timed out)|kex_exchange_identification|banner exchange|"
    r"Host is down|client_loop"
)


class LineError(BoardError):
    """The line to a board broke, or the board is not reachable now; it may be tried again."""


def ssh_options(board: Board) -> list[str]:
    """Return ssh's name and options, without the target.

    Raises:
        BackendUnavailable: this machine has no ssh.
    """
    program = shutil.which("ssh")
    if program is None:
        raise BackendUnavailable("ssh is not installed here; sudo apt-get install openssh-client")
    words = [program, "-T", "-x", "-a"]
    for name, value in OPTIONS.items():
        words += ["-o", f"{name}={value}"]
    if board.port is not None:
        words += ["-p", str(board.port)]
    if board.key is not None:
        # ssh expands % and ~ in this option.
        words += ["-i", board.key.replace("%", "%%"), "-o", "IdentitiesOnly=yes"]
    return words


def ssh_command(board: Board, words: Sequence[str]) -> list[str]:
    """Return the local command that runs `words` on the board.

    ssh joins its arguments with spaces and the shell there splits them again, so they are quoted.
    """
    return [*ssh_options(board), "--", board.target, shlex.join(words)]


def open_ssh(board: Board, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `words` on the board, with pipes, in a session of its own, which Ctrl-C spares."""
    return subprocess.Popen(
        ssh_command(board, words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def failure(board: Board, text: str) -> BoardError:
    """Return what ssh's last words mean, with the command to type."""
    port = f"-p {board.port} " if board.port is not None else ""
    key = f"-i {shlex.quote(board.key)} " if board.key is not None else ""
    login = f"ssh {port}{key}{board.target} true"
    where = f"{board.name} ({board.target})"
    last = " ".join(text.split()) or "no word"
    if "IDENTIFICATION HAS CHANGED" in text or "Offending" in text:
        named = board.host.strip("[]")
        named = named if board.port in (None, 22) else f"[{named}]:{board.port}"
        return BoardError(
            f"{where} shows another host key than before: another machine, or a new system on it. "
            f"If that is so: ssh-keygen -R {shlex.quote(named)}; then {login}"
        )
    if "ost key verification failed" in text or "host key is known" in text:
        return BoardError(
            f"the host key of {where} is not known here; compare its fingerprint and accept it: "
            f"{login}"
        )
    if "Permission denied" in text or "Too many authentication failures" in text:
        return BoardError(
            f"{where} takes none of the keys offered; put yours there: ssh-copy-id {port}"
            f"{key}{board.target}"
        )
    if "Could not resolve" in text:
        return BoardError(f"{where}: no such host ({last[:200]}); edgeseg board list shows it")
    if LINE.search(text):
        return LineError(f"{where} is not reachable: {last[:300]}; try: {login}")
    return BoardError(f"ssh to {where} failed: {last[:300]}; try: {login}")
