"""`edgeseg stream`: what its options do, as a user runs it."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tinybundle import expected_labels, random_frame, spec, tiny_bundle

import edgeseg.core.report
from edgeseg.cli import run
from edgeseg.core.images.io import write_png
from edgeseg.core.report import read_report
from edgeseg.runtime.backends.shared import SharedBackend
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.open import open_sink
from edgeseg.runtime.sources.base import Frame


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    tiny_bundle(path)
    return str(path)


@pytest.fixture
def images(tmp_path):
    for i in range(12):
        write_png(tmp_path / "images" / f"{i:02d}.png", random_frame(i))
    return str(tmp_path / "images")


@pytest.fixture
def stream(capsys):
    """Run the verb; returns its exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["stream", *arguments, "--backend", "onnxruntime", "--threads", "1"])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def document(stream):
    def call(*arguments: str) -> dict:
        code, out, err = stream(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return call


def test_a_shadow_is_reported_and_harvested(document, bundle, images, tmp_path):
    found = document(
        bundle, images, "--shadow", bundle, "--every", "1", "--alarm", "0.5",
        "--harvest", str(tmp_path / "h"),
    )["shadow"]  # fmt: skip
    assert found["n"] >= 1
    assert found["n"] + found["skipped"] == 12
    assert found["agreement"] == 1.0
    assert (found["alarms"], found["harvested"], found["error"]) == (0, 0, None)
    assert (tmp_path / "h/classes.txt").is_file()


def test_several_cameras_share_the_network_and_have_a_report_each(
    document, bundle, images, tmp_path
):
    found = document(
        bundle, images, f"{tmp_path}/masks-{{n}}/", "--also", f"{images}/0[0-5].png",
        "-o", str(tmp_path / "r.json"),
    )  # fmt: skip
    assert [report["frames"] for report in found["reports"]] == [12, 6]
    for number, n in ((0, 12), (1, 6)):
        assert len(list((tmp_path / f"masks-{number}").iterdir())) == n
        assert read_report(tmp_path / f"r-{number}.json").frames == n


def test_two_cameras_go_into_one_call(document, bundle, images):
    found = document(bundle, images, "--also", images, "--batch", "2")
    assert [report["frames"] for report in found["reports"]] == [12, 12]
    assert [report["run"]["batch"] for report in found["reports"]] == [2, 2]


def test_sustain_repeats_files_and_reports_burst_and_drift(document, bundle, images):
    found = document(bundle, images, "--sustain", "6s", "--pace", "30")
    assert found["frames"] > 20
    assert found["run"]["ended_by"] == "duration"
    assert found["rate"]["seconds"] > 5
    assert found["rate"]["fps_drift"] is not None


def test_hold_makes_a_slower_device_of_this_one(document, bundle, images):
    found = document(bundle, images, "--hold", "30")
    assert found["latency_ms"]["infer"]["p50"] >= 30
    assert found["run"]["held_to_ms"] == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--harvest", "h"], "need --shadow"),
        (["--alarm", "0.9"], "need --shadow"),
        (["--sustain", "5m", "--frames", "3"], "leave --duration and --frames out"),
        (["--sustain", "0"], "expected a time above 0"),
        (["--also", "x", "--labels", "y"], "belongs to one SOURCE"),
        (["--duration", "soon"], "is not a time"),
        (["--batch", "2"], "add cameras with --also"),
        (["--every", "5"], "there is no --shadow"),
        (["--shadow", "x", "--harvest-limit", "5"], "there is no --harvest"),
        (["--hold", "inf"], "inf is not in the range"),
    ],
)
def test_options_that_cannot_go_together_are_answered(stream, bundle, images, arguments, message):
    code, _, err = stream(bundle, images, *arguments)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("synthetic://frames=20", r"give synthetic://?frames=20"),
        ("synthetic://?size=200000x200000", "size is above"),
    ],
)
def test_a_drive_that_cannot_be_is_answered(stream, bundle, uri, message):
    code, _, err = stream(bundle, uri)
    assert code == 2
    assert message in err


