"""Bad input: one line, the right exit code, nothing half-written."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from tinybundle import vouched

from edgeseg.cli import run
from edgeseg.core.bundle import read_bundle
from edgeseg.core.spec import CAMVID_CLASSES

MASK = np.arange(64 * 96, dtype=np.uint8).reshape(64, 96) % 11


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two good images with masks, in the layout of images/, masks/ and classes.txt."""
    root = tmp_path / "data"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for name in ("a", "b"):
        cv2.imwrite(str(root / "images" / f"{name}.png"), np.zeros((64, 96, 3), np.uint8))
        cv2.imwrite(str(root / "masks" / f"{name}.png"), MASK)
    (root / "classes.txt").write_text("\n".join(CAMVID_CLASSES) + "\n")
    return root


@pytest.fixture
def refused(capsys):
    """Run a command that must fail with one line that holds all given texts."""

    def check(code: int, *arguments: object, says: tuple[str, ...]) -> None:
        assert run([str(argument) for argument in arguments]) == code
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.strip().splitlines()
        assert lines[-1].startswith("edgeseg: error: ")
        assert sum(line.startswith("edgeseg: error: ") for line in lines) == 1
        assert "Traceback" not in err
        for text in says:
            assert text in lines[-1]

    return check


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_missing_files(refused, tmp_path, colour_bundle):
    gone = tmp_path / "gone" / "x"
    refused(1, "eval", gone, "--data", "synthetic:2", says=("x does not exist", "zoo name"))
    refused(1, "eval", colour_bundle.path, "--data", gone, says=("no such folder",))
    refused(1, "stream", colour_bundle.path, gone, says=(str(gone),))
    refused(1, "export", f"{gone}.safetensors", "--fp32", says=("is not a file",))
    refused(1, "qat", f"{gone}.safetensors", "--data", "synthetic:2", says=("is not a file",))
    refused(2, "gate", gone, "--baseline", gone, says=(str(gone),))
    assert files(tmp_path) == set()


def test_not_an_image(refused, data, colour_bundle):
    bundle = colour_bundle.path
    (data / "images" / "a.png").write_text("these are words")
    refused(1, "eval", bundle, "--data", data, "--split", "test", says=("a.png",))
    assert run(["stream", str(bundle), str(data / "images")]) == 1


def test_a_mask_of_another_size(refused, data, colour_bundle):
    cv2.imwrite(str(data / "masks" / "b.png"), MASK[:32])
    command = ("eval", colour_bundle.path, "--data", data, "--split", "test")
    refused(1, *command, says=("b.png", "32x96", "64x96"))


def test_a_mask_with_unknown_labels(refused, data, colour_bundle):
    mask = MASK.copy()
    mask[:3] = 77
    cv2.imwrite(str(data / "masks" / "b.png"), mask)
    command = ("eval", colour_bundle.path, "--data", data, "--split", "test")
    refused(1, *command, says=("b.png", "unknown labels 77", "0-10"))


def test_an_empty_folder(refused, tmp_path, colour_bundle):
    bundle, empty = colour_bundle.path, tmp_path / "empty"
    empty.mkdir()
    refused(1, "eval", bundle, "--data", empty, says=("empty", "classes.txt"))
    refused(1, "stream", bundle, empty, says=("empty",))
    refused(1, "eval", empty, "--data", "synthetic:2", says=("manifest.json",))
    train = ("train", "segnet-basic", "--data", empty, "-o", tmp_path / "run")
    refused(1, *train, says=("empty",))
    assert files(tmp_path) == {"empty"}


def test_a_truncated_graph(refused, make_bundle):
    bundle = make_bundle("cut", (64, 96))
    whole = bundle.onnx_path.read_bytes()
    bundle.onnx_path.write_bytes(whole[:-10])
    refused(1, "verify", bundle.path, says=("model.onnx", f"{len(whole) - 10} bytes", "copy"))


def test_a_truncated_graph_that_the_manifest_vouches_for(refused, make_bundle):
    bundle = make_bundle("cut", (64, 96))
    vouched(bundle.path, model=bundle.onnx_path.read_bytes()[:-10])
    for backend in ("onnxruntime", "openvino"):
        command = ("verify", bundle.path, "--backend", backend)
        refused(1, *command, says=("model.onnx", "not an ONNX file"))


def test_a_wrong_hash(refused, make_bundle):
    bundle = make_bundle("flipped", (64, 96))
    content = bytearray(bundle.onnx_path.read_bytes())
    content[100] ^= 1
    bundle.onnx_path.write_bytes(content)
    refused(1, "stream", bundle.path, "synthetic://", says=("sha256", "model.onnx", "copy"))


def test_a_manifest_that_is_none(refused, make_bundle):
    bundle = make_bundle("odd", (64, 96))
    for text in ("", "[]", '{"format": 99}', '{"format": 1}'):
        (bundle.path / "manifest.json").write_text(text)
        refused(1, "verify", bundle.path, says=("export it again",))


