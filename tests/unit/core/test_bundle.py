import json

import numpy as np
import pytest

from edgeseg.core.bundle import Golden, check_replaceable, read_bundle, write_bundle
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import BundleError


@pytest.fixture
def bundle(tmp_path):
    rng = np.random.default_rng(0)
    golden = Golden(
        rng.integers(0, 255, (1, 64, 96, 3), dtype=np.uint8),
        rng.integers(0, 11, (1, 64, 96), dtype=np.uint8),
    )
    return write_bundle(
        tmp_path / "b",
        b"not really a graph",
        golden,
        name="b",
        spec=ModelSpec("segnet", size_hw=(64, 96)),
        precision="int8",
        opset=18,
        reference={"camvid": {"miou": 0.5}},
    )


def test_what_was_written_is_read_back(bundle):
    again = read_bundle(bundle.path)
    assert again == bundle
    assert again.onnx_path.read_bytes() == b"not really a graph"
    assert again.golden().frame.shape == (1, 64, 96, 3)
    assert again.size_bytes == sum(f.stat().st_size for f in bundle.path.iterdir())


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_a_changed_byte_is_found(bundle, name):
    data = bytearray((bundle.path / name).read_bytes())
    data[3] ^= 1
    (bundle.path / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} has sha256"):
        read_bundle(bundle.path)


def test_the_graph_with_fp16_islands_is_optional_and_checked(bundle):
    assert bundle.islands_path is None
    carrying = write_bundle(
        bundle.path,
        b"not really a graph",
        bundle.golden(),
        name="b",
        spec=bundle.spec,
        precision="int8",
        opset=18,
        islands=b"nor is this",
    )
    assert carrying.digest == bundle.digest
    assert carrying.islands_path is not None
    assert carrying.islands_path.read_bytes() == b"nor is this"
    assert carrying.size_bytes == sum(f.stat().st_size for f in bundle.path.iterdir())
    carrying.islands_path.write_bytes(b"nor is that")
    with pytest.raises(BundleError, match=r"model\.fp16islands\.onnx has sha256"):
        read_bundle(bundle.path)
    carrying.islands_path.unlink()
    with pytest.raises(BundleError, match=r"model\.fp16islands\.onnx is missing"):
        read_bundle(bundle.path)


def test_a_truncated_graph_is_found(bundle):
    bundle.onnx_path.write_bytes(b"not")
    with pytest.raises(BundleError, match="has 3 bytes, the manifest says 18"):
        read_bundle(bundle.path)


def test_a_missing_file_is_named(bundle):
    bundle.onnx_path.unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        read_bundle(bundle.path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", 99), ("precision", "int4"), ("spec", {"arch": "x"}), ("files", {}), ("opset", "x")],
)
def test_a_malformed_manifest_is_one_bundle_error(bundle, key, value):
    path = bundle.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest[key] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        read_bundle(bundle.path)


def test_not_json_and_not_a_bundle(bundle, tmp_path):
    (bundle.path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="is not JSON"):
        read_bundle(bundle.path)
    with pytest.raises(BundleError, match="does not exist"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        read_bundle(tmp_path)


def test_a_folder_that_is_no_bundle_is_never_replaced(bundle, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(BundleError, match="is not a bundle"):
        write_bundle(
            tmp_path / "home",
            b"",
            bundle.golden(),
            name="b",
            spec=bundle.spec,
            precision="int8",
            opset=18,
        )
    assert (tmp_path / "home" / "letter").read_text() == "dear"


def test_a_bundle_with_other_files_beside_it_is_never_replaced(bundle):
    kept = bundle.path / "checkpoint.safetensors"
    kept.write_text("days of training")
    with pytest.raises(BundleError, match=r"holds checkpoint\.safetensors beside its bundle"):
        check_replaceable(bundle.path)
    kept.unlink()
    check_replaceable(bundle.path)
