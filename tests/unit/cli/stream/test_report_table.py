import dataclasses

from edgeseg.cli.stream.report_table import print_report
from edgeseg.core.report import Accuracy, BundleId, Memory, Report
from edgeseg.core.stage_times import Percentiles

FULL = Report(
    BundleId("road", "abcdef0123456789", "int8"), {}, "val", 101, 3, 0, 29.973,
    {"infer": Percentiles(10.0, 11.5, 19.25), "end_to_end": Percentiles(12.0, 13.0, 20.0)},
    Memory("VmHWM, peak resident set of the process", 157_286_400,
           {"pss_bytes": 94_371_840, "engine_file_bytes": 6_291_456}),
    frame_age_ms=Percentiles(20.0, 21.0, 40.0),
    power_w={"VDD_IN": 6.5},
    temperature_c={"tj": 51.0},
    accuracy=Accuracy(101, 0.9, 0.8, 0.6234, bf=0.55, streaming_miou=0.6),
    backend={
        "runtime": "onnxruntime 1.31.1", "precision": "int8+f32", "device": "cpu", "threads": 2,
    },
    run={"warmup_runs": 3, "ended_by": "stop"},
)  # fmt: skip


def test_every_figure_is_there_with_its_unit_and_method(capsys):
    print_report(FULL)
    text = capsys.readouterr().out
    for piece in (
        "road (int8, abcdef012345)",
        "onnxruntime 1.31.1 in int8+f32, cpu, threads 2",
        "101, dropped 3, warm-up 3 runs before and not counted",
        "29.97",
        "150.0 MiB (VmHWM",
        "PSS 90.0 MiB, engine's file 6.0 MiB",
        "VDD_IN 6.5 W",
        "tj 51.0 °C",
        "mIoU 0.6234",
        "BF 0.5500",
        "streaming mIoU 0.6000",
        "19.25",
        "frame age",
        "ended by",
    ):
        assert piece in text, piece
    assert all(len(line) <= 120 for line in text.splitlines())


def test_what_was_not_measured_has_no_line(capsys):
    bare = Report(BundleId("a", "0", "fp32"), {}, "cam", 0, 0, 0, None, {}, None)
    print_report(bare)
    text = capsys.readouterr().out
    assert "unavailable" not in text
    assert not any(word in text for word in ("memory", "power", "energy", "throttled", "FPS"))
    assert "none: no labelled frame was scored" in text
    assert " 0.0" not in text
    assert "p50" not in text


def test_energy_and_what_slowed_the_machine_are_said(capsys):
    report = Report(
        BundleId("a", "0", "fp32"), {}, "cam", 0, 0, 0, None, {}, None,
        energy={"joules_per_frame": 0.2345, "mean_w": 7.0, "method": "VDD_IN"},
        hardware={"gpu_load": 0.0, "throttling":
                  {"slowed_by": ["cpu-throttle-alert"], "events": {"oc1": 0, "oc3": 4}}},
    )  # fmt: skip
    print_report(report)
    text = capsys.readouterr().out
    assert "0.234 J per frame (VDD_IN)" in text
    assert "GPU load      0%" in text
    assert "cpu-throttle-alert, oc3 4 times" in text


def test_a_mean_over_fewer_classes_says_so(capsys):
    accuracy = dataclasses.replace(FULL.accuracy, per_class_iou={"Road": 0.6234, "Bus": None})
    print_report(dataclasses.replace(FULL, accuracy=accuracy))
    assert "mIoU is the mean over 1 of 2 classes" in capsys.readouterr().out
