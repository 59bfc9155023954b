"""What runs on a board. One file of the standard library, sent over ssh to the board's python3.

`calls.py` sends its text; the desk itself imports only what hashes files. It needs nothing of
edgeseg, since it is what installs edgeseg. The request is one JSON object in argv[1]; the answer
is one line of JSON behind ANSWER, so that what a login shell prints does not matter. `tail`
answers in frames: a line "edgeseg-frame KIND N", then N bytes.

Folder on the board:
    venv/            the virtual environment, which sees the system's packages
    wheel/           the wheel that was sent
    installed.json   what the environment holds
    files/DIGEST/    bundles and data that were sent, each named by its content
    jobs/ID/         request.json, status.json, stdout, stderr, work/ (working folder), out/
    lock             held by flock(2) while a job runs; says whose job it is
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import time
from typing import IO, Any

Path = pathlib.Path
Facts = dict[str, Any]
ANSWER = "edgeseg-answer "
FRAME = "edgeseg-frame"
# Ended jobs and sent files that are kept; older ones make room.
KEPT_JOBS, KEPT_FILES = 10, 24
PARTIAL = ".rsync-partial"
TICK_S, POLL_S = 2.0, 0.1
CHUNK = 1 << 16
# status.json has this size from the start, so that the end can be written on a full disk.
LOCK_BYTES = 1024
STATUS_BYTES = 1024
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
APT = (
    "sudo apt-get install python3-venv python3-libnvinfer python3-opencv python3-gi "
    "gir1.2-gstreamer-1.0"
)
LACKS = 5


def main() -> int:
    """Do what the request asks."""
    request = json.loads(sys.argv[1])
    try:
        answer = ACTIONS[request["do"]](request)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        answer = {"error": f"{where}{'the disk is full' if full else error.strerror or error}"}
    except RuntimeError as error:
        answer = {"error": str(error)}
    if answer is not None:
        print(ANSWER + json.dumps(answer), flush=True)
    return 0


def hello(request: Facts) -> Facts:
    """Tell what is here; make the folder."""
    folder = folder_of(request)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "name": model_name(),
        "folder": str(folder),
        "free": shutil.disk_usage(folder).free,
        "rsync": shutil.which("rsync") is not None,
        "jetson": is_jetson(),
        "installed": installed(folder),
        "holder": holder(folder),
        "jobs": jobs(folder),
    }


def digest(request: Facts) -> Facts:
    """Return the digest of a file or folder that was sent, None where there is none."""
    path = folder_of(request) / request["path"]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {"digest": None}
    os.utime(path.parent)
    return {"digest": tree_digest(path)}


def forget(request: Facts) -> Facts:
    """Remove what was sent to a place."""
    shutil.rmtree(folder_of(request) / request["path"], ignore_errors=True)
    return {}


def start(request: Facts) -> Facts:
    """Take the lock, start the job away from this connection, and tell what was found."""
    folder = folder_of(request)
    job = folder / "jobs" / request["job"]
    if job.is_dir():
        # The answer to the first try was lost with the line.
        return {"job": request["job"]}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (folder / "lock").open("a+")
    # A look at the lock holds it too, for a moment.
    for number in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if number == 9:
                return {"busy": read_lock(folder)}
            time.sleep(POLL_S / 2)
    stale = read_lock(folder)
    if stale:
        end_leftover(stale)
    wanted = request.get("wheel")
    if wanted:
        held = installed(folder) or {}
        if held.get("wheel") != wanted:
            return {"other_wheel": held.get("wheel") or "none"}
    prune(folder)
    # `out` may have been made, and files for it sent, before.
    (job / "work").mkdir(parents=True, mode=0o700)
    (job / "out").mkdir(exist_ok=True)
    for name in request.get("makes", ()):
        (job / "out" / name).mkdir(parents=True, exist_ok=True)
    for name, taken in request.get("takes", {}).items():
        shutil.copy2(folder / taken, job / "out" / name)
    (job / "request.json").write_text(json.dumps(request))
    write_status(job, {"state": "starting"})
    write_lock(lock, {**request["who"], "job": request["job"], "title": request["title"]})
    sys.stdout.flush()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nowhere, number)
            code = 1
            try:
                code = supervise(request, folder, job, lock)
            finally:
                os._exit(code)
        os._exit(0)
    os.wait()
    return {"job": request["job"], "stale": stale}


def supervise(request: Facts, folder: Path, job: Path, lock: IO[str]) -> int:
    """Run the job, end all that it leaves behind, and write how it ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Whatever the job's children leave behind becomes ours, and is ended below.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    argv = request["argv"]
    if request["kind"] == "install":
        # The line that runs this file sets it.
        (job / "agent.py").write_text(globals()["SOURCE"])
        inner = json.dumps({**request, "do": "install"})
        argv = [sys.executable, "-I", "-u", str(job / "agent.py"), inner]
    environment = {**os.environ, **request.get("env", {}), "PYTHONUNBUFFERED": "1"}
    asked: list[float] = []

    def ask(number: int, frame: object) -> None:
        asked.append(time.monotonic())

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def with_us() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # A shell that started us in the background had us ignore it, and a child inherits that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    try:
        with (job / "stdout").open("wb") as out, (job / "stderr").open("wb") as err:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=job / "work",
                env=environment,
                start_new_session=True,
                preexec_fn=with_us,
            )
    except OSError as error:
        (job / "stderr").write_text(f"edgeseg: error: {error}\n")
        write_status(job, {"state": "ended", "code": 1})
        write_lock(lock, None)
        return 1
    about = {"state": "running", "pid": child.pid, "supervisor": os.getpid()}
    write_status(job, about)
    held = {**read_lock(folder), **about, "started_ticks": ticks(child.pid), "boot": boot()}
    write_lock(lock, held)
    sent = 0
    while True:
        try:
            code = child.wait(timeout=POLL_S)
            break
        except subprocess.TimeoutExpired:
            pass
        if asked:
            waited = time.monotonic() - asked[0]
            grace = request.get("grace_s", 20.0)
            steps = (
                (0.0, signal.SIGINT),
                (grace, signal.SIGTERM),
                (grace + 5.0, signal.SIGKILL),
            )
            # A second request to stop is in haste.
            if len(asked) > 1 and sent < 3:
                send(child.pid, signal.SIGKILL)
                sent = 3
            elif sent < 3 and waited >= steps[sent][0]:
                send(child.pid, steps[sent][1])
                sent += 1
    send(child.pid, signal.SIGKILL)
    end_descendants()
    status = {"state": "ended", "code": code if code >= 0 else 128 - code, "stopped": bool(asked)}
    write_status(job, status)
    write_lock(lock, None)
    return 0


