import json

import numpy as np
import pytest
from stand_ins import ArgmaxBackend
from tinybundle import NAMES, PALETTE, SIZE_HW, expected_labels, random_frame, tiny_bundle

from edgeseg.core.dataset import Sample
from edgeseg.core.report import Report
from edgeseg.errors import DataError, UsageError
from edgeseg.target import bench as bench_module
from edgeseg.target.bench import BenchOptions, Entry, bench


class Frames:
    name = "frames"
    class_names = NAMES
    palette = PALETTE
    ignore_index = 255
    names = tuple("abcdefg")

    def __len__(self):
        return 7

    def __getitem__(self, index):
        if not 0 <= index < 7:
            raise IndexError(index)
        rgb = random_frame(index)
        return Sample(str(index), rgb, expected_labels(rgb))


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
    assert seen == [2, 4, 6, 7]
    assert [row.run["name"] for row in result.rows] == ["row slow", "row fast", "row wrong"]
    assert [row.frames for row in result.rows] == [7, 7, 7]
    assert result.rows[0].accuracy.miou == result.rows[1].accuracy.miou == 1.0
    assert result.rows[2].accuracy.miou < 0.2
    by_pair = {(r.a, r.b): r for r in result.ratios}
    assert len(by_pair) == 3
    assert 1.5 < by_pair["row slow", "row fast"].latency_ratio < 4.5
    assert by_pair["row slow", "row fast"].miou_difference == 0.0
    assert by_pair["row fast", "row wrong"].miou_difference < -0.8
    assert result.pareto == ("row fast",)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(document) == {"machine", "rows", "ratios", "pareto"}
    assert Report.from_json(document["rows"][0]).latency_ms["infer"].p50 > 40


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
