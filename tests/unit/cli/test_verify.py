import json

import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.core.bundle import Bundle, Golden, write_bundle


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