def test_wrong_sizes(refused, tmp_path):
    out = ("-o", tmp_path / "run")
    train = ("train", "segnet-basic", "--data", "synthetic:4", *out)
    refused(2, *train, "--size", "16x16", says=("16", "32"))
    refused(2, *train, "--size", "360", says=("'360' is not a size", "360x480"))
    refused(2, *train, "--crop", "8x8", says=("crop", "32"))
    assert files(tmp_path) == set()


def test_unknown_names_offer_the_nearest(refused, tmp_path, colour_bundle):
    refused(2, "strem", says=("did you mean 'stream'?",))
    train = ("train", "segnet-basik", "--data", "synthetic:4", "-o", tmp_path / "run")
    refused(2, *train, says=("did you mean 'segnet-basic'?",))
    stream = ("stream", colour_bundle.path)
    refused(2, *stream, "synthetc://", says=("did you mean 'synthetic'?",))
    refused(2, *stream, "synthetic://", "--backend", "openvin", says=("did you mean 'openvino'?",))
    refused(2, *stream, "synthetic://?frame=3", says=("did you mean 'frames'?",))
    refused(2, "export", "deeplab", "--int8", says=("deeplab",))
    assert files(tmp_path) == set()


def test_int8_of_a_float_checkpoint_needs_calibration(refused, small_checkpoint, tmp_path):
    out = tmp_path / "bundle"
    refused(2, "export", small_checkpoint, "--int8", "-o", out, says=("--calibrate",))
    refused(2, "export", small_checkpoint, "-o", out, says=("--int8, --fp16, --fp32",))
    assert files(tmp_path) == set()


def test_a_checkpoint_that_is_none(refused, tmp_path, small_checkpoint):
    words = tmp_path / "words.safetensors"
    words.write_text("no weights here")
    refused(1, "export", words, "--fp32", "-o", tmp_path / "b", says=("words.safetensors",))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(small_checkpoint.read_bytes()[:-100])
    refused(1, "export", cut, "--fp32", "-o", tmp_path / "b", says=("cut.safetensors",))
    assert files(tmp_path) == {"words.safetensors", "cut.safetensors"}


def test_a_bundle_is_not_written_over_something_else(refused, tmp_path, small_checkpoint):
    precious = tmp_path / "photos"
    precious.mkdir()
    (precious / "one.jpg").write_text("x")
    command = ("export", small_checkpoint, "--fp32", "-o", precious)
    refused(1, *command, says=("is not a bundle",))
    assert files(tmp_path) == {"photos", "photos/one.jpg"}


def limited(limit_bytes: int, folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Run a command that may write no file larger than the limit, as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return subprocess.run(
        [sys.executable, "-m", "edgeseg.cli", *map(str, arguments)],
        cwd=folder, preexec_fn=limit, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_no_room_for_a_bundle(small_checkpoint, tmp_path):
    done = limited(4096, tmp_path, "export", small_checkpoint, "--fp32", "-o", tmp_path / "b")
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "nothing was written" in done.stderr
    assert files(tmp_path) == set()


def test_no_room_for_a_report(colour_bundle, tmp_path):
    out = tmp_path / "report.json"
    source = "synthetic://?frames=2"
    done = limited(64, tmp_path, "stream", colour_bundle.path, source, "-o", out)
    assert done.returncode == 1, done.stderr
    assert "nothing was written" in done.stderr
    assert files(tmp_path) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_no_room_for_the_output(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgeseg.cli", "doctor", "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "disk is full" in done.stderr
    assert done.stderr.count("\n") == 1


def test_killed_while_writing_a_bundle(make_bundle, tmp_path):
    """The bundle that stood there before is still whole, and the next export works."""
    before = make_bundle("model", (64, 96))
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from edgeseg.core.files import atomic_dir\n"
        "with atomic_dir(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'model.onnx').write_bytes(b'half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(before.path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert read_bundle(before.path).digest == before.digest
    left = [path.name for path in tmp_path.iterdir() if path.name != "model"]
    assert all(name.startswith(".model.") and name.endswith(".partial") for name in left)
    assert make_bundle("model", (96, 64)).spec.size_hw == (96, 64)


@pytest.mark.slow
def test_killed_at_any_moment_of_an_export(small_checkpoint, tmp_path):
    command = [sys.executable, "-m", "edgeseg.cli", "export", str(small_checkpoint), "--fp32"]
    command += ["-o", str(tmp_path / "b")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.perf_counter()
    subprocess.run(command, check=True, **quiet)
    whole = time.perf_counter() - start
    digest = read_bundle(tmp_path / "b").digest
    for share in np.linspace(0.3, 1.0, 8):
        with subprocess.Popen(command, **quiet) as child:
            time.sleep(share * whole)
            child.kill()
        assert read_bundle(tmp_path / "b").digest == digest
    shutil.rmtree(tmp_path / "b")
    with subprocess.Popen(command, **quiet) as child:
        time.sleep(0.8 * whole)
        child.kill()
    assert not (tmp_path / "b").exists() or read_bundle(tmp_path / "b").digest == digest
