import dataclasses
import json

import pytest

from edgeseg.core.report import (
    Accuracy,
    Budget,
    BundleId,
    Memory,
    Percentiles,
    Reference,
    Report,
    StageTimes,
    frames_per_second,
    percentiles_ms,
    read_report,
    write_report,
)
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


def test_fps_counts_gaps_not_stamps():
    stamps = [round(i * 1e9 / 30) for i in range(31)]
    assert frames_per_second(len(stamps), stamps[0], stamps[-1]) == pytest.approx(30.0, abs=1e-6)
    assert frames_per_second(1, 5, 5) is None
    assert frames_per_second(0, 0, 0) is None


def test_percentiles_interpolate_and_convert_to_ms():
    found = percentiles_ms(range(0, 101_000_000, 1_000_000))
    assert found == Percentiles(50.0, 90.0, 99.0)
    assert percentiles_ms([]) is None
    assert percentiles_ms([4_000_000]) == Percentiles(4.0, 4.0, 4.0)


def test_stage_times_keep_the_newest_of_a_full_window():
    times = StageTimes(window=4)
    for value in (100, 100, 100, 100, 2, 2, 2, 2):
        times.add(value * 1_000_000)
    assert len(times) == 8
    assert times.percentiles() == Percentiles(2.0, 2.0, 2.0)
    assert StageTimes().percentiles() is None


def test_budget_names_every_wrong_key_at_once():
    budget = Budget.from_document({"min_miou": 0.6, "max_peak_bytes": 10})
    assert (budget.min_miou, budget.max_peak_bytes, budget.min_fps) == (0.6, 10, None)
    with pytest.raises(UsageError, match=r"'fps'.*min_miou is 'high'.*known keys"):
        Budget.from_document({"fps": 3, "min_miou": "high"})


def test_what_a_bench_adds_survives_json():
    report = dataclasses.replace(
        full_report(),
        accuracy=Accuracy(20, 0.9, 0.8, 0.7, per_class_iou={"Road": 0.9, "Fence": None}),
        cost={"onnx_bytes": 1000, "macs": 5, "int8_conv_share": 0.9},
        intervals={"infer_p50_ms": (9.8, 10.3)},
        reference=Reference("fp32", "cd" * 32, "onnxruntime 1", "f32", 0.6, 0.58, 0.61),
    )
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_a_budget_limits_classes_by_name():
    budget = Budget.from_document({"min_class_iou": {"Pole": 0.1}, "max_bundle_bytes": 3e6})
    assert budget.min_class_iou == {"Pole": 0.1}
    assert isinstance(budget.max_bundle_bytes, int)
    with pytest.raises(UsageError, match=r"max_fps.*min_class_iou.Pole is 'x'"):
        Budget.from_document({"min_class_iou": {"Pole": "x"}, "max_fps": 3})
    with pytest.raises(UsageError, match="expected a table"):
        Budget.from_document({"min_class_iou": 0.3})
