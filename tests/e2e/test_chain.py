"""The whole way by the command line, each verb in a process of its own."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SETTINGS = ("--set", "channels=8", "--set", "kernel=3")


def edgeseg(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "edgeseg.cli", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == code, done.stderr
    return done


def document(folder: Path, *arguments: object) -> dict:
    return json.loads(edgeseg(folder, *arguments, "--json").stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train, train with INT8 rounding, export: what the tests below look at."""
    folder = tmp_path_factory.mktemp("chain")
    data = ("--data", "synthetic:16", "--batch", "4", "--val-limit", "4")
    size = ("--size", "64x96", "--validate-every", "10")
    trained = document(
        folder, "train", "segnet-basic", *data, *size, *SETTINGS, "--epochs", "10", "--lr", "5e-3"
    )
    tuned = document(folder, "qat", trained["checkpoint"], *data, "--epochs", "1", "--images", "8")
    edgeseg(folder, "export", trained["checkpoint"], "--fp32", "-o", "fp32")
    edgeseg(folder, "export", tuned["checkpoint"], "--int8", "-o", "int8")
    return folder


@pytest.mark.parametrize("verb", ["train", "qat"])
def test_a_run_leaves_checkpoints_scores_curves_and_environment(folder, verb):
    run = folder / "runs" / verb / "segnet-basic"
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "best.safetensors", "last.safetensors", "curves.csv", "curves.svg", "scores.json",
        "env.json",
    }  # fmt: skip
    scores = json.loads((run / "scores.json").read_text())
    assert 0 < scores["scores"]["miou"] < 1
    environment = json.loads((run / "env.json").read_text())
    assert environment["packages"]["torch"]
    assert environment["command"][:2] == ["edgeseg", verb]


def test_the_int8_graph_holds_quantized_weights(folder):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    kinds = {
        name: [node.op_type for node in onnx.load(folder / name / "model.onnx").graph.node]
        for name in ("fp32", "int8")
    }
    assert "QuantizeLinear" not in kinds["fp32"]
    assert kinds["int8"].count("DequantizeLinear") > kinds["int8"].count("Conv")
    sizes = [(folder / name / "model.onnx").stat().st_size for name in ("int8", "fp32")]
    assert sizes[0] < sizes[1]


def test_verify_eval_and_stream_agree(folder):
    assert document(folder, "verify", "int8")["ok"] is True
    scored = document(folder, "eval", "int8", "--data", "synthetic:8", "--no-bf")
    assert scored["n_images"] == 8
    # The validation drive of eval's synthetic data, by its seed.
    source = "synthetic://?frames=8&seed=1000000"
    report = document(folder, "stream", "int8", source, "masks/")
    assert (report["frames"], report["dropped"]) == (8, 0)
    assert report["accuracy"]["miou"] == pytest.approx(scored["miou"], abs=1e-9)
    assert len(list((folder / "masks").iterdir())) == 8


def test_a_video_goes_out_and_comes_back_in(folder):
    source = "synthetic://?frames=6"
    edgeseg(folder, "stream", "int8", source, "out.mp4")
    report = document(folder, "stream", "fp32", "out.mp4")
    assert report["frames"] == 6
    assert report["accuracy"] is None


def test_an_interrupted_run_goes_on_only_when_asked(folder):
    command = ("train", "segnet-basic", "--data", "synthetic:16", "--size", "64x96", *SETTINGS)
    done = edgeseg(folder, *command, code=2)
    assert "--resume" in done.stderr


def test_export_without_ranges_or_data_is_refused(folder):
    checkpoint = "runs/train/segnet-basic/best.safetensors"
    done = edgeseg(folder, "export", checkpoint, "--int8", "-o", "none", code=2)
    assert "--calibrate" in done.stderr
    assert not (folder / "none").exists()
    calibrated = ("--int8", "--calibrate", "synthetic", "--images", "8", "-o", "calibrated")
    done = document(folder, "export", checkpoint, *calibrated)
    assert done["bundle"]["precision"] == "int8"


def test_ctrl_c_ends_a_stream_with_its_report(folder):
    command = [sys.executable, "-m", "edgeseg.cli", "stream", "fp32"]
    command += ["synthetic://?frames=100000", "begun/", "--json"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 60
        while not list(folder.glob("begun/*")) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["run"]["ended_by"] == "stop"
    assert report["frames"] > 0
