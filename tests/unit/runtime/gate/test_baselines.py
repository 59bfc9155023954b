import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import pytest
from simulated import MACHINE
from simulated import PLAIN as BASE

from edgeseg.cli import run
from edgeseg.cli.gate.ci_pages import junit_xml, markdown
from edgeseg.core.report import Memory, Reference, write_report
from edgeseg.core.stage_times import Percentiles
from edgeseg.errors import UsageError
from edgeseg.runtime.gate.baselines import (
    accept,
    append_history,
    baseline_file,
    find_baseline,
    history_line,
    machine_key,
    read_baselines,
    read_history,
    read_rows,
)
from edgeseg.runtime.gate.judge import judge, judge_rows

SLOW = dataclasses.replace(
    BASE,
    latency_ms={"infer": Percentiles(13.0, 14.0, 15.0)},
    memory=Memory("VmHWM", 200_000_000),
)


def test_a_machine_has_a_name_of_its_own():
    cpu = {"cpu": "Intel(R) Xeon(R) Processor @ 2.60GHz", "cores": 2}
    assert machine_key(cpu).startswith("intel-xeon-processor-2-60ghz-2c-")
    assert machine_key(cpu) == machine_key({**cpu, "python": "3.13"})
    assert machine_key(cpu) != machine_key({**cpu, "power_mode": "0001"})
    assert machine_key({}) != machine_key(MACHINE)


def test_a_baseline_is_accepted_with_a_reason_and_names_what_it_replaces(tmp_path):
    report, baseline = tmp_path / "new.json", tmp_path / "base" / "b.json"
    write_report(report, SLOW)
    with pytest.raises(UsageError, match="needs a reason"):
        accept(report, baseline, " ", "2026-11-21T10:00:00+00:00")
    accept(report, baseline, "first", "2026-11-21T10:00:00+00:00")
    accept(report, baseline, "wider decoder", "2026-11-22T10:00:00+00:00")
    record = json.loads(baseline.read_text())["accepted"]
    assert record["reason"] == "wider decoder"
    assert len(record["replaces"]) == 12
    assert read_rows(baseline) == {"m": SLOW}


def test_a_file_that_is_no_report_is_never_a_baseline(tmp_path):
    (tmp_path / "x.json").write_text('{"rows": [{"format": 1}]}')
    with pytest.raises(UsageError, match="no report"):
        accept(tmp_path / "x.json", tmp_path / "b.json", "why", "now")
    assert not (tmp_path / "b.json").exists()


def test_a_bench_without_rows_is_no_report(tmp_path):
    (tmp_path / "e.json").write_text('{"rows": []}')
    with pytest.raises(UsageError, match="has no rows"):
        read_rows(tmp_path / "e.json")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--budget", "nosuch.toml"], "nosuch.toml does not exist"),
        (["--row", "m"], "leave --row out"),
        (["--trend", "t.html"], "give the file"),
    ],
)
def test_a_wrong_command_replaces_no_baseline(more, said, tmp_path, capsys):
    report, baseline = tmp_path / "new.json", tmp_path / "b.json"
    write_report(report, SLOW)
    write_report(baseline, BASE)
    before = baseline.read_bytes()
    command = ["gate", str(report), "--baseline", str(baseline), "--accept", "why"]
    assert run([*command, *more]) == 2
    assert said in capsys.readouterr().err
    assert baseline.read_bytes() == before


def test_rows_of_a_bench_are_judged_by_name():
    verdict = judge_rows({"a": BASE, "b": SLOW}, baseline={"a": BASE, "b": BASE, "c": BASE})
    failed = [check.name for check in verdict.checks if check.ok is False]
    assert failed == ["b: peak_bytes_against_baseline", "c: row"]
    # The row that is gone had an accuracy.
    assert verdict.exit_code == 3
    new = judge_rows({"a": BASE, "d": BASE}, baseline={"a": BASE})
    assert new.exit_code == 1
    assert "d: row: the baseline has no such row" in new.reasons()


