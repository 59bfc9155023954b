"""Runs on a board over a real sshd: what comes back, and what happens when something breaks."""

import getpass
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from loopback_board import LoopbackBoard

from edgeseg.core.bundle import Bundle, write_bundle
from edgeseg.errors import BoardError
from edgeseg.runtime.remote import agent
from edgeseg.runtime.remote.boards import Board
from edgeseg.runtime.remote.job import Brought, Listener, Sent, Session
from edgeseg.runtime.remote.timing import BoardTimer
from edgeseg.runtime.remote.wheel import edgeseg_wheel

CAMERA = "synthetic://?fps=20"
USER = getpass.getuser()
TARGET = f"{USER}@127.0.0.1"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> str:
    return edgeseg_wheel(tmp_path_factory.mktemp("wheels"))[1]


@pytest.fixture(scope="module")
def board(tmp_path_factory, wheel):
    made = LoopbackBoard(tmp_path_factory.mktemp("board"))
    try:
        made.prepare(wheel)
        added = made.edgeseg("board", "add", "orin", TARGET, "--port", made.port)
        assert added.returncode == 0, added.stderr
        yield made
    finally:
        made.stop()
    assert made.wait_idle() == []


@pytest.fixture
def desk(board, monkeypatch):
    """This process as the desk: the board's ssh is the one on the PATH."""
    monkeypatch.setenv("PATH", board.desk["PATH"])
    return board


def named(board: LoopbackBoard, **more) -> Board:
    return Board("orin", "127.0.0.1", USER, board.port, **more)


def session(board: LoopbackBoard, said: list[str], **more) -> Session:
    listener = Listener(said.append, said.append, said.append)
    made = Session(named(board, **more), listener, desk="me@desk", patience_s=20.0)
    made.hello()
    return made


def wait_until(check, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found
    return found


def streaming(board: LoopbackBoard) -> bool:
    """Whether the loop itself runs there: its process has loaded the network's runtime."""
    held = agent.holder(board.home / ".edgeseg")
    if not held or "pid" not in held:
        return False
    try:
        return "onnxruntime" in Path(f"/proc/{held['pid']}/maps").read_text()
    except OSError:
        return False


def test_a_verb_runs_there_and_what_it_writes_comes_back(board, colour_bundle, tmp_path):
    odd = tmp_path / "-a b; $(touch pwned) é'\""
    odd.symlink_to(colour_bundle.path)
    done = board.edgeseg(
        "on", "orin", "stream", "-o", "r é;$(touch pwned).json", "--", odd.name,
        "synthetic://?frames=4", "masks dir/", "out 'x'.jsonl", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r é;$(touch pwned).json").read_text())
    assert report["bundle"]["sha256"] == colour_bundle.digest
    assert len(list((tmp_path / "masks dir").glob("*.png"))) == 4
    assert len((tmp_path / "out 'x'.jsonl").read_text().splitlines()) == 4
    assert "from orin: masks dir" in done.stderr or "/masks dir" in done.stderr
    assert not list(Path(board.root).rglob("pwned"))
    assert not list(tmp_path.glob("pwned"))
    assert not list(tmp_path.glob(".edgeseg*"))


def test_a_verbs_exit_code_and_document_are_its_own(board, colour_bundle, tmp_path):
    done = board.edgeseg(
        "on", "orin", "verify", colour_bundle.path, "--backend", "onnxruntime", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    missing = board.edgeseg("on", "orin", "verify", colour_bundle.path, "--backend", "tensorrt")
    assert missing.returncode == 5
    assert "tensorrt" in missing.stderr


def test_a_bundle_is_copied_once_and_again_when_it_changed(desk, make_bundle):
    said: list[str] = []
    bundle = make_bundle("model", (32, 48))
    here = session(desk, said)
    there = here._push(bundle.path)
    written = Path(there, "model.onnx").stat().st_ctime_ns
    assert here._push(bundle.path) == there
    assert Path(there, "model.onnx").stat().st_ctime_ns == written
    # Damaged there: same name, size and date.
    graph = Path(there, "model.onnx")
    held, data = graph.stat(), bytearray(graph.read_bytes())
    data[100] ^= 1
    graph.write_bytes(data)
    os.utime(graph, ns=(held.st_atime_ns, held.st_mtime_ns))
    assert here._push(bundle.path) == there
    assert agent.tree_digest(Path(there)) == agent.tree_digest(bundle.path)
    (bundle.path / "golden.npz").write_bytes(b"other")
    assert here._push(bundle.path) != there


def test_a_copy_is_resumed_where_the_line_broke(desk, tmp_path):
    said: list[str] = []
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20) * 128)
    here = session(desk, said)
    files = desk.home / ".edgeseg" / "files"
    kept: list[int] = []

    def cut_in_the_middle() -> None:
        # rsync writes into a file of another name until all has come.
        def part() -> bool:
            return any(held.stat().st_size > 1 << 22 for held in files.glob("*/.big.bin.*"))

        wait_until(part)
        desk.cut()
        place = f"*/{agent.PARTIAL}/big.bin"
        wait_until(lambda: list(files.glob(place)) or not list(files.glob("*/.big.bin.*")))
        kept.extend(held.stat().st_size for held in files.glob(place))

    cutter = threading.Thread(target=cut_in_the_middle)
    cutter.start()
    there = Path(here._push(big))
    cutter.join()
    assert any("the line broke" in line for line in said)
    # What had come was kept, and the rest sent.
    assert kept
    assert kept[0] > 1 << 22
    assert agent.tree_digest(there) == agent.tree_digest(big)
    assert not list(there.parent.glob(f"{agent.PARTIAL}/*"))


def test_a_run_goes_on_when_the_line_is_cut_and_is_picked_up(board, colour_bundle, tmp_path):
    run = board.popen(
        "on", "orin", "stream", colour_bundle.path, CAMERA, "null", "--seconds", "5",
        "-o", "report.json", cwd=tmp_path,
    )  # fmt: skip
    wait_until(lambda: any("stream" in words for words in board.processes()))
    wait_until(board.cut)
    # No way in for a while either.
    board.stop()
    time.sleep(1.5)
    assert any("stream" in words for words in board.processes())
    board.start()
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert "the line broke, trying again" in err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] > 20
    assert "FPS" in out
    assert board.wait_idle() == []