def stop(request: Facts) -> Facts:
    """Ask the running job to end, and wait until it did."""
    folder = folder_of(request)
    held = holder(folder)
    if not held or (request.get("job") and held.get("job") != request["job"]):
        return {"stopped": None}
    job = folder / "jobs" / held["job"]
    deadline = time.monotonic() + request.get("wait_s", 40.0)
    asked = 0
    while time.monotonic() < deadline:
        status = read_status(job)
        if status["state"] == "ended" or holder(folder) is None:
            return {"stopped": held["job"], "status": status}
        supervisor = status.get("supervisor")
        if supervisor and asked < (2 if request.get("now") else 1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGTERM)
            asked += 1
        time.sleep(POLL_S)
    return {"error": f"job {held['job']} did not end"}


def tail(request: Facts) -> None:
    """Send what a job prints, from the given offsets, until it has ended."""
    folder = folder_of(request)
    job = folder / "jobs" / request["job"]
    if not job.is_dir():
        frame("end", json.dumps({"state": "unknown"}).encode())
        return
    mine = f"{os.getpid()}-{time.time()}"
    (job / "reader").write_text(mine)
    offsets = {"out": request["out"], "err": request["err"]}
    spoken = time.monotonic()
    while True:
        status = read_status(job)
        held = holder(folder)
        # While the lock is written it names no job.
        alive = held is not None and held.get("job", job.name) == job.name
        lost = status["state"] != "ended" and not alive
        if lost:
            # It may have ended between the two looks.
            status = read_status(job)
            lost = status["state"] != "ended"
        moved = False
        for kind in ("out", "err"):
            with contextlib.suppress(FileNotFoundError), (job / f"std{kind}").open("rb") as log:
                log.seek(offsets[kind])
                block = log.read(CHUNK)
                if block:
                    frame(kind, block)
                    offsets[kind] += len(block)
                    moved, spoken = True, time.monotonic()
        if moved:
            continue
        if status["state"] == "ended" or lost:
            frame("end", json.dumps({"state": "lost"} if lost else status).encode())
            return
        # Another connection reads this job now, so this one is cut.
        if (job / "reader").read_text() != mine:
            return
        if time.monotonic() - spoken > TICK_S:
            # Fails, and ends this process, once nobody listens.
            frame("tick", b"")
            spoken = time.monotonic()
        time.sleep(POLL_S)


def describe(request: Facts) -> Facts:
    """Return what was asked of a job, by default the running or else the newest one."""
    folder = folder_of(request)
    found = jobs(folder)
    wanted = request.get("job") or (holder(folder) or {}).get("job")
    if wanted is None:
        verbs = [each["job"] for each in found if each["kind"] == "verb"]
        wanted = verbs[-1] if verbs else None
    if wanted is None or not (folder / "jobs" / wanted / "request.json").is_file():
        return {"job": None}
    return {"job": json.loads((folder / "jobs" / wanted / "request.json").read_text())}