def test_junit_and_markdown_say_what_failed(tmp_path):
    other = dataclasses.replace(BASE, machine={**MACHINE, "cpu": "B"})
    verdict = judge_rows({"a": SLOW, "b": other}, baseline={"a": BASE, "b": BASE})
    suite = ElementTree.fromstring(junit_xml(verdict, "road <int8>"))
    assert suite.get("failures") == "1"
    assert int(suite.get("skipped")) == 7
    assert int(suite.get("tests")) == len(suite.findall("testcase")) == len(verdict.checks)
    assert "expected at most 1.18e+08" in suite.find("testcase/failure").get("message")
    lines = markdown(verdict, "road | int8").splitlines()
    assert "fail" in lines[0]
    assert "failed" in lines[4]
    assert "cpu is 'B'" in "\n".join(lines)


def test_a_history_keeps_every_verdict_and_outlives_a_torn_line(tmp_path):
    path = tmp_path / "h" / "history.jsonl"
    for report in (BASE, SLOW):
        verdict = judge(report, baseline=BASE)
        append_history(path, history_line({"m": report}, verdict, "2026-11-21"))
    with path.open("a") as file:
        file.write('{"rows": {"m"')
    entries = read_history(path)
    assert [entry["verdict"] for entry in entries] == ["pass", "fail"]
    assert entries[1]["rows"]["m"]["infer_p50_ms"] == 13.0
    append_history(path, history_line({"m": BASE}, judge(BASE, baseline=BASE), "2026-11-22"))
    assert [entry["at"] for entry in read_history(path)] == ["2026-11-21"] * 2 + ["2026-11-22"]


def test_the_reports_of_several_cameras_are_judged_by_their_numbers(tmp_path):
    path = tmp_path / "two.json"
    path.write_text(json.dumps({"format": 1, "reports": [BASE.to_json(), SLOW.to_json()]}))
    rows = read_rows(path)
    assert list(rows) == [f"{BASE.bundle.name} camera {n}" for n in (0, 1)]
    assert list(rows.values()) == [BASE, SLOW]


def test_the_in_run_ratio_is_judged_instead_of_absolute_times():
    reference = Reference("y", "ab", "ort 1", "f32", 0.5, 0.48, 0.52, 0.6, 0.7)
    base = dataclasses.replace(BASE, reference=reference)
    busy = dataclasses.replace(base, latency_ms={"infer": Percentiles(30.0, 40.0, 50.0)})
    assert judge(busy, baseline=base).verdict == "pass"
    slower = dataclasses.replace(reference, time_ratio=0.65, low=0.63, high=0.67)
    assert judge(dataclasses.replace(base, reference=slower), baseline=base).exit_code == 4
    other = dataclasses.replace(reference, sha256="cd")
    found = judge(dataclasses.replace(base, reference=other), baseline=base)
    assert found.verdict == "not_comparable"
    assert "sha256" in found.reasons()
    found = judge(dataclasses.replace(base, reference=None), baseline=base)
    assert "no reference row was run" in found.reasons()


def test_sizes_and_int8_layers_compare_on_every_machine():
    cost = {"onnx_bytes": 1000, "macs": 500, "int8_conv_share": 0.98}
    base = dataclasses.replace(BASE, cost=cost)
    grown = dataclasses.replace(base, machine={}, cost={**cost, "onnx_bytes": 1100})
    failed = [check.name for check in judge(grown, baseline=base).checks if check.ok is False]
    assert failed == ["onnx_bytes_against_baseline"]
    lost = dataclasses.replace(base, cost={**cost, "int8_conv_share": 0.97})
    assert judge(lost, baseline=base).exit_code == 4


def test_this_machines_baseline_comes_before_others_and_its_name_before_the_former(tmp_path):
    elsewhere = {**MACHINE, "cpu": "another"}
    places = [
        baseline_file(tmp_path, machine, name)
        for name in ("test_old", "a/test_new.py::test_old")
        for machine in (elsewhere, MACHINE)
    ]
    other_former, own_former, other, own = places
    assert own.name == "a-test_new.py-test_old.json"
    for place in (other_former, other, own_former, own):
        place.parent.mkdir(exist_ok=True)
        place.touch()
        found = find_baseline(tmp_path, MACHINE, "a/test_new.py::test_old", former="test_old")
        assert found == place
    assert find_baseline(tmp_path, MACHINE, "a/test_new.py::test_none") is None