def test_a_run_outlives_its_desk_and_attach_brings_its_results(board, colour_bundle, tmp_path):
    run = board.popen(
        "on", "orin", "stream", colour_bundle.path, CAMERA, "null", "--seconds", "4",
        "-o", "report.json", cwd=tmp_path,
    )  # fmt: skip
    wait_until(lambda: any("stream" in words for words in board.processes()))
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    attached = board.edgeseg("on", "orin", "attach")
    assert attached.returncode == 0, attached.stderr
    assert "FPS" in attached.stdout
    assert (tmp_path / "report.json").is_file()
    listed = board.edgeseg("on", "orin", "jobs")
    assert "ended" in listed.stdout
    assert board.wait_idle() == []


def test_ctrl_c_ends_the_run_there_and_its_report_comes(board, colour_bundle, tmp_path):
    run = board.popen(
        "on", "orin", "stream", colour_bundle.path, CAMERA, "null", "-o", "report.json",
        cwd=tmp_path,
    )  # fmt: skip
    wait_until(lambda: streaming(board))
    time.sleep(1)
    os.kill(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert "ending what runs on orin" in err
    assert run.returncode == 0, err
    assert json.loads((tmp_path / "report.json").read_text())["frames"] > 0
    assert board.wait_idle() == []


def test_a_second_run_is_refused_by_name_and_may_end_the_first(board, colour_bundle, tmp_path):
    run = board.popen("on", "orin", "stream", colour_bundle.path, CAMERA, "null", cwd=tmp_path)
    wait_until(lambda: streaming(board))
    second = board.edgeseg("on", "orin", "doctor")
    assert second.returncode == 5
    assert "orin is in use by " in second.stderr
    assert "edgeseg stream " in second.stderr
    assert "edgeseg on orin stop" in second.stderr
    assert second.stderr.count("\n") == 1
    ended = board.edgeseg("on", "orin", "stop")
    assert "has ended" in ended.stderr, ended.stderr
    run.communicate(timeout=60)
    assert board.wait_idle() == []


def test_a_stale_lock_is_told_and_taken_over(board, colour_bundle, tmp_path):
    run = board.popen("on", "orin", "stream", colour_bundle.path, CAMERA, "null", cwd=tmp_path)
    wait_until(lambda: streaming(board))
    held = agent.holder(board.home / ".edgeseg")
    os.kill(held["supervisor"], signal.SIGKILL)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 5
    assert "orin lost the job" in err
    assert board.wait_idle() == []
    done = board.edgeseg("on", "orin", "verify", colour_bundle.path, "--backend", "onnxruntime")
    assert done.returncode == 0, done.stderr
    assert "was stale, its process is gone; taken over" in done.stderr


def test_a_board_with_another_host_key_is_not_talked_to(board):
    board.trust("other")
    try:
        done = board.edgeseg("on", "orin", "doctor")
    finally:
        board.trust("host")
    assert done.returncode == 5
    assert "shows another host key than before" in done.stderr
    assert f"ssh-keygen -R '[127.0.0.1]:{board.port}'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_host_key_names_the_command_to_type(board):
    held = board.known_hosts.read_text()
    board.known_hosts.write_text("")
    try:
        done = board.edgeseg("on", "orin", "doctor")
    finally:
        board.known_hosts.write_text(held)
    assert done.returncode == 5
    assert f"ssh -p {board.port} {TARGET} true" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_user_key_is_told(board):
    board.use_key("other")
    try:
        done = board.edgeseg("on", "orin", "doctor")
    finally:
        board.use_key("user")
    assert done.returncode == 5
    assert f"ssh-copy-id -p {board.port} {TARGET}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_board_that_is_off_is_told_at_once(board, tmp_path):
    board.edgeseg("board", "add", "off", TARGET, "--port", "1", "--unchecked")
    done = board.edgeseg("on", "off", "doctor")
    assert done.returncode == 5
    assert f"off ({TARGET}) is not reachable" in done.stderr


def test_a_wrong_argument_costs_no_call(board):
    done = board.edgeseg("on", "orin", "verify", "no/such/bundle", env={"PATH": "/nowhere"})
    assert done.returncode == 1
    assert "no/such/bundle" in done.stderr
    done = board.edgeseg("on", "orin", "verify", "--no-such-option", env={"PATH": "/nowhere"})
    assert done.returncode == 2
    done = board.edgeseg("on", "orin", "train", "segnet", env={"PATH": "/nowhere"})
    assert done.returncode == 2
    assert "verb for a board" in done.stderr


@pytest.mark.parametrize("name", ["; rm -rf ~", "a b", "é", "-x", "$(id)"])
def test_a_hostile_name_is_refused(board, name):
    done = board.edgeseg("on", name, "doctor")
    assert done.returncode == 2
    assert "board's name" in done.stderr
    done = board.edgeseg("board", "add", "--unchecked", "--", name, TARGET)
    assert done.returncode == 2
    done = board.edgeseg("board", "add", "--unchecked", "--", "x", name)
    assert done.returncode == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 80 MB, where this machine lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", place], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_told_before_during_and_in_a_run(
    desk, colour_bundle, small_disk, wheel, tmp_path
):
    folder = small_disk / "edgeseg"
    desk.prepare(wheel, folder=folder)
    said: list[str] = []
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20) * 90)
    here = session(desk, said, folder=str(folder))
    with pytest.raises(BoardError, match=r"MB free, .*big.bin needs 94 MB"):
        here._push(big)
    # The disk filled up after the look.
    here.free = 1 << 40
    with pytest.raises(BoardError, match="the disk is full, here or there"):
        here._push(big)
    assert not list((folder / "files").iterdir())
    here._push(colour_bundle.path)
    filler = small_disk / "filler"
    with filler.open("wb") as stream:
        try:
            while True:
                stream.write(bytes(1 << 16))
                stream.flush()
        except OSError:
            pass
    with filler.open("r+b") as stream:
        stream.truncate(filler.stat().st_size - (1 << 15))
    ended = here.run(
        ["stream", Sent(colour_bundle.path), "synthetic://?frames=100",
         Brought(tmp_path / "masks", "masks/", folder=True), "--backend", "onnxruntime"],
        wheel,
    )  # fmt: skip
    assert ended.code != 0 or "left out after it failed" in "".join(said)
    assert "disk is full" in "".join(said) or "No space left" in "".join(said), said
    # The end of the job was written all the same.
    assert agent.read_status(folder / "jobs" / ended.job)["state"] == "ended"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("export PYTHONPATH='{root}/old'\nexec {python} \"$@\"", "Python 3.8; edgeseg needs 3.10"),
        ("echo python3: command not found >&2\nexit 127", "has no python3"),
    ],
)  # fmt: skip
def test_a_board_without_python_3_10_is_told(tmp_path, script, said):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "sitecustomize.py").write_text(
        "import sys\nsys.version_info = (3, 8, 10, 'final', 0)\n"
    )
    text = "#!/bin/sh\n" + script.format(root=tmp_path, python=sys._base_executable)
    made = LoopbackBoard(tmp_path / "board", python=text)
    try:
        done = made.edgeseg("board", "add", "old", TARGET, "--port", made.port)
        assert done.returncode == 5
        assert said in done.stderr
        # It is kept all the same: a newer JetPack is flashed under the same name.
        assert "old" in made.edgeseg("board", "list").stdout
    finally:
        made.stop()


