"""export: what it refuses before it works, and what it calls its bundle."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest

import edgeseg
from edgeseg.cli import run
from edgeseg.core.bundle import read_bundle
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import load_checkpoint, save_checkpoint


def test_options_of_a_calibration_that_does_not_take_place_are_named(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    command = ["export", str(dense), "--fp32", "-o", str(out)]
    choices = ["--keep-float", "encoder.1.0", "--equalize", "--percentile", "99"]
    assert run([*command, *choices]) == 2
    error = capsys.readouterr().err
    assert "--percentile, --equalize, --keep-float would change nothing" in error
    assert "fp32 has no INT8 ranges" in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("idle", "why"),
    [
        (["--images", "5"], "there is no --calibrate"),
        (["--calibrate", "synthetic:4", "--percentile", "99"], "--observer is another"),
        (["--calibrate", "synthetic:4", "--adaround-steps", "3"], "there is no --adaround"),
        (["--calibrate", "synthetic:4", "--tensorrt", "99"], "there is no --calibration-cache"),
    ],
)
def test_an_option_without_its_partner_is_refused(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], idle: list[str], why: str
) -> None:
    assert run(["export", str(dense), "--int8", *idle, "-o", str(tmp_path / "b")]) == 2
    assert why in capsys.readouterr().err


def test_a_quantized_checkpoint_is_not_quantized_otherwise(
    quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    command = ["export", str(quantized), "--int8", "-o", str(out)]
    assert run([*command, "--observer", "mse", "--bias-correct", "--adaround"]) == 2
    error = capsys.readouterr().err
    assert "--observer, --bias-correct, --adaround would change nothing" in error
    assert f"{quantized} has its INT8 ranges already" in error
    assert not out.exists()


def test_a_model_of_the_zoo_is_not_quantized_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    assert run(["export", "segnet-basic-camvid", "--int8", "--equalize", "-o", str(out)]) == 2
    assert "--equalize would change nothing" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["-o", "{folder}"], 1, "{folder} exists and is not a bundle"),
        (["-o", "{file}/bundle"], 2, "{file} is a file"),
        (["--calibration-table", "{folder}"], 2, "--calibration-table {folder} is a folder"),
        (["--calibration-cache", "{folder}"], 2, "--calibration-cache {folder} is a folder"),
        (["--calibration-table", "{file}/ranges.txt"], 2, "{file} is a file"),
    ],
    ids=["no-bundle", "below-a-file", "table", "cache", "table-below-a-file"],
)
def test_places_are_checked_before_anything_is_calibrated(
    words: list[str],
    code: int,
    reason: str,
    dense: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def calibrates(*arguments: object) -> None:
        pytest.fail("it calibrated first")

    monkeypatch.setattr("edgeseg.host.export.job.calibrated_checkpoint", calibrates)
    places = {"folder": tmp_path / "photos", "file": tmp_path / "file"}
    places["folder"].mkdir()
    places["file"].touch()
    out = tmp_path / "bundle"
    command = ["export", str(dense), "--int8", "--calibrate", "synthetic:2", "-o", str(out)]
    assert run([*command, *(word.format(**places) for word in words)]) == code
    assert reason.format(**places) in capsys.readouterr().err
    assert not out.exists()


def test_a_checkpoint_named_from_its_own_folder_is_called_by_that_folder(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "road"
    folder.mkdir()
    (folder / "best.safetensors").write_bytes(dense.read_bytes())
    monkeypatch.chdir(folder)
    assert run(["export", "best.safetensors", "--fp32"]) == 0
    assert read_bundle(folder / "runs" / "export" / "road-fp32").name == "road"


@pytest.fixture(scope="module")
def quantized(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with calibrated ranges."""
    from edgeseg.core.data.open import open_dataset
    from edgeseg.host.checkpoint import load_checkpoint, save_checkpoint
    from edgeseg.host.quantization.calibrate import calibrated_checkpoint
    from edgeseg.host.quantization.quantize import QuantizeOptions

    loaded = load_checkpoint(dense)
    data = open_dataset("synthetic:2", "train", size_hw=loaded.spec.size_hw)
    path = tmp_path_factory.mktemp("quantized") / "int8.safetensors"
    save_checkpoint(path, calibrated_checkpoint(loaded, QuantizeOptions(), data, 2))
    return path


