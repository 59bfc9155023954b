"""One writer a folder."""

import json
import os
import signal
import subprocess
import sys

import pytest

from edgeseg.core.files.lock import LOCK, hold, locked, one_writer
from edgeseg.errors import UsageError

HOLDER = """
import sys, time
from pathlib import Path
from edgeseg.core.files.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_writer_is_told_who_the_first_is(tmp_path, holder):
    told = rf"process {holder.pid} on .* since 2"
    with pytest.raises(UsageError, match=told), locked(tmp_path / "run"):
        pytest.fail("two writers")


def test_a_dead_owner_stands_in_nobodys_way(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == holder.pid
    with locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()


def test_nothing_is_left_and_what_was_made_for_nothing_goes(tmp_path):
    with locked(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a"):
        (tmp_path / "a" / "result").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["result"]


@pytest.mark.parametrize("content", ["", "[", "[1]", '{"pid": "\\u001b[31m"}'])
def test_a_damaged_lock_is_a_lock(tmp_path, content):
    with locked(tmp_path / "run"):
        (tmp_path / "run" / LOCK).write_text(content)
        told = pytest.raises(UsageError, match="is being written by")
        with told as caught, locked(tmp_path / "run"):
            pytest.fail("two writers")
        assert "\x1b" not in str(caught.value)


def test_a_job_drops_its_locks_however_it_ends(tmp_path):
    @one_writer
    def job(fails: bool) -> None:
        hold(tmp_path / "run")
        (tmp_path / "run" / "result").touch()
        if fails:
            raise ValueError("no")

    for fails in (True, False, True):
        with pytest.raises(ValueError, match="no") if fails else locked(tmp_path / "other"):
            job(fails)
        assert not (tmp_path / "run" / LOCK).exists()
