import hashlib
import json

import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.core.bundle import Bundle, Golden, write_bundle
from edgeseg.core.images.resize_probe import digest, fit_probe, largest_difference
from edgeseg.core.zoo import find_bundle, zoo_names


def test_a_good_bundle_agrees_to_the_last_pixel(colour_bundle: Bundle, capsys):
    assert run(["verify", str(colour_bundle.path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["bundle"]["sha256"] == colour_bundle.digest
    assert {row["backend"] for row in document["results"]} >= {"onnxruntime"}
    assert all(row["agreement"] == 1.0 and row["ok"] for row in document["results"])


def test_other_labels_fail_with_the_accuracy_code(colour_bundle: Bundle, tmp_path, capsys):
    golden = colour_bundle.golden()
    labels = golden.labels.copy()
    labels[:, :32] = (labels[:, :32] + 1) % 11
    moved = write_bundle(
        tmp_path / "moved",
        colour_bundle.onnx_path.read_bytes(),
        Golden(golden.frame, labels),
        name="moved",
        spec=colour_bundle.spec,
        precision="fp32",
        opset=18,
    )
    command = ["verify", str(moved.path), "--backend", "onnxruntime", "--json"]
    assert run(command) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["agreement"] == pytest.approx(0.5)
    assert "moved agree too little on onnxruntime 0.5000" in err
    assert run([*command, "--min-agreement", "0.5"]) == 0
    assert np.array_equal(labels[:, 32:], golden.labels[:, 32:])


def test_an_unknown_backend_offers_the_nearest(colour_bundle: Bundle, capsys):
    assert run(["verify", str(colour_bundle.path), "--backend", "onnxrutime"]) == 2
    assert "did you mean 'onnxruntime'?" in capsys.readouterr().err


def test_an_unknown_bundle_is_a_usage_error(capsys):
    assert run(["verify", "no-such-bundle"]) == 2
    assert "no-such-bundle" in capsys.readouterr().err


def written(bundle: Bundle, path, fitted: np.ndarray | None) -> Bundle:
    """A copy whose golden.npz says that the probe became `fitted`, or nothing of it."""
    golden = bundle.golden()
    made = write_bundle(
        path, bundle.onnx_path.read_bytes(), golden, name="other", spec=bundle.spec,
        precision="fp32", opset=18,
    )  # fmt: skip
    arrays = {"frame": golden.frame, "labels": golden.labels}
    if fitted is not None:
        arrays["fitted"] = fitted
    np.savez_compressed(path / "golden.npz", **arrays)
    data = (path / "golden.npz").read_bytes()
    manifest = json.loads((path / "manifest.json").read_text())
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["files"]["golden.npz"] = entry
    (path / "manifest.json").write_text(json.dumps(manifest))
    return made


@pytest.mark.parametrize(("steps", "code"), [(0, 0), (2, 0), (3, 3)])
def test_another_resize_than_the_exporters_fails(colour_bundle, tmp_path, capsys, steps, code):
    fitted = fit_probe(colour_bundle.spec.preprocess.resize)
    fitted[7] = min(int(fitted[7]), 255 - steps) + steps
    moved = written(colour_bundle, tmp_path / "moved", fitted)
    expected = fit_probe(colour_bundle.spec.preprocess.resize)
    command = ["verify", str(moved.path), "--backend", "onnxruntime"]
    assert run([*command, "--json"]) == code
    out, err = capsys.readouterr()
    found = json.loads(out)["preprocess"]
    assert found["max_difference"] == steps
    assert found["ok"] is json.loads(out)["ok"] is (code == 0)
    assert (found["sha256"] == found["expected_sha256"]) == (steps == 0)
    assert found["sha256"] == digest(expected)
    assert ("resizes a picture by up to 3 of 255" in err) == (code == 3)
    assert run(command) == code
    assert ("to the bit" in capsys.readouterr().out) == (steps == 0)


def test_a_bundle_without_the_probe_is_told_apart(colour_bundle, tmp_path, capsys):
    old = written(colour_bundle, tmp_path / "old", None)
    assert run(["verify", str(old.path), "--backend", "onnxruntime", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["preprocess"] is None


def test_the_probe_is_the_same_picture_everywhere():
    # Held by OpenCV 4.6.0 and 4.14.0 on x86-64 and by 4.14.0 on aarch64.
    assert (
        digest(fit_probe("letterbox"))
        == "9e2680fe35fa18ac470f4d159957f4f5bf957ad7185a66c3938d7fa74f8ff8b1"
    )
    assert (
        digest(fit_probe("stretch"))
        == "75bc39cf93bf36a35af564a2f36d376ff2400bd1a66c5888e6eec0728cdac5fe"
    )
    assert fit_probe("exact").size == 0


@pytest.mark.parametrize("name", zoo_names())
def test_a_shipped_bundle_carries_the_probe(name):
    fitted = find_bundle(name).fitted_probe()
    assert fitted is not None
    assert largest_difference(fit_probe("letterbox"), fitted) == 0