@pytest.mark.parametrize("many", ["rows", "reports"])
@pytest.mark.parametrize("value", [5, [], "x"])
def test_a_document_without_reports_is_named(tmp_path, many, value):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({many: value}))
    with pytest.raises(UsageError, match=f"has no {many}"):
        read_rows(path)


def test_lines_of_a_history_that_are_none_are_passed_over(tmp_path):
    path = tmp_path / "history.jsonl"
    verdict = judge(BASE, baseline=BASE)
    append_history(path, history_line({"m": BASE}, verdict, "2026-11-21"))
    with path.open("ab") as file:
        file.write(b'{"rows": {}}\n\xff\n')
    assert len(read_history(path)) == 1


def damaged(rows: list[dict], at: int, **fields) -> list[dict]:
    return [{**row, **fields} if n == at else row for n, row in enumerate(rows)]


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    timed = Reference("a", "0", "ort 1", "f32", 0.5, 0.48, 0.52)
    named = [dataclasses.replace(BASE, run={"name": name}) for name in "ab"]
    rows = [named[0].to_json(), dataclasses.replace(named[1], reference=timed).to_json()]
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"rows": rows}))
    assert list(read_rows(path)) == ["a", "b"]
    own = {**rows[1]["reference"], "name": "b"}
    for wrong, said in (
        ([*rows, rows[0]], "the row 'a' is there twice"),
        (damaged(rows, 0, run={}), "a row has no name"),
        (damaged(rows, 0, run={"name": True}), "run.name is True"),
        (damaged(rows, 0, run={"name": "c"}), "compared with 'a', which is no reference row"),
        (damaged(rows, 1, reference=own), "compared with 'b'"),
        ([*rows, 5], "one of its rows is no report"),
    ):
        path.write_text(json.dumps({"rows": wrong}))
        with pytest.raises(UsageError, match=said):
            read_rows(path)


def test_several_baselines_come_from_files_and_folders(tmp_path):
    for name in ("b.json", "a.json"):
        write_report(tmp_path / "runs" / name, BASE)
    assert len(read_baselines([tmp_path / "runs"])) == 2
    with pytest.raises(UsageError, match="given twice"):
        read_baselines([tmp_path / "runs", tmp_path / "runs" / "a.json"])
    with pytest.raises(UsageError, match=r"no baseline yet at .*none.json: write it with --accept"):
        read_baselines([tmp_path / "none.json"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no \.json file"):
        read_baselines([tmp_path / "empty"])


def test_a_run_without_frames_is_accepted_by_nobody(tmp_path):
    write_report(tmp_path / "r.json", dataclasses.replace(BASE, frames=0))
    with pytest.raises(UsageError, match="no frame was measured"):
        accept(tmp_path / "r.json", tmp_path / "b.json", "why", "now")


EVALUATED = {
    "bundle": {"name": "m", "sha256": "ab", "precision": "int8"},
    "backend": {"name": "onnxruntime", "exact": False},
    "data": "val",
    "n_images": 4,
    "global_accuracy": 0.9,
    "class_accuracy": 0.8,
    "miou": 0.7,
    "bf": None,
    "per_class": {"Road": {"iou": 0.7, "accuracy": 0.8, "bf": None}, "Bus": {"iou": None}},
}


def test_an_evaluation_is_judged_by_its_accuracy(tmp_path):
    path = tmp_path / "eval.json"
    path.write_text(json.dumps(EVALUATED))
    (report,) = read_rows(path).values()
    assert (report.accuracy.miou, report.accuracy.n, report.source) == (0.7, 4, "val")
    assert judge(report, baseline=report).exit_code == 0
    worse = dataclasses.replace(report, accuracy=dataclasses.replace(report.accuracy, miou=0.68))
    assert judge(worse, baseline=report).exit_code == 3
    for wrong in ({"n_images": 0}, {"miou": 1.7}, {"miou": None}, {"per_class": {}}, {"data": 5}):
        path.write_text(json.dumps({**EVALUATED, **wrong}))
        with pytest.raises(UsageError, match="no report"):
            read_rows(path)
    path.write_text(json.dumps({**EVALUATED, "per_class": 5}))
    with pytest.raises(UsageError, match="no evaluation"):
        read_rows(path)