def made(request: Facts) -> Facts:
    """Return which of a job's numbered folders for results hold something."""
    out = folder_of(request) / "jobs" / request["job"] / "out"
    return {"made": sorted(place.name for place in out.glob("*") if any(place.iterdir()))}


def install(request: Facts) -> None:
    """Make or update the virtual environment: the rules are those of deploy/install.sh."""
    folder = folder_of(request)
    python, venv = sys.executable, folder / "venv"
    has = {name: importlib.util.find_spec(name) is not None for name in ("tensorrt", "cv2")}
    if is_jetson() and not all(has.values()):
        missing = " and ".join(name for name, there in has.items() if not there)
        give_up(f"python3 has no {missing}; type on the board: {APT}")
    if importlib.util.find_spec("ensurepip") is None:
        give_up("python3 has no ensurepip; type on the board: sudo apt-get install python3-venv")
    extras = request["extras"]
    if extras is None:
        extras = ["onnxruntime", "rtsp"]
        extras += ["tensorrt"] if is_jetson() else []
        extras += [] if has["cv2"] else ["cv"]
    tell(f"making {venv}")
    (folder / "installed.json").unlink(missing_ok=True)
    # --system-site-packages: TensorRT and the OpenCV that knows GStreamer are system packages.
    made = run_aloud([python, "-I", "-m", "venv", "--system-site-packages", str(venv)])
    if made:
        give_up(f"{venv} cannot be made")
    inner = str(venv / "bin" / "python")
    before = question(python, "import cv2; print(cv2.__file__)") if has["cv2"] else None
    held = venv / "held.txt"
    numpy = question(python, "import numpy; print(numpy.__version__)")
    target = f"edgeseg[{','.join(extras)}] @ {Path(request['wheel_path']).as_uri()}"
    # JetPack's OpenCV is built for the numpy of its own Python: keep that one if edgeseg can.
    tries = [f"numpy=={numpy}\n", "numpy>=1.26,<2\n"] if before and numpy else [""]
    for constraints in tries:
        held.write_text(constraints)
        tell(f"installing edgeseg[{','.join(extras)}] {constraints.strip()}")
        command = [
            inner,
            "-I",
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "-c",
            str(held),
        ]
        command += ["--progress-bar", "off", target]
        # pip passes over a wheel of the same version.
        again = [inner, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        again += ["--no-deps", "--force-reinstall", request["wheel_path"]]
        done = run_aloud(command)
        if done == 0:
            done = run_aloud(again)
        if done == 0:
            break
    else:
        give_up(
            "pip could not install edgeseg; its words are above. Without a network on the board, "
            f"install the extras in {venv} by hand"
        )
    after = question(inner, "import cv2; print(cv2.__file__)")
    if after is None and before is not None:
        give_up(f"the system's OpenCV does not load in {venv}")
    if before is not None and before != after:
        give_up(f"{after} hides the system's {before}; pip uninstall the opencv wheel in {venv}")
    version = question(inner, "import edgeseg; print(edgeseg.__version__)")
    if version is None:
        give_up(f"edgeseg does not load in {venv}")
    found = {"wheel": request["installs"], "extras": request["extras"], "version": version}
    temporary = folder / "installed.json.partial"
    temporary.write_text(json.dumps(found))
    temporary.replace(folder / "installed.json")
    tell(f"edgeseg {version} is in {venv}")


def installed(folder: Path) -> Facts | None:
    """Return what was installed, None where the environment does not start."""
    try:
        found = json.loads((folder / "installed.json").read_text())
    except (OSError, ValueError):
        return None
    # A new Python of the system leaves an environment that does not start.
    if question(str(folder / "venv/bin/python"), "import edgeseg; print(1)") is None:
        return None
    return found


def is_jetson() -> bool:
    """Tell whether this is a Jetson."""
    return Path("/etc/nv_tegra_release").is_file() or "jetson" in (model_name() or "").lower()


def model_name() -> str | None:
    """Return the board's own name from the device tree, None on a PC."""
    try:
        return Path("/proc/device-tree/model").read_text().strip("\0\n ") or None
    except (OSError, UnicodeDecodeError):
        return None


def folder_of(request: Facts) -> Path:
    """Return edgeseg's folder on this board."""
    if request.get("folder"):
        return Path(request["folder"])
    return Path(os.environ.get("HOME") or Path.home()) / ".edgeseg"


def tree_digest(path: Path) -> str:
    """Return one SHA-256 over the names and bytes of a file or of all files in a folder."""
    whole = hashlib.sha256()
    for name, place in tree_files(path):
        inner = hashlib.sha256()
        with place.open("rb") as stream:
            while True:
                block = stream.read(1 << 20)
                if not block:
                    break
                inner.update(block)
        whole.update(os.fsencode(name) + b"\0" + inner.digest())
    return whole.hexdigest()


def tree_files(path: Path) -> list[tuple[str, Path]]:
    """Return (name, place) of a file, or of all files in a folder, by name; links are followed."""
    if not path.is_dir():
        return [(path.name, path)]
    found = []
    seen = set()
    for top, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name != PARTIAL]
        for name in files:
            place = Path(top) / name
            if place.is_file():
                found.append((place.relative_to(path).as_posix(), place))
    return sorted(found, key=lambda pair: os.fsencode(pair[0]))


