import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeseg.errors import BackendError, BackendUnavailable
from edgeseg.runtime.engine.subprocess_call import call_in_subprocess


def double(value, *, progress):
    progress(1, 2, "half")
    return 2 * value, os.getpid()


def unavailable(*, progress):
    raise BackendUnavailable("no driver here")


def breaks(*, progress):
    raise ZeroDivisionError("by zero\nsecond line")


def dies(number, *, progress):
    os.kill(os.getpid(), number)
    time.sleep(5)


def leaves(*, progress):
    os._exit(7)


def sleeps(*, progress):
    progress(os.getpid(), None, "")
    time.sleep(60)


def test_it_runs_elsewhere_and_gives_result_and_progress():
    seen = []
    value, process = call_in_subprocess(
        double, 21, what="doubling", progress=lambda *a: seen.append(a)
    )
    assert value == 42
    assert process != os.getpid()
    assert seen == [(1, 2, "half")]


def test_an_error_of_ours_comes_back_as_itself():
    with pytest.raises(BackendUnavailable, match=r"^no driver here$"):
        call_in_subprocess(unavailable, what="looking")


def test_any_other_error_is_one_line():
    with pytest.raises(BackendError, match=r"^breaking failed: ZeroDivisionError: by zero$"):
        call_in_subprocess(breaks, what="breaking")


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGSEGV, "SIGSEGV inside a native library"), (signal.SIGKILL, "want of memory")],
)
def test_a_crash_is_an_error_here(number, said):
    with pytest.raises(BackendError, match=said):
        call_in_subprocess(dies, number, what="dying")


def test_an_exit_without_a_result_is_an_error():
    with pytest.raises(BackendError, match="ended with code 7"):
        call_in_subprocess(leaves, what="leaving")


def test_an_interrupt_ends_the_child():
    children = []

    def interrupt(process, total, note):
        children.append(process)
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call_in_subprocess(sleeps, what="sleeping", progress=interrupt)
    assert time.monotonic() - start < 30
    with pytest.raises(ProcessLookupError):
        os.kill(children[0], 0)


def sends_half(*, progress):
    # The first bytes of a message, as when the system ends a process that sends a large plan.
    handle = int(sys.argv[1])
    os.write(handle, struct.pack("!i", 1000) + b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_end_in_the_middle_of_the_result_is_told_as_what_it_is():
    with pytest.raises(BackendError, match="ended by SIGKILL, most likely for want of memory"):
        call_in_subprocess(sends_half, what="sending")


def test_a_child_does_not_outlive_its_parent():
    script = (
        "import os, sys; sys.path[:0] = sys.argv[1:]; import test_subprocess_call as t\n"
        "def told(pid, total, note):\n"
        "    print(pid, flush=True)\n"
        "    os._exit(0)\n"
        "t.call_in_subprocess(t.sleeps, what='sleeping', progress=told)"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", script, here], capture_output=True, text=True)
    child = Path("/proc") / done.stdout.strip()
    assert child.name.isdigit(), done.stderr
    ends_by = time.monotonic() + 20
    while child.is_dir() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < ends_by, "it sleeps on"
        time.sleep(0.1)
