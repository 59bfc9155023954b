"""The program that runs on a board, run here without ssh: locks, ends, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeseg.runtime.remote import agent
from edgeseg.runtime.remote.calls import AGENT, ANSWER, BOOT

WHO = {"who": "me@desk", "since": "2026-01-01T00:00:00"}


class Here:
    """Calls the agent as calls.py does, with this machine as the board."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, do: str, **request) -> dict:
        words = [sys.executable, "-c", BOOT]
        words.append(json.dumps({"do": do, "folder": str(self.folder), **request}))
        done = subprocess.run(words, input=AGENT, capture_output=True, check=False, timeout=60)
        assert done.stderr == b""
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(ANSWER)]
        return json.loads(line[len(ANSWER) :])

    def start(self, job: str, script: str, **more) -> dict:
        return self.call(
            "start", job=job, kind="verb", title=f"run {job}", who=WHO,
            argv=["sh", "-c", script], **more,
        )  # fmt: skip

    def tail(self, job: str, out: int = 0, err: int = 0) -> dict[str, bytes]:
        request = {"do": "tail", "folder": str(self.folder), "job": job, "out": out, "err": err}
        words = [sys.executable, "-c", BOOT, json.dumps(request)]
        done = subprocess.run(words, input=AGENT, capture_output=True, check=False, timeout=60)
        found, rest = {"out": b"", "err": b"", "end": b"", "tick": b""}, done.stdout
        while rest:
            head, _, rest = rest.partition(b"\n")
            _, kind, size = head.split()
            found[kind.decode()] += rest[: int(size)]
            rest = rest[int(size) :]
        return found

    def end(self, job: str) -> dict:
        return json.loads(self.tail(job)["end"])

    def status(self, job: str) -> dict:
        return agent.read_status(self.folder / "jobs" / job)

    def wait(self, job: str, key: str) -> dict:
        deadline = time.monotonic() + 20
        while key not in (status := self.status(job)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return status


@pytest.fixture
def here(tmp_path: Path):
    board = Here(tmp_path / "edge seg")
    yield board
    board.call("stop", now=True)


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while agent.ticks(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return agent.ticks(pid) is None


def test_a_job_is_started_read_and_ended(here):
    assert here.call("hello")["installed"] is None
    assert here.start("one", "echo out; echo err >&2; pwd; exit 3")["job"] == "one"
    read = here.tail("one")
    assert read["out"].startswith(b"out\n")
    assert read["out"].strip().endswith(b"/edge seg/jobs/one/work")
    assert read["err"] == b"err\n"
    assert json.loads(read["end"]) == {"state": "ended", "code": 3, "stopped": False}
    # Read on from where an earlier connection was cut.
    assert here.tail("one", out=4)["out"].startswith(b"/")
    (job,) = here.call("hello")["jobs"]
    assert (job["job"], job["state"], job["code"]) == ("one", "ended", 3)


def test_a_second_job_is_refused_by_name_and_the_first_may_be_asked_for_twice(here):
    here.start("one", "sleep 100")
    assert here.start("two", "true")["busy"]["title"] == "run one"
    assert not (here.folder / "jobs" / "two").exists()
    # Its answer may have been lost with the line.
    assert here.start("one", "false") == {"job": "one"}
    assert here.call("hello")["holder"]["who"] == "me@desk"
    assert here.call("stop", job="other") == {"stopped": None}
    assert here.call("stop", job="one")["status"]["code"] == 128 + signal.SIGINT
    assert here.start("two", "true")["job"] == "two"
    assert here.end("two")["code"] == 0


def test_nothing_is_left_even_of_what_went_its_own_way(here):
    here.start(
        "one", "setsid sleep 1000 & echo $! > pid; setsid sh -c 'sleep 1000 & wait' & exit 0"
    )
    assert here.end("one")["code"] == 0
    assert gone(int((here.folder / "jobs/one/work/pid").read_text()))
    words = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 1000" not in words


def test_a_job_that_will_not_end_is_ended(here):
    here.start("one", "trap '' INT TERM; while :; do sleep 0.05; done", grace_s=0.2)
    status = here.wait("one", "pid")
    assert here.call("stop", now=True)["status"]["code"] == 128 + signal.SIGKILL
    assert gone(status["pid"])


def test_a_job_that_ends_in_order_keeps_its_exit_code(here):
    here.start("one", "trap 'echo report; exit 0' INT; echo ready; while :; do sleep 0.05; done")
    deadline = time.monotonic() + 10
    while not (here.folder / "jobs/one/stdout").read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert here.call("stop")["status"] == {"state": "ended", "code": 0, "stopped": True}
    assert here.tail("one")["out"] == b"ready\nreport\n"


def test_a_killed_supervisor_takes_its_job_along_and_its_lock_is_told_to_be_stale(here):
    here.start("one", "sleep 100")
    status = here.wait("one", "supervisor")
    os.kill(status["supervisor"], signal.SIGKILL)
    assert gone(status["pid"])
    assert here.end("one") == {"state": "lost"}
    answer = here.start("two", "true")
    assert answer["stale"]["title"] == "run one"
    assert here.end("two")["code"] == 0
    assert "stale" not in here.start("three", "true") or not here.start("three", "true").get(
        "stale"
    )


def test_another_wheel_than_the_one_expected_is_told(here):
    assert here.start("one", "true", wheel="abc") == {"other_wheel": "none"}


def test_what_cannot_be_started_is_said_on_standard_error(here):
    here.call("start", job="one", kind="verb", title="t", who=WHO, argv=["/no/such/program"])
    read = here.tail("one")
    assert b"/no/such/program" in read["err"]
    assert json.loads(read["end"])["code"] == 1


def test_old_jobs_and_files_make_room(here, monkeypatch):
    for number in range(agent.KEPT_JOBS + 3):
        place = here.folder / "jobs" / f"old{number}"
        place.mkdir(parents=True)
        os.utime(place, (number, number))
    agent.prune(here.folder)
    left = sorted(place.name for place in (here.folder / "jobs").iterdir())
    assert left == sorted(f"old{number}" for number in range(3, agent.KEPT_JOBS + 3))


def test_a_digest_is_of_names_and_bytes_and_not_of_dates(tmp_path: Path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "x").write_bytes(b"1")
        (folder / "y").write_bytes(b"2")
    os.utime(second / "y", (1, 1))
    assert agent.tree_digest(first) == agent.tree_digest(second)
    (second / "y").rename(second / "z")
    assert agent.tree_digest(first) != agent.tree_digest(second)
    (second / "z").rename(second / "y")
    (second / agent.PARTIAL).mkdir()
    (second / agent.PARTIAL / "half").write_bytes(b"3")
    assert agent.tree_digest(first) == agent.tree_digest(second)
    (second / "y").write_bytes(b"3")
    assert agent.tree_digest(first) != agent.tree_digest(second)


def test_a_link_that_leads_round_in_a_circle_ends(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    (tmp_path / "a" / "back").symlink_to(tmp_path / "a")
    assert [name for name, _ in agent.tree_files(tmp_path / "a")] == ["x"]


def test_the_rules_of_the_install_script_are_the_agents():
    script = Path(agent.__file__).parents[3] / "deploy" / "install.sh"
    if not script.is_file():
        pytest.skip("not a checkout")
    text = script.read_text().replace("\\\n#      ", "").replace("  ", " ")
    for package in agent.APT.split()[3:]:
        assert package in text
    assert "numpy>=1.26,<2" in text
    assert "--system-site-packages" in text
