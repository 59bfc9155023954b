"""A verb on a board: its words with the places they name, its start, its prints, its results."""

from __future__ import annotations

import dataclasses
import datetime
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.text.redact import public_words
from edgeseg.errors import BoardError
from edgeseg.runtime.remote import calls, transfer
from edgeseg.runtime.remote.boards import Board
from edgeseg.runtime.remote.calls import Say
from edgeseg.runtime.remote.ssh import LineError
from edgeseg.runtime.remote.transfer import Progress

# How long a line may stay broken before the desk gives up; the job goes on there.
PATIENCE_S = 900.0
# How long a run may take to end after Ctrl-C, before it is ended.
GRACE_S = 20.0
PROGRESS_MARK = b"edgeseg-progress "
PROGRESS_VARIABLE = "EDGESEG_PROGRESS"
TOKEN = "--token"


@dataclasses.dataclass(frozen=True)
class Sent:
    """A word that names a file or folder of the desk, which the board needs.

    Attributes:
        path: the file or folder.
        prefix: what stands before it in the word.
    """

    path: Path
    prefix: str = ""


@dataclasses.dataclass(frozen=True)
class Brought:
    """A word that names a file or folder which the verb writes, to be brought to the desk.

    Attributes:
        path: where it goes on the desk.
        text: what the user typed, which ends in "/" for a folder of masks.
        folder: whether the verb makes a folder there.
        also_read: whether the verb reads an earlier one, which is sent before.
        prefix: what stands before it in the word.
    """

    path: Path
    text: str
    folder: bool = False
    also_read: bool = False
    prefix: str = ""