def test_brackets_of_a_name_are_printed_and_styles_nothing(stream, bundle, images, tmp_path):
    folder = tmp_path / "cam[red][/b]"
    folder.parent.mkdir()
    Path(images).rename(folder)
    code, out, err = stream(bundle, str(folder))
    assert code == 0, err
    assert "cam[red][/b]" in out


def test_a_replay_without_labelled_pixels_has_no_streaming_score(
    document, bundle, images, tmp_path
):
    for i in range(12):
        labels = np.full((48, 64), 0 if i == 0 else 255, np.uint8)
        write_png(tmp_path / "masks" / f"{i:02d}.png", labels)
    out = tmp_path / "r.json"
    masks = ("--labels", str(tmp_path / "masks"))
    found = document(bundle, images, *masks, "--pace", "20", "-o", str(out))
    assert found["accuracy"]["streaming_miou"] is None
    assert json.loads(out.read_text()) == found


def test_hold_ends_with_the_run_and_a_slow_pace_is_no_lost_camera(document, bundle, images):
    began = time.monotonic()
    found = document(bundle, images, "--hold", "60000", "--duration", "1s")
    assert (found["frames"], found["run"]["ended_by"]) == (0, "duration")
    assert time.monotonic() - began < 30
    found = document(bundle, images, "--pace", "0.8", "--give-up", "1s", "--frames", "2")
    assert (found["frames"], found["run"]["error"]) == (2, None)


def test_one_file_cannot_take_two_cameras(stream, bundle, images):
    code, _, err = stream(bundle, images, "out.mp4", "--also", images)
    assert code == 2
    assert "out-{n}.mp4" in err


def test_the_table_tells_what_happened(stream, bundle, images):
    code, out, err = stream(bundle, images, "--shadow", bundle, "--every", "1")
    assert code == 0, err
    assert "agreement 1.0000" in out


@pytest.mark.parametrize("sink", ["truth", "images/", "images/00.jsonl"])
def test_a_sink_leaves_pictures_and_masks_as_they_were(
    stream, bundle, images, tmp_path, monkeypatch, sink
):
    """The folder of the masks without --labels, and the one of the pictures."""
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "truth/00.png", random_frame(50))
    (tmp_path / "images/00.jsonl").symlink_to(tmp_path / "images/00.png")
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*.png")}
    source = "images/00.png" if sink.endswith("jsonl") else images
    code, _, err = stream(bundle, source, sink)
    assert code == 2
    assert "new folder" in err or "would overwrite" in err
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*.png")} == before


def test_nor_does_a_report(stream, bundle, images):
    picture = Path(images) / "00.png"
    before = picture.read_bytes()
    code, _, err = stream(bundle, str(picture), "null", "-o", str(picture))
    assert code == 2
    assert "would overwrite the source" in err
    assert picture.read_bytes() == before


def test_masks_are_written_again_by_the_same_command(document, bundle, images, tmp_path):
    for _ in range(2):
        document(bundle, images, f"{tmp_path}/masks/")
    assert len(list((tmp_path / "masks").iterdir())) == 12


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("reports", "is a folder; give the file"),
        ("file/r.json", "is a file, expected a folder"),
        ("shut/r.json", "no permission in shut"),
    ],
)
def test_a_report_that_can_have_no_place_is_refused_before_anything_is_opened(
    stream, tmp_path, monkeypatch, place, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "shut").mkdir()
    (tmp_path / "file").write_text("")
    # Whoever runs the tests as root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: "shut" not in str(path))
    code, _, err = stream("no-such-bundle", "rtsp://127.0.0.1:9/1", "-o", place)
    assert code == 2
    assert message in err


