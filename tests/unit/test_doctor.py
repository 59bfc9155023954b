import ctypes
import importlib.metadata
import importlib.util
import json
import sys

import pytest
from tinybundle import tiny_bundle

from edgeseg.target import doctor
from edgeseg.target.doctor import examine, to_json


def found(tmp_path, root=None, **options) -> dict[str, doctor.Finding]:
    findings = examine(root or tmp_path, folder=tmp_path, zoo=tmp_path / "zoo", **options)
    return {finding.name: finding for finding in findings}


def test_every_line_is_complete_and_whatever_is_not_ok_has_a_cure(tmp_path):
    for finding in found(tmp_path).values():
        assert finding.status in ("ok", "missing", "warning")
        assert finding.found
        assert finding.needed
        if finding.status == "missing":
            assert finding.cure
    document = json.loads(json.dumps(to_json(examine(folder=tmp_path))))
    assert set(document["checks"][0]) == {"name", "status", "found", "needed", "cure"}


def test_it_loads_no_runtime(tmp_path):
    before = set(sys.modules)
    examine(tmp_path, folder=tmp_path)
    new = set(sys.modules) - before
    assert not {"onnxruntime", "openvino", "tensorrt", "torch"} & new


def test_two_opencv_wheels_are_found(tmp_path, monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "4.11" if name in ("opencv-python", "opencv-python-headless") else real(name),
    )
    finding = found(tmp_path)["opencv wheels"]
    assert finding.status == "warning"
    assert finding.cure.startswith("pip uninstall opencv-python opencv-python-headless")


def test_one_opencv_wheel_is_no_finding(tmp_path):
    assert "opencv wheels" not in found(tmp_path)


def test_a_missing_runtime_names_its_extra(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else real(name)
    )
    finding = found(tmp_path)["runtime openvino"]
    assert (finding.status, finding.cure) == ("missing", "pip install 'edgeseg[openvino]'")


def test_without_a_driver_the_process_lives(tmp_path, monkeypatch):
    def no_library(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    finding = found(tmp_path)["CUDA driver"]
    assert finding.status == "warning"
    assert "libcuda.so.1" in finding.found


@pytest.mark.parametrize(
    ("release", "status"), [("# R36 (release), REVISION: 4.3", "ok"),
                            ("# R35 (release), REVISION: 4.1", "warning"),
                            ("nothing known", "warning")],
)  # fmt: skip
def test_a_jetson_is_told_its_release(tmp_path, release, status):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/nv_tegra_release").write_text(release)
    lines = found(tmp_path, root)
    assert lines["board"].status == status
    assert lines["opencv GStreamer"].status in ("ok", "missing")
    assert lines["TensorRT"].status in ("ok", "missing")


def test_little_memory_and_little_disk_are_warnings(tmp_path, monkeypatch):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemAvailable:    200000 kB\n")
    monkeypatch.setattr(doctor, "DISK_BYTES", 1 << 60)
    lines = found(tmp_path)
    assert lines["memory"].status == "warning"
    assert lines["disk"].status == "warning"


def test_a_damaged_zoo_bundle_is_named(tmp_path):
    tiny_bundle(tmp_path / "zoo" / "good")
    bad = tiny_bundle(tmp_path / "zoo" / "bad")
    bad.onnx_path.write_bytes(b"x")
    lines = found(tmp_path)
    assert lines["zoo good"].status == "ok"
    assert lines["zoo bad"].status == "missing"
    assert "bytes" in lines["zoo bad"].found


def test_an_empty_zoo_is_a_warning(tmp_path):
    assert found(tmp_path)["zoo"].status == "warning"