def jobs(folder: Path) -> list[Facts]:
    """Return the jobs of this board, the oldest first."""
    found = []
    for request in (folder / "jobs").glob("*/request.json"):
        with contextlib.suppress(OSError, ValueError):
            held = json.loads(request.read_text())
            state = read_status(request.parent)
            found.append(
                {
                    "job": request.parent.name,
                    "title": held["title"],
                    "kind": held["kind"],
                    "who": held["who"],
                    "state": state["state"],
                    "code": state.get("code"),
                }
            )
    return sorted(found, key=lambda job: job["who"]["since"])


def prune(folder: Path) -> None:
    """Remove all but the newest ended jobs and sent files."""
    for place, kept in ((folder / "jobs", KEPT_JOBS), (folder / "files", KEPT_FILES)):
        held = sorted(place.glob("*"), key=lambda each: each.stat().st_mtime, reverse=True)
        for old in held[kept:]:
            shutil.rmtree(old, ignore_errors=True)


def holder(folder: Path) -> Facts | None:
    """Return whose job runs, None where none does."""
    try:
        lock = (folder / "lock").open()
    except FileNotFoundError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return read_lock(folder) or {"who": "an unknown desk", "title": "a job"}
    return None


def read_lock(folder: Path) -> Facts:
    """Return what the lock says, empty where nothing runs or ran."""
    try:
        return json.loads((folder / "lock").read_text() or "{}")
    except (OSError, ValueError):
        return {}


def write_lock(lock: IO[str], about: Facts | None) -> None:
    """Write whose job runs into the open lock, in one piece: a reader may look at any moment."""
    if about:
        data = json.dumps(about).encode().ljust(LOCK_BYTES)
        os.pwrite(lock.fileno(), data, 0)
        os.ftruncate(lock.fileno(), len(data))
    else:
        os.ftruncate(lock.fileno(), 0)


def write_status(job: Path, status: Facts) -> None:
    """Write a job's state over the earlier one, in the room it already has."""
    data = json.dumps(status).encode().ljust(STATUS_BYTES)
    place = job / "status.json"
    with place.open("r+b" if place.exists() else "wb") as stream:
        stream.write(data)


def read_status(job: Path) -> Facts:
    """Return a job's state."""
    try:
        return json.loads((job / "status.json").read_text())
    except (OSError, ValueError):
        return {"state": "starting"}


def end_leftover(stale: Facts) -> None:
    """End the processes of a job whose supervisor was killed."""
    pid = stale.get("pid")
    if pid and stale.get("boot") == boot() and stale.get("started_ticks") == ticks(pid):
        send(pid, signal.SIGKILL)


def end_descendants() -> None:
    """End every process that descends from this one."""
    for _ in range(50):
        parents = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = place.read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents[int(place.parent.name)] = int(fields[1])
        mine = {os.getpid()}
        while True:
            more = {pid for pid, parent in parents.items() if parent in mine} - mine
            if not more:
                break
            mine |= more
        mine.discard(os.getpid())
        for pid in mine:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not mine:
            return
        time.sleep(0.02)


def send(group: int, number: int) -> None:
    """Send a signal to a process group, which may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def ticks(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; None where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def boot() -> str:
    """Return what names this run of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def frame(kind: str, data: bytes) -> None:
    """Write one frame to the desk."""
    sys.stdout.buffer.write(f"{FRAME} {kind} {len(data)}\n".encode() + data)
    sys.stdout.buffer.flush()


def run_aloud(command: list[str]) -> int:
    """Run a command of an install, all its words on standard error, and return its exit code."""
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode


def question(python: str, code: str) -> str | None:
    """Return what a line of Python prints, None where it fails."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.decode().strip() if done.returncode == 0 else None


def tell(message: str) -> None:
    """Print one line of an install."""
    print(f"board: {message}", file=sys.stderr, flush=True)


def give_up(message: str) -> None:
    """End an install with its reason."""
    print(f"edgeseg: error: {message}", file=sys.stderr, flush=True)
    sys.exit(LACKS)


ACTIONS = {
    "hello": hello,
    "digest": digest,
    "forget": forget,
    "start": start,
    "stop": stop,
    "tail": tail,
    "describe": describe,
    "made": made,
    "install": install,
}
if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