def test_a_report_that_cannot_be_written_at_the_end_is_printed_all_the_same(
    stream, bundle, images, tmp_path, monkeypatch
):
    def fail(path: Path, report: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", f"{path.parent}/.r.json.x7")

    monkeypatch.setattr(edgeseg.core.report, "write_report", fail)
    code, out, err = stream(bundle, images, "-o", str(tmp_path / "r.json"), "--json")
    assert code == 1
    assert json.loads(out)["frames"] == 12
    assert f"{tmp_path}/r.json: the disk is full" in err


def test_a_camera_that_has_ended_is_not_waited_for(document, bundle, images, monkeypatch):
    calls, left = [0, 0], {}
    answer, leave = SharedBackend.run, SharedBackend.leave

    def count(self, number: int, *arguments: object) -> int:
        calls[number] += 1
        return answer(self, number, *arguments)

    def note(self, number: int) -> None:
        left.setdefault(number, calls[0])
        leave(self, number)

    monkeypatch.setattr(SharedBackend, "run", count)
    monkeypatch.setattr(SharedBackend, "leave", note)
    found = document(
        bundle, images, "--also", f"{images}/00.png", "--batch", "2", "--pace", "10",
        "--warmup", "0",
    )  # fmt: skip
    assert found["reports"][1]["frames"] == 1
    assert left[1] < calls[0] - 2
    assert left[0] == calls[0]


def program(*arguments: str, **options: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, *arguments], **options)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_terminal_that_is_hung_up_ends_the_run_with_its_report(bundle, images, tmp_path):
    ours, theirs = os.openpty()
    with program(
        "-m", "edgeseg.cli", "stream", bundle, images, str(tmp_path / "f.jsonl"), "--sustain",
        "60s", "--pace", "20", "-o", str(tmp_path / "r.json"), "--backend", "onnxruntime",
        "--threads", "1", stdout=theirs, stderr=theirs,
        # Under nohup the tests pass on that it is to be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process:  # fmt: skip
        os.close(theirs)
        until(lambda: (tmp_path / "f.jsonl").exists() and (tmp_path / "f.jsonl").read_bytes())
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0
    report = read_report(tmp_path / "r.json")
    assert report.frames > 0
    assert report.run["ended_by"] == "stop"


def until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_signal_while_a_batch_is_loaded_leaves_no_folder(bundle, images, tmp_path):
    script = (
        "import os, signal, sys, time\n"
        "from edgeseg import cli\n"
        "from edgeseg.runtime.streaming import session\n"
        "def load(*given, **options):\n"
        "    print(os.listdir(os.environ['TMPDIR']), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n"
        "session.open_backend = load\n"
        "cli.main()\n"
    )
    with program(
        "-c", script, "stream", bundle, images, "--also", images, "--batch", "2",
        "--backend", "onnxruntime", stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        out, _ = process.communicate(timeout=60)
    assert b"edgeseg-batch-" in out
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("edgeseg-batch-*"))


def test_a_video_that_was_cut_off_is_said_to_be(stream, bundle, tmp_path):
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    with open_sink(str(whole), spec()) as sink:
        for index in range(40):
            rgb = random_frame(index)
            sink.write(Prediction(Frame(rgb, index, 0), expected_labels(rgb), 0, 0, 0))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    code, out, err = stream(bundle, str(cut), "--json")
    n = json.loads(out)["frames"]
    assert (code, n < 30) == (0, True)
    assert f"{cut} gave {n} of the 40 frames it promises" in err
    for arguments in ([str(whole)], [str(cut), "--frames", "5"], [str(cut), "--pace", "200"]):
        assert "promises" not in stream(bundle, *arguments)[2]


def test_a_video_that_ends_early_is_named_and_the_exit_code_says_so(stream, bundle, tmp_path):
    for i in range(6):
        size_hw = (48, 64) if i < 4 else (64, 48)
        write_png(tmp_path / "in" / f"{i}.png", random_frame(i, size_hw))
    code, out, err = stream(bundle, str(tmp_path / "in"), f"{tmp_path}/o.avi", f"{tmp_path}/m/")
    assert code == 1
    assert "failed at frame 4, the run goes on without it" in err
    assert "the source now gives 64x48" in err.splitlines()[-1]
    assert "4 of 4 can be read back, 6 frames came" in err.splitlines()[-1]
    assert len(list((tmp_path / "m").iterdir())) == 6
    code, out, err = stream(bundle, str(tmp_path / "in"), f"{tmp_path}/m/", "--json")
    assert code == 0
    assert json.loads(out)["run"]["sinks"] == [
        {"sink": f"{tmp_path}/m/", "path": f"{tmp_path}/m-2", "wrote": 6, "held": 6}
    ]
    assert "this run goes to" in err