def test_several_boards_give_one_table(board, wheel, colour_bundle, tmp_path):
    folder = board.root / "second"
    board.prepare(wheel, folder=folder)
    board.edgeseg(
        "board", "add", "b", TARGET, "--port", board.port, "--folder", folder,
        "--unchecked",
    )  # fmt: skip
    if " " in str(folder):
        pytest.skip("the test's folder has a space")
    done = board.edgeseg(
        "on", "orin,b", "bench", colour_bundle.path, "--data", "synthetic:2", "--backend",
        "onnxruntime", "--rounds", "2", "-o", "bench.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if "onnxruntime" in line]
    assert [line[0] for line in lines] == ["orin", "b"]
    for name in ("orin", "b"):
        assert json.loads((tmp_path / f"bench-{name}.json").read_text())["rows"]
    refused = board.edgeseg("on", "orin,orin", "doctor")
    assert refused.returncode == 2


def test_what_a_verb_reads_and_writes_is_sent_and_brought(board, colour_bundle, tmp_path):
    report = tmp_path / "report.json"
    made = board.edgeseg(
        "on", "orin", "stream", colour_bundle.path, "synthetic://?frames=3", "-o", report
    )
    assert made.returncode == 0, made.stderr
    budget = tmp_path / "budget.toml"
    budget.write_text("[budget]\nmin_miou = 0.0\n")
    history = tmp_path / "history.jsonl"
    history.write_text('{"kept": 1}\n')
    done = board.edgeseg(
        "on", "orin", "gate", report, "--budget", budget, "--history", history,
        "--junit", tmp_path / "junit.xml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # What was there was sent, and added to.
    kept, added = history.read_text().splitlines()
    assert json.loads(kept) == {"kept": 1}
    assert json.loads(added)
    assert (tmp_path / "junit.xml").read_text().startswith("<?xml")


def test_two_threads_of_one_desk_do_not_meet_in_a_lock(desk, colour_bundle, wheel):
    said: list[str] = []
    codes: list[int] = []

    def work() -> None:
        try:
            words = ["verify", Sent(colour_bundle.path), "--backend", "onnxruntime"]
            codes.append(session(desk, said).run(words, wheel).code)
        except BoardError as error:
            said.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes
    assert set(codes) == {0}
    assert len(codes) + sum("is in use by me@desk" in line for line in said) == 2


def test_a_word_to_send_must_exist(desk, wheel, tmp_path):
    with pytest.raises(Exception, match="does not exist"):
        session(desk, []).run(["verify", Sent(tmp_path / "none")], wheel)


@pytest.mark.slow
def test_the_wheel_is_really_installed(tmp_path, colour_bundle):
    made = LoopbackBoard(tmp_path / "board")
    try:
        added = made.edgeseg(
            "board", "add", "new", TARGET, "--port", made.port, "--extras",
            "cv,onnxruntime",
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        done = made.edgeseg("on", "new", "verify", colour_bundle.path, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["ok"] is True
        assert "installing edgeseg[cv,onnxruntime]" in done.stderr
        again = made.edgeseg("on", "new", "install")
        assert "has this edgeseg already" in again.stderr
    finally:
        made.stop()


def test_a_first_run_gives_a_page_a_row_and_the_reports(board, colour_bundle, tmp_path):
    done = board.edgeseg(
        "on", "orin", "first-run", colour_bundle.path, "--data", "synthetic:2", "--seconds", "2s",
        "-o", "first", "--json", cwd=tmp_path,
    )  # fmt: skip
    document = json.loads(done.stdout)
    codes = {step["name"]: step["code"] for step in document["steps"]}
    assert list(codes) == ["doctor", "verify", "build", "bench", "stream"]
    # A step that fails is a finding: without a GPU no engine is built, and the rest runs.
    assert codes | {"build": 0} == dict.fromkeys(codes, 0), done.stderr
    assert done.returncode == codes["build"]
    if codes["build"]:
        assert "tensorrt" in document["steps"][2]["note"]
    stream = json.loads((tmp_path / "first" / "stream.json").read_text())
    cells = (tmp_path / "first" / "row.md").read_text().splitlines()[-1].strip("| ").split(" | ")
    assert cells[4] == f"{stream['fps']:.1f}"
    assert cells[7] == f"{stream['accuracy']['miou']:.4f}"
    assert cells[8] == "stream.json"
    page = (tmp_path / "first" / "index.html").read_text()
    assert "First run on orin" in page
    assert " | ".join(cells[2:5]) in page
    assert (tmp_path / "first" / "bench.html").is_file()
    assert json.loads((tmp_path / "first" / "first-run.json").read_text()) == document


def slower_than(bundle: Bundle, path: Path) -> Bundle:
    """The same network behind a convolution that costs and changes nothing."""
    import onnx

    model = onnx.load(bundle.onnx_path)
    wide = np.zeros((96, 3, 5, 5), np.float32)
    back = np.zeros((3, 96, 1, 1), np.float32)
    for name, value in (("wide", wide), ("back", back)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    make = onnx.helper.make_node
    nodes = list(model.graph.node)
    nodes[2].input[0] = "added"
    nodes[2:2] = [
        make("Conv", ["float", "wide"], ["much"], pads=[2, 2, 2, 2]),
        make("Conv", ["much", "back"], ["nothing"]),
        make("Add", ["float", "nothing"], ["added"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return write_bundle(
        path, model.SerializeToString(), bundle.golden(), name="slow", spec=bundle.spec,
        precision="fp32", opset=18,
    )  # fmt: skip


def test_a_candidate_is_timed_on_the_board(desk, colour_bundle, wheel, tmp_path):
    timer = BoardTimer(session(desk, []), wheel, tmp_path, "onnxruntime", 1)
    slow = slower_than(colour_bundle, tmp_path / "slow")
    ms, ratio = timer(colour_bundle, slow)
    assert ms > 0
    assert ratio > 1.3
    assert timer(slow, colour_bundle)[1] < 1 / 1.3
    (tmp_path / "slow" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BoardError, match=r"orin could not time the candidate: .*bytes"):
        timer(colour_bundle, slow)


@pytest.mark.slow
def test_tune_measures_on_the_board(board, small_checkpoint, tmp_path):
    done = board.edgeseg(
        "tune", small_checkpoint, "--data", "synthetic:4", "--val-limit", "1", "--crop", "32x48",
        "--batch", "2", "--trial-epochs", "1", "--round-to", "2", "--trials", "1", "--target-ms",
        "0.000001", "--on", "orin", "-o", tmp_path / "tune", cwd=tmp_path,
    )  # fmt: skip
    # No network is as quick as that; what matters is who said so.
    assert done.returncode == 4, done.stderr
    held = json.loads((tmp_path / "tune" / "timed" / "reference.json").read_text())
    assert (held["place"], held["backend"]) == ("orin", "onnxruntime")
    assert held["ms"] > 0
    jobs = board.edgeseg("on", "orin", "jobs").stdout
    assert "edgeseg bench" in jobs
    assert board.wait_idle() == []