Word = str | Sent | Brought


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        job: its name on the board.
        code: exit code of the verb.
        out: what it printed on standard output.
        brought: files and folders that came back.
        stopped: whether it was asked to stop.
    """

    job: str
    code: int
    out: str
    brought: tuple[Path, ...]
    stopped: bool


@dataclasses.dataclass
class Listener:
    """Where the words of a board go.

    Attributes:
        say: a line for the person at the desk, about the line and the board.
        out: a line of the verb's standard output, with its end.
        err: a line of its standard error.
        progress: (done, total, what) of a transfer or of the verb.
    """

    say: Say
    out: Callable[[str], None]
    err: Callable[[str], None]
    progress: Progress = lambda done, total, what: None


class Session:
    """One desk's work on one board. `interrupt` may be called from another thread."""

    def __init__(
        self, board: Board, listener: Listener, *, desk: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Connect to nothing yet.

        Args:
            board: the board.
            listener: gets what is said and printed.
            desk: who this is, for the lock: user@machine.
            patience_s: how long a broken line is tried again.
        """
        self.board, self.listener, self.desk = board, listener, desk
        self.patience = calls.Patience(board, patience_s, listener.say, threading.Event())
        self.folder, self.free = "", 0
        self.about: Mapping[str, Any] = {}
        self._running = ""
        self._stops = 0
        self._lock = threading.Lock()

    def hello(self) -> Mapping[str, Any]:
        """Look at the board; the first call, which no broken line is forgiven.

        Raises:
            BoardError: it is not reachable, or lacks Python 3.10 or rsync.
        """
        self.about = calls.call(self.board, "hello")
        self.folder, self.free = self.about["folder"], self.about["free"]
        if not self.about["rsync"]:
            raise BoardError(
                f"{self.board.name} has no rsync; type there: sudo apt-get install rsync"
            )
        return self.about

    def install(self, wheel: Path, sha256: str) -> bool:
        """Install edgeseg unless the board has this one; tell whether it was installed.

        Raises:
            BoardError: it cannot be; the reason was said.
        """
        held = self.about["installed"] or {}
        extras = None if self.board.extras is None else list(self.board.extras)
        if held.get("wheel") == sha256 and held.get("extras") == extras:
            return False
        self._refuse_busy(self.about["holder"])
        there = self._push(wheel, place="wheel")
        ended = self._run(
            "install", [], "install edgeseg",
            {"wheel_path": there, "wheel": None, "installs": sha256, "extras": extras},
        )  # fmt: skip
        if ended.code:
            raise BoardError(f"edgeseg is not installed on {self.board.name}; the reason is above")
        return True

    def run(self, words: Sequence[Word], wheel_sha256: str) -> Ended:
        """Run a verb: send what it needs, start it, print what it prints, bring what it wrote.

        Args:
            words: the verb and its arguments.
            wheel_sha256: the edgeseg that must be installed there.

        Raises:
            BoardError: the board is in use, its disk is full, or the line stays broken.
        """
        brings: list[dict[str, str]] = []
        makes: list[str] = []
        takes: dict[str, str] = {}
        names: dict[str, str] = {}
        argv = [f"{self.folder}/venv/bin/python", "-I", "-u", "-m", "edgeseg.cli"]
        job = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        title = _title(words)
        for word in words:
            if isinstance(word, str):
                argv.append(word)
                continue
            if isinstance(word, Sent):
                there = self._push(word.path)
                names[there] = str(word.path)
                argv.append(f"{word.prefix}{there}")
                continue
            number = str(len(brings))
            there = f"{self.folder}/jobs/{job}/out/{number}/{word.path.name}"
            makes.append(number)
            brings.append({"from": number, "into": str(word.path.absolute().parent)})
            if word.also_read and word.path.exists():
                sent = self._push(word.path)
                takes[f"{number}/{word.path.name}"] = sent.removeprefix(f"{self.folder}/")
            names[there] = str(word.path)
            end = "/" if word.text.endswith("/") else ""
            argv.append(f"{word.prefix}{there}{end}")
        return self._run(
            "verb", argv, title,
            {"wheel": wheel_sha256, "brings": brings, "takes": takes, "makes": makes,
             "names": names},
            job,
        )  # fmt: skip

    def attach(self, job: str | None = None) -> Ended:
        """Print a job that was started before, from its beginning, and bring its results.

        Args:
            job: its name; None for the running or else the newest one.

        Raises:
            BoardError: there is no such job, or it was started at another desk.
        """
        found = calls.call(self.board, "describe", job=job)["job"]
        if found is None:
            raise BoardError(f"{self.board.name} has no job{f' {job}' if job else ''} to attach to")
        if found["who"]["who"] != self.desk:
            raise BoardError(
                f"the job on {self.board.name} was started by {found['who']['who']}, whose desk "
                "gets its results"
            )
        self.listener.say(f"{self.board.name}: {found['title']}")
        with self._lock:
            self._running = found["job"]
        return self._follow(found["job"], found)

    def stop(self, *, now: bool = False) -> str | None:
        """Ask the running job to end, wait for it, and return its name; None where none runs."""
        stopped: str | None = calls.call(
            self.board, "stop", now=now, job=self._running or None, wait_s=GRACE_S * 2
        )["stopped"]
        return stopped

    def interrupt(self) -> None:
        """Ask this session's job to end, the second time at once; the run then returns."""
        with self._lock:
            job, self._stops = self._running, self._stops + 1
        self.patience.asked.set()
        if job:
            calls.call(self.board, "stop", now=self._stops > 1, job=job, wait_s=GRACE_S * 2)

    def _refuse_busy(self, holder: Mapping[str, Any] | None) -> None:
        if holder is not None:
            raise BoardError(
                f"{self.board.name} is in use by {holder.get('who')} since {holder.get('since')}: "
                f"{holder.get('title')}; wait for its end, or end it: edgeseg on "
                f"{self.board.name} stop"
            )

    def _push(self, path: Path, *, place: str = "") -> str:
        return transfer.push(
            self.board, self.folder, path,
            free=self.free, patience=self.patience, progress=self.listener.progress, place=place,
        )  # fmt: skip

    def _run(
        self, kind: str, argv: Sequence[str], title: str, more: Mapping[str, Any], job: str = ""
    ) -> Ended:
        job = job or f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        environment = {PROGRESS_VARIABLE: "lines"}
        if self.board.folder is not None:
            environment["EDGESEG_CACHE"] = f"{self.folder}/engines"
        request = {
            "kind": kind, "argv": list(argv), "title": title, "job": job, "env": environment,
            "who": {"who": self.desk, "since": since}, "grace_s": GRACE_S, **more,
        }  # fmt: skip
        with self._lock:
            self._running = job
        answer = self.patience.run(lambda: calls.call(self.board, "start", **request))
        if "busy" in answer:
            self._refuse_busy(answer["busy"] or {})
        if "other_wheel" in answer:
            raise BoardError(
                f"another desk installed another edgeseg on {self.board.name} in between; type the "
                "command again"
            )
        stale = answer.get("stale")
        if stale:
            self.listener.say(
                f"{self.board.name}: the lock of {stale.get('who')} ({stale.get('title')}) was "
                "stale, its process is gone; taken over"
            )
        with self._lock:
            stops = self._stops
        if stops:
            # Ctrl-C came before the job was there to be stopped.
            calls.call(self.board, "stop", now=stops > 1, job=job, wait_s=GRACE_S * 2)
        return self._follow(job, request)

    def _follow(self, job: str, request: Mapping[str, Any]) -> Ended:
        names = {
            **{there: here for there, here in request.get("names", {}).items()},
            f"{self.folder}/jobs/{job}/work/": "",
        }
        streams = {
            "out": _Lines(self.listener.out, names),
            "err": _Lines(self._stderr_line, names),
        }
        offsets = {"out": 0, "err": 0}
        status: dict[str, Any] = {}

        heard = 0

        def read() -> None:
            nonlocal heard
            for kind, data in calls.frames(self.board, job, offsets):
                heard += 1
                if kind == "tick":
                    continue
                if kind == "end":
                    status.update(json.loads(data))
                    return
                offsets[kind] += len(data)
                streams[kind].feed(data)

        try:
            self.patience.run(read, heard=lambda: heard)
        except LineError as error:
            raise BoardError(
                f"{error}. The job goes on there; to pick it up: edgeseg on {self.board.name} "
                f"attach; to end it: edgeseg on {self.board.name} stop"
            ) from error
        for stream in streams.values():
            stream.end()
        if status["state"] != "ended":
            raise BoardError(
                f"{self.board.name} lost the job {job}: it was started again, or its memory ran out"
            )
        brought = self._bring(job, request)
        with self._lock:
            self._running = ""
        return Ended(job, status["code"], streams["out"].text, brought, bool(status["stopped"]))

    def _bring(self, job: str, request: Mapping[str, Any]) -> tuple[Path, ...]:
        if not request.get("brings"):
            return ()
        made = self.patience.run(lambda: calls.call(self.board, "made", job=job))["made"]
        found: list[Path] = []
        for bring in request["brings"]:
            if bring["from"] not in made:
                continue
            found += transfer.pull(
                self.board,
                f"{self.folder}/jobs/{job}/out/{bring['from']}",
                Path(bring["into"]),
                f"{job}-{bring['from']}",
                self.patience,
            )
        return tuple(found)

    def _stderr_line(self, line: str) -> None:
        mark = PROGRESS_MARK.decode()
        if not line.startswith(mark):
            self.listener.err(line)
            return
        try:
            said = json.loads(line[len(mark) :])
            self.listener.progress(said["done"] or 0, said["total"] or 0, said["what"])
        except (ValueError, KeyError):
            self.listener.err(line)


class _Lines:
    """Bytes that arrive in pieces, as lines in which the board's paths are the desk's."""

    def __init__(self, told: Callable[[str], None], names: Mapping[str, str]) -> None:
        self._told, self._held, self._parts = told, b"", []  # type: ignore[var-annotated]
        # A longer path may begin with a shorter one.
        self._names = sorted(names.items(), key=lambda pair: -len(pair[0]))

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def feed(self, data: bytes) -> None:
        *whole, self._held = (self._held + data).split(b"\n")
        for line in whole:
            self._tell(line + b"\n")

    def end(self) -> None:
        if self._held:
            self._tell(self._held)
        self._held = b""

    def _tell(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        for there, here in self._names:
            # JSON may have escaped what is not ASCII.
            for form in {there, json.dumps(there)[1:-1]}:
                text = text.replace(form, here if form == there else json.dumps(here)[1:-1])
        self._parts.append(text)
        self._told(text)


def _title(words: Sequence[Word]) -> str:
    """Return the command for other eyes: a camera's password and a token are not for them."""
    plain = [
        word
        if isinstance(word, str)
        else f"{word.prefix}{word.path if isinstance(word, Sent) else word.text}"
        for word in words
    ]
    return " ".join(["edgeseg", *public_words(plain)])
