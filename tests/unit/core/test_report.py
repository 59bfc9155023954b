import dataclasses
import json

import pytest

from edgeseg.core.report import (
    Accuracy,
    BundleId,
    Memory,
    Reference,
    Report,
    read_report,
    write_report,
)
from edgeseg.core.stage_times import Percentiles
from edgeseg.errors import UsageError


def full_report() -> Report:
    return Report(
        bundle=BundleId("road", "ab" * 32, "int8"),
        machine={"system": "Linux", "cores": 2},
        source="synthetic://?seed=1",
        frames=20,
        dropped=3,
        reconnects=0,
        fps=29.97,
        latency_ms={"infer": Percentiles(10.0, 11.0, 19.5)},
        memory=Memory("VmHWM", 123_456_789, {"pss_bytes": 99}),
        frame_age_ms=Percentiles(20.0, 21.0, 40.0),
        power_w={"VDD_IN": 6.5},
        temperature_c={"tj": 51.0},
        accuracy=Accuracy(20, 0.9, 0.8, 0.7, bf=None, streaming_miou=0.65),
        backend={"runtime": "onnxruntime"},
        run={"warmup": 3},
    )


def test_report_survives_json_and_disk(tmp_path):
    report = full_report()
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report
    write_report(tmp_path / "r.json", report)
    assert read_report(tmp_path / "r.json") == report
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_report_json_has_the_documented_keys_and_shapes():
    document = full_report().to_json()
    assert document["format"] == 1
    assert set(document) >= {
        "bundle", "machine", "source", "frames", "dropped", "reconnects", "fps", "latency_ms",
        "frame_age_ms", "memory", "power_w", "temperature_c", "accuracy",
    }  # fmt: skip
    assert set(document["bundle"]) == {"name", "sha256", "precision"}
    assert set(document["latency_ms"]["infer"]) == {"p50", "p90", "p99"}
    assert document["memory"] == {"method": "VmHWM", "peak_bytes": 123_456_789, "pss_bytes": 99}
    assert set(document["accuracy"]) == {
        "n", "global_accuracy", "class_accuracy", "miou", "bf", "streaming_miou", "per_class_iou",
    }  # fmt: skip


def test_absent_readings_are_null_and_come_back_as_none():
    bare = Report(
        BundleId("a", "0", "fp32"), {}, "folder", 0, 0, 0, None, latency_ms={}, memory=None
    )
    document = bare.to_json()
    for key in ("fps", "memory", "frame_age_ms", "power_w", "temperature_c", "accuracy"):
        assert document[key] is None
    assert Report.from_json(document) == bare


def test_keys_of_a_later_version_are_ignored_but_another_format_is_refused():
    document = full_report().to_json()
    document["new_key"] = document["accuracy"]["new_score"] = 1
    assert Report.from_json(document) == full_report()
    document["format"] = 2
    with pytest.raises(UsageError, match="format 2, this edgeseg reads 1"):
        Report.from_json(document)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format":1}', "nonsense"])
def test_a_file_that_is_no_report_is_named(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="report"):
        read_report(path)


def test_what_a_bench_adds_survives_json():
    report = dataclasses.replace(
        full_report(),
        accuracy=Accuracy(20, 0.9, 0.8, 0.7, per_class_iou={"Road": 0.9, "Fence": None}),
        cost={"onnx_bytes": 1000, "macs": 5, "int8_conv_share": 0.9},
        intervals={"infer_p50_ms": (9.8, 10.3)},
        reference=Reference("fp32", "cd" * 32, "onnxruntime 1", "f32", 0.6, 0.58, 0.61),
    )
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    "change",
    [
        {"fps": "fast"},
        {"frames": "x"},
        {"frames": None},
        {"memory": {"method": "m", "peak_bytes": "9"}},
    ],
)
def test_a_figure_that_is_none_is_named(change):
    with pytest.raises(UsageError, match="the document is no report"):
        Report.from_json({**full_report().to_json(), **change})
