import ctypes
import importlib.metadata
import importlib.util
import json
import sys

import pytest
from board_trees import BOARDS, write_tree
from tinybundle import tiny_bundle

from edgeseg.runtime.doctor import checks as doctor
from edgeseg.runtime.doctor import jetson as boardcheck
from edgeseg.runtime.doctor.checks import examine, to_json


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
    def no_library(name, **options):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    finding = found(tmp_path)["CUDA driver"]
    assert finding.status == "warning"
    assert "libcuda.so.1" in finding.found
    assert "nvidia runtime" in finding.cure or "--runtime nvidia" in finding.cure


@pytest.mark.parametrize(
    ("release", "status"), [("# R36 (release), REVISION: 4.3", "ok"),
                            ("# R35 (release), REVISION: 4.1", "missing"),
                            ("nothing known", "warning")],
)  # fmt: skip
def test_a_jetson_is_told_its_release(tmp_path, release, status):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/nv_tegra_release").write_text(release)
    lines = found(tmp_path, root)
    assert lines["board"].status == status
    assert lines["opencv GStreamer"].status in ("ok", "missing")
    assert lines["gstreamer bindings"].status in ("ok", "warning")
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


NVIDIA = "NVIDIA Jetson "
XAVIER_NX = BOARDS["xavier"] | {"proc/device-tree/model": f"{NVIDIA}Xavier NX Developer Kit\0"}
# board: (its files, release's status, JetPack, power mode, clocks, what else it lacks)
FIVE = {
    "nano": (BOARDS["nano"], "missing", "JetPack 4", "0000 (MAXN)", "warning"),
    "xavier-nx": (XAVIER_NX, "missing", "JetPack 5", "0003 (name unknown)", "warning"),
    "orin-nano": (BOARDS["orin-nano"], "ok", "JetPack 6.2", "0002 (MAXN_SUPER)", "ok"),
    "agx-orin": (BOARDS["agx-orin"], "ok", "JetPack 6.1", "0000 (name unknown)", "warning"),
    "thor": (BOARDS["thor"], "ok", "JetPack 7.0", "0001 (name unknown)", "warning"),
}


@pytest.mark.parametrize("name", FIVE)
def test_five_boards(tmp_path, name):
    files, status, release, mode, clocks = FIVE[name]
    root = write_tree(tmp_path / "root", files)
    lines = found(tmp_path, root)
    board = files["proc/device-tree/model"].strip("\0")
    assert lines["board"].status == status
    assert lines["board"].found.startswith(f"{board}, L4T ")
    assert lines["board"].found.endswith(release)
    assert (lines["board"].cure == "") == (status == "ok")
    assert lines["power mode"].found == mode
    assert lines["clocks"].status == clocks
    assert ("jetson_clocks" in lines["clocks"].cure) == (clocks == "warning")
    assert lines["TensorRT"].cure == "sudo apt-get install python3-libnvinfer"
    assert lines["trtexec"].cure == "sudo apt-get install libnvinfer-bin"
    assert lines["swap"].found == "0.0 GiB beside 7.6 GiB of memory"
    assert lines["cameras"].found == "no /dev/video*"


def test_a_boards_own_tensorrt_trtexec_and_cameras_are_found(tmp_path):
    more = {
        "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": "",
        "usr/lib/python3.10/dist-packages/cv2.so": "",
        "usr/src/tensorrt/bin/trtexec": "",
        "dev/video0": "",
        "dev/video1": "",
        "sys/class/video4linux/video0/name": "vi-output, imx219 9-0010\n",
        "proc/meminfo": "MemTotal: 3000000 kB\nMemAvailable: 900000 kB\nSwapTotal: 500000 kB\n",
    }
    root = write_tree(tmp_path / "root", BOARDS["orin-nano"] | more)
    lines = found(tmp_path, root)
    assert "which this Python does not see" in lines["TensorRT"].found
    assert "--system-site-packages" in lines["TensorRT"].cure
    assert lines["trtexec"].status == "ok"
    assert lines["cameras"].found == "/dev/video0 (vi-output, imx219 9-0010), /dev/video1"
    assert lines["memory"].status == "warning"
    assert lines["swap"].status == "warning"
    # The wheel that these tests run with would hide the board's own OpenCV.
    assert lines["opencv shadowed"].cure.startswith("pip uninstall opencv-python")


def test_an_empty_package_named_tensorrt_is_none(tmp_path, monkeypatch):
    (tmp_path / "stubs" / "tensorrt").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "stubs")
    assert importlib.util.find_spec("tensorrt") is not None
    assert found(tmp_path)["TensorRT"].status == "warning"


@pytest.mark.parametrize(
    ("l4t", "name"),
    [("36.3.0", "6.0"), ("36.2.0", "6.0 preview"), ("34.1.1", "5"), ("36.4.0", "6.1"),
     ("36.4.3", "6.2"), ("36.4.4", "6.2.1"), ("36.5", "6.2.2"),
     ("38.4", "7.1"), ("39.2", "7.2"), ("28.1", None)],
)  # fmt: skip
def test_a_release_names_its_jetpack(l4t, name):
    assert boardcheck.jetpack(l4t) == name
