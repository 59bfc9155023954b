import dataclasses
import json

import numpy as np
import pytest
from simulated import Frames
from stand_ins import ArgmaxBackend
from tinybundle import SIZE_HW, expected_labels, tiny_bundle

from edgeseg.core.report import Report
from edgeseg.errors import DataError, UsageError
from edgeseg.runtime.backends.base import BackendIo
from edgeseg.runtime.bench import run as bench_module
from edgeseg.runtime.bench.references import CallableBackend, bare_onnxruntime
from edgeseg.runtime.bench.result import times_csv
from edgeseg.runtime.bench.row import Entry
from edgeseg.runtime.bench.run import BenchOptions, bench


class Wrong(ArgmaxBackend):
    def infer(self, frames):
        return np.zeros((1, *SIZE_HW), np.uint8) + 0 * super().infer(frames)


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """Three rows with known speed and accuracy, opened through the real registry's function."""
    bundle = tiny_bundle(tmp_path / "b")
    made = {
        "slow": lambda: ArgmaxBackend(sleep_s=0.04),
        "fast": lambda: ArgmaxBackend(sleep_s=0.01),
        "wrong": lambda: Wrong(sleep_s=0.025),
    }
    monkeypatch.setattr(bench_module, "open_backend", lambda name, bundle: made[name]())
    return [Entry(f"row {name}", bundle, name) for name in made]


def test_rows_ratios_and_pareto(entries):
    seen = []
    result = bench(entries, Frames(), BenchOptions(block=2), progress=seen.append)
    assert seen == [1, 2, 3, 4]
    assert [row.run["name"] for row in result.rows] == ["row slow", "row fast", "row wrong"]
    assert [row.frames for row in result.rows] == [7, 7, 7]
    assert result.reference == "row slow"
    assert result.rows[0].reference is None
    assert all(ratio.verdict == "too few rounds" for ratio in result.ratios)
    assert result.rows[0].accuracy.miou == result.rows[1].accuracy.miou == 1.0
    assert result.rows[2].accuracy.miou < 0.2
    by_pair = {(r.a, r.b): r for r in result.ratios}
    assert len(by_pair) == 3
    # Four times the sleep; a busy machine adds to both.
    assert by_pair["row slow", "row fast"].latency_ratio > 1
    assert by_pair["row slow", "row fast"].miou_difference == 0.0
    assert by_pair["row fast", "row wrong"].miou_difference < -0.8
    assert result.pareto == ("row fast",)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(document) >= {"machine", "rows", "ratios", "pareto"}
    assert Report.from_json(document["rows"][0]).latency_ms["infer"].p50 > 40


def test_a_rail_that_cannot_be_read_once_costs_no_bench(entries, tmp_path):
    chip = tmp_path / "sys/bus/i2c/devices/1-0040"
    sensor = chip / "hwmon/hwmon0"
    sensor.mkdir(parents=True)
    (chip / "name").write_text("ina3221")
    for number, rail in ((1, "VDD_IN"), (2, "VDD_CPU_GPU_CV")):
        for name, text in (("in{}_label", rail), ("in{}_input", "5000"), ("curr{}_input", "1000")):
            (sensor / name.format(number)).write_text(text)

    def fails_from_here(turns):
        if turns == 2:
            (sensor / "curr2_input").unlink()

    options = BenchOptions(rounds=4, block=1, root=tmp_path)
    rows = bench(entries[:1], Frames(), options, progress=fails_from_here).rows
    assert rows[0].power_w == {"VDD_IN": 5.0, "VDD_CPU_GPU_CV": 5.0}


def test_repeat_times_more_and_scores_once(entries):
    result = bench(entries[1:2], Frames(), BenchOptions(block=3, repeat=4, boundary=True))
    (row,) = result.rows
    assert row.accuracy.n == 7
    assert row.accuracy.bf == 1.0
    assert row.run["rounds"] == 3


def test_real_backends_run_side_by_side(tmp_path):
    pytest.importorskip("onnxruntime")
    rows = [
        Entry(precision, tiny_bundle(tmp_path / precision, precision=precision), "onnxruntime",
              {"threads": 1})
        for precision in ("fp32", "int8")
    ]  # fmt: skip
    result = bench(rows, Frames())
    assert [row.accuracy.miou for row in result.rows] == [1.0, 1.0]
    assert result.rows[1].backend["precision"] == "int8+f32"
    assert result.rows[0].backend["name"] == "onnxruntime"


def test_names_must_differ_and_classes_must_fit(entries):
    with pytest.raises(UsageError, match="names of their own"):
        bench([entries[0], entries[0]], Frames())
    with pytest.raises(UsageError, match="names of their own"):
        bench([], Frames())
    other = Frames()
    other.class_names = ("a", "b", "c")
    with pytest.raises(DataError, match="other classes"):
        bench(entries, other)


def test_few_images_are_gone_over_again_until_there_are_rounds_enough(entries):
    options = BenchOptions(block=4, rounds=9, warmup=0, show=2)
    assert [len(turn) for turn in options.turns(64)] == [4] * 16
    result = bench(entries[1:], Frames(), options)
    fast, wrong = result.rows
    assert (fast.run["rounds"], fast.run["inferences"], fast.accuracy.n) == (9, 9, 7)
    low, high = fast.intervals["infer_p50_ms"]
    assert low <= fast.latency_ms["infer"].p50 <= high
    assert wrong.reference.name == "row fast"
    assert wrong.reference.low <= wrong.reference.time_ratio <= wrong.reference.high
    assert set(wrong.accuracy.per_class_iou) == set(Frames.class_names)
    assert len(result.shown) == 2
    assert set(result.shown[0].labels) == {"row fast", "row wrong"}
    assert not np.array_equal(*result.shown[0].labels.values())
    lines = list(times_csv(result))
    assert len(lines) == 18
    assert all(took > 0 for *_, took in lines)


def test_rows_that_have_no_backend_run_beside_those_that_have(tmp_path):
    pytest.importorskip("onnxruntime")
    bundle = tiny_bundle(tmp_path / "b")
    io = BackendIo("argmax of numpy", "cpu", "uint8", 1, (1, *SIZE_HW, 3))
    rows = [
        Entry("bundle", bundle, "onnxruntime", {"threads": 1}),
        Entry("bare", bundle, "bare", opener=lambda: bare_onnxruntime(bundle, 1)),
        Entry("numpy", bundle, "numpy", opener=lambda: CallableBackend(expected_labels, io)),
        Entry("yardstick", bundle, "onnxruntime", scored=False, reference=True),
    ]
    result = bench(rows, Frames())
    assert [row.accuracy and row.accuracy.miou for row in result.rows] == [1.0, 1.0, 1.0, None]
    assert result.rows[1].backend["runtime"].endswith("bare loop")
    assert result.reference == "yardstick"
    assert "yardstick" not in result.pareto
    with pytest.raises(UsageError, match="two rows"):
        bench([dataclasses.replace(row, reference=True) for row in rows], Frames())
