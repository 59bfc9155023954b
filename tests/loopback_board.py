"""A board to test on: a real sshd on this machine, with a home and a Python environment of its own.

Debian's openssh-server and rsync are needed; without them the tests skip and say so.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import edgeseg

REPOSITORY = Path(edgeseg.__file__).parent.parent
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NEEDED = ("ssh", "ssh-keygen", "rsync")


def skip_without_ssh() -> None:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    missing += [] if SSHD else ["sshd"]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: apt-get install openssh-server rsync")


def run(*words: object, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=True, **more
    )


class LoopbackBoard:
    """A board on 127.0.0.1 and the desk that knows its key.

    Attributes:
        root: holds everything, also what the desk keeps.
        home: the board's home.
        port: of its sshd.
        desk: environment in which `edgeseg` runs at the desk.
    """

    def __init__(self, root: Path, *, python: str | None = None) -> None:
        """Make keys and folders, and start sshd.

        Args:
            root: an empty folder.
            python: text of a script that stands in for the board's python3.
        """
        skip_without_ssh()
        self.root, self.home = root, root / "board home"
        bin_board, bin_desk = root / "board-bin", root / "desk-bin"
        for folder in (self.home, bin_board, bin_desk, root / "config", root / "cache"):
            folder.mkdir(parents=True)
        for name in ("host", "user", "other"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name)
        shutil.copy(root / "user.pub", root / "authorized_keys")
        if python is None:
            (bin_board / "python3").symlink_to(sys._base_executable)
        else:
            (bin_board / "python3").write_text(python)
            (bin_board / "python3").chmod(0o755)
        self.port = free_port()
        self.path = f"{bin_board}:/usr/bin:/bin"
        kept = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        kept |= {"HOME": str(self.home), "PATH": self.path, "OMP_NUM_THREADS": "1"}
        quoted = " ".join(f'"{key}={value}"' for key, value in kept.items())
        (root / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {root}/host\n"
            f"PidFile {root}/sshd.pid\nAuthorizedKeysFile {root}/authorized_keys\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            f"StrictModes no\nPermitRootLogin prohibit-password\nSetEnv {quoted}\n"
        )
        self.known_hosts = root / "known_hosts"
        self.trust("host")
        self.use_key("user")
        # ssh finds the user's own configuration by the password file, not by HOME.
        (bin_desk / "ssh").write_text(
            f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{root}/ssh_config" "$@"\n'
        )
        (bin_desk / "ssh").chmod(0o755)
        self.desk = {
            **os.environ,
            "HOME": str(root / "desk home"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "PATH": f"{bin_desk}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }
        self._sshd: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        """Start sshd and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._sshd = subprocess.Popen(
            [SSHD, "-D", "-f", self.root / "sshd_config", "-E", self.root / "sshd.log"]
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    self._check_login()
                    return
            if self._sshd.poll() is not None:
                break
            time.sleep(0.02)
        pytest.skip(f"sshd does not start here: {(self.root / 'sshd.log').read_text()[-300:]}")

    def _check_login(self) -> None:
        """Skip where this machine lets its own user in by no key: a locked account."""
        words = ["ssh", "-p", str(self.port), "-o", "BatchMode=yes", "127.0.0.1", "true"]
        done = subprocess.run(
            words, env=self.desk, capture_output=True, text=True, check=False, timeout=30
        )
        log = (self.root / "sshd.log").read_text()
        if done.returncode and "not allowed because" in log:
            self.stop()
            pytest.skip(f"sshd lets nobody in here: {log[-300:]}")

    def stop(self) -> None:
        """End sshd; connections stay."""
        assert self._sshd is not None
        self._sshd.terminate()
        self._sshd.wait()

    def cut(self) -> int:
        """End every connection as a pulled cable does; return how many there were."""
        assert self._sshd is not None
        cut = 0
        for pid in children(self._sshd.pid):
            os.kill(pid, signal.SIGKILL)
            cut += 1
        return cut

    def trust(self, key: str) -> None:
        """Make the desk know this host key, and no other."""
        kind, text, *_ = (self.root / f"{key}.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")

    def use_key(self, key: str) -> None:
        """Make the desk offer this user key."""
        (self.root / "ssh_config").write_text(
            f'UserKnownHostsFile "{self.known_hosts}"\nGlobalKnownHostsFile /dev/null\n'
            f'IdentityFile "{self.root}/{key}"\nIdentitiesOnly yes\nIdentityAgent none\n'
        )

    def prepare(self, wheel_sha256: str, extras: object = None, folder: Path | None = None) -> None:
        """Put an environment there that shares this one's packages, as an install would."""
        folder = folder or self.home / ".edgeseg"
        venv = folder / "venv"
        run(sys._base_executable, "-m", "venv", "--without-pip", venv)
        packages = next(venv.glob("lib/python3*/site-packages"))
        ours = [path for path in sys.path if path.endswith(("-packages",))]
        (packages / "shared.pth").write_text("\n".join([str(REPOSITORY), *ours]) + "\n")
        found = {"wheel": wheel_sha256, "extras": extras, "version": edgeseg.__version__}
        (folder / "installed.json").write_text(json.dumps(found))

    def edgeseg(
        self, *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        """Run edgeseg at the desk."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=240,
            env={**self.desk, **(env or {})}, cwd=cwd or self.root,
        )  # fmt: skip

    def popen(self, *words: object, cwd: Path | None = None) -> subprocess.Popen:
        """Start edgeseg at the desk."""
        return subprocess.Popen(
            self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.desk, cwd=cwd or self.root, start_new_session=True,
        )  # fmt: skip

    def command(self, *words: object) -> list[str]:
        """Return the command line of edgeseg at the desk."""
        return [sys.executable, "-m", "edgeseg.cli", *(str(word) for word in words)]

    def processes(self) -> list[str]:
        """Return the command lines of what runs on the board: whatever has its HOME."""
        mark = f"HOME={self.home}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                environment = (place / "environ").read_bytes().split(b"\0")
                words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if mark in environment and words:
                found.append(words)
        return found

    def wait_idle(self, seconds: float = 10) -> list[str]:
        """Wait until nothing runs on the board; return what still does."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


def children(pid: int) -> list[int]:
    """Return the process numbers of a process' children."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(place.parent.name))
    return found


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