def test_a_checkpoint_inside_the_bundle_it_is_exported_to_is_not_lost(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    assert run(["export", str(dense), "--fp32", "-o", str(out)]) == 0
    inside = out / "checkpoint.safetensors"
    inside.write_bytes(dense.read_bytes())
    assert run(["export", str(inside), "--fp32", "-o", str(out)]) == 1
    assert "holds checkpoint.safetensors beside its bundle" in capsys.readouterr().err
    assert inside.read_bytes() == dense.read_bytes()


def test_a_bundle_has_only_the_scores_of_its_own_arithmetic(dense: Path, tmp_path: Path) -> None:
    scored = tmp_path / "scored.safetensors"
    scores = {"validation": {"miou": 0.5}}
    save_checkpoint(scored, dataclasses.replace(load_checkpoint(dense), scores=scores))
    assert run(["export", str(scored), "--fp32", "-o", str(tmp_path / "float")]) == 0
    assert read_bundle(tmp_path / "float").reference["validation"] == scores["validation"]
    calibrated = ["--int8", "--calibrate", "synthetic:2", "--images", "1"]
    size = ["--size", "64x96"]
    assert run(["export", str(scored), *calibrated, *size, "-o", str(tmp_path / "int8")]) == 0
    assert read_bundle(tmp_path / "int8").spec.size_hw == (64, 96)
    assert set(read_bundle(tmp_path / "int8").reference) == {"params", "macs"}


def test_python_exports_with_the_names_of_the_options(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="unknown option 'observers'; did you mean 'observer'"):
        edgeseg.export(dense, "fp32", observers="max")
    with pytest.raises(UsageError, match="precision"):
        edgeseg.export(dense, "int4")
    bundle = edgeseg.export(dense, "fp32", out=tmp_path / "b", raw_logits=True)
    assert bundle == read_bundle(tmp_path / "b")
    assert capsys.readouterr() == ("", "")


def test_a_bundle_with_plugins_can_be_linted(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated = ["--int8", "--calibrate", "synthetic:2", "--images", "1", "--unpool", "plugin"]
    assert run(["export", str(dense), *calibrated, "-o", str(tmp_path / "b")]) == 0
    capsys.readouterr()
    for target, severity in (("trt8.6", "error"), ("trt10.3", "info")):
        run(["lint", str(tmp_path / "b"), "--target", target, "--json"])
        findings = json.loads(capsys.readouterr().out)["findings"]
        own = [one for one in findings if "edgeseg's un-pool plugin" in one["message"]]
        assert [one["severity"] for one in own] == [severity]
    if importlib.util.find_spec("onnxruntime"):
        assert run(["verify", str(tmp_path / "b"), "--backend", "onnxruntime"]) == 1
        assert "only TensorRT 10 and 11 run, with EDGESEG_PLUGIN set" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["export", "build"])
def test_two_precisions_are_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = "deeplabv3plus-mobilenetv2-camvid"
    assert run([verb, bundle, "--int8", "--fp32"]) == 2
    assert "--int8 and --fp32 are 2 precisions; give one" in capsys.readouterr().err


def test_a_table_is_not_written_over_the_checkpoint_it_is_made_of(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(dense.read_bytes())
    arguments = ["export", str(own), "--int8", "--calibrate", "synthetic:2", "--images", "1"]
    assert run([*arguments, "--calibration-table", str(own), "-o", str(tmp_path / "b")]) == 2
    assert "would be written over or into" in capsys.readouterr().err
    assert own.read_bytes() == dense.read_bytes()


def test_the_floor_of_an_fp32_bundle_is_of_fp32_layers(
    dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for precision in ("fp32", "fp16"):
        folder = str(tmp_path / precision)
        assert run(["export", str(dense), f"--{precision}", "-o", folder]) == 0
        capsys.readouterr()
        run(["lint", folder, "--board", "orin-nano", "--target", "trt10.3", "--json"])
        found[precision] = json.loads(capsys.readouterr().out)["roofline"]
    assert {layer["precision"] for layer in found["fp32"]["layers"]} == {"FP32"}
    assert found["fp32"]["floor_ms"] > found["fp16"]["floor_ms"]
