"""eval, stream, bench, gate and doctor, in this process, on a bundle that labels by colour."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tinybundle import NAMES, tiny_bundle

from edgeseg.cli import run
from edgeseg.core.bundle import Bundle
from tests.data_folders import name_camvid_classes


@pytest.fixture
def scenes(tmp_path: Path, colour_bundle: Bundle) -> Path:
    """Images whose colours are the palette's, so that the bundle labels them without an error."""
    import cv2

    rng = np.random.default_rng(1)
    palette = np.array(colour_bundle.spec.palette, np.uint8)
    name_camvid_classes(tmp_path)
    for name in ("val", "valannot"):
        (tmp_path / name).mkdir()
    lines = []
    for number in range(3):
        labels = rng.integers(0, 11, (64, 96)).astype(np.uint8)
        rgb = palette[labels]
        cv2.imwrite(str(tmp_path / f"val/{number}.png"), rgb[..., ::-1])
        if number == 2:
            labels[:16] = 11
        cv2.imwrite(str(tmp_path / f"valannot/{number}.png"), labels)
        lines.append(f"val/{number}.png valannot/{number}.png\n")
    (tmp_path / "val.txt").write_text("".join(lines))
    return tmp_path


def document(capsys, *arguments: object, code: int = 0) -> dict:
    assert run([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_eval_scores_a_perfect_bundle_perfect(scenes, colour_bundle, capsys):
    result = document(capsys, "eval", colour_bundle.path, "--data", scenes)
    assert (result["n_images"], result["miou"], result["bf"]) == (3, 1.0, 1.0)
    assert set(result["per_class"]) == set(colour_bundle.spec.class_names)
    assert result["backend"]["name"] == "onnxruntime"
    assert result["bundle"]["sha256"] == colour_bundle.digest


def test_eval_exact_clips_where_the_file_does(tmp_path, capsys):
    """Red of 150 and blue of 200 are both above the graph's reach, so equal: the first wins."""
    import cv2

    bundle = tiny_bundle(tmp_path / "tiny", precision="int8", reach=0.5)
    data = tmp_path / "data"
    for folder in ("images/val", "masks/val"):
        (data / folder).mkdir(parents=True)
    (data / "classes.txt").write_text("\n".join(NAMES) + "\n")
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[..., 0], rgb[..., 2] = 150, 200
    cv2.imwrite(str(data / "images/val/a.png"), rgb[..., ::-1])
    cv2.imwrite(str(data / "masks/val/a.png"), np.full((48, 64), 2, np.uint8))
    arguments = ("eval", bundle.path, "--data", data, "--no-bf")
    fast = document(capsys, *arguments, "--backend", "onnxruntime")
    exact = document(capsys, *arguments, "--exact")
    assert (fast["global_accuracy"], exact["global_accuracy"]) == (1.0, 0.0)
    assert exact["confusion"][2][0] == 48 * 64
    assert (fast["backend"]["exact"], exact["backend"]["exact"]) == (False, True)
    assert run([*map(str, arguments), "--exact"]) == 0
    assert "int8, as the file" in " ".join(capsys.readouterr().out.split())
    assert run([*map(str, arguments), "--exact", "--backend", "openvino"]) == 2
    assert "--exact runs on onnxruntime" in capsys.readouterr().err


def test_eval_draws_its_worst_images_and_the_confusion_matrix(
    scenes, colour_bundle, capsys, tmp_path
):
    from edgeseg.core.images.io import read_rgb

    chart, out = tmp_path / "charts" / "confusion.png", tmp_path / "worst"
    pictures = ("--save-errors", 2, "-o", out, "--confusion", chart)
    result = document(capsys, "eval", colour_bundle.path, "--data", scenes, *pictures)
    assert [frame["name"] for frame in result["worst"]] == ["0", "1"]
    assert read_rgb(out / "001_0.png").shape == (64, 4 * 96 + 3 * 4, 3)
    assert sorted(path.name for path in out.glob("*.png")) == ["001_0.png", "002_1.png"]
    assert read_rgb(chart).shape[2] == 3
    assert sum(map(sum, result["confusion"])) == 3 * 64 * 96 - 16 * 96


def test_eval_removes_an_earlier_runs_pictures_and_nothing_else(
    scenes, colour_bundle, capsys, tmp_path
):
    out = tmp_path / "worst"
    own = ("notes.txt", "000012_10.png", "01_a.png", "cover.png")
    out.mkdir()
    for name in own:
        (out / name).touch()
    arguments = ("eval", colour_bundle.path, "--data", scenes, "-o", out)
    document(capsys, *arguments, "--save-errors", 99)
    assert len(list(out.glob("00?_*.png"))) == 3
    assert run([*map(str, arguments)]) == 2
    assert "there is no --save-errors" in capsys.readouterr().err
    document(capsys, *arguments, "--save-errors", 1)
    assert {path.name for path in out.iterdir()} == {*own, "001_0.png", ".edgeseg-panels"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--confusion", "{folder}"], "--confusion {folder} is a folder"),
        (["--confusion", "{file}/chart.png"], "{file} is a file"),
        (["--confusion", "{data}/val/0.png"], "would be written over or into {data}"),
        (["--confusion", "{data}/val/new.png"], "would be written over or into {data}"),
        (["--confusion", "{bundle}/model.onnx"], "would be written over or into {bundle}"),
        (["--confusion", "chart.jpg"], "--confusion chart.jpg is no .png"),
        (["--save-errors", "1", "-o", "{file}"], "{file} is a file"),
        (["--save-errors", "1", "-o", "{file}/deep/down"], "{file} is a file"),
        (["--save-errors", "1", "-o", "{pictures}"], "which no evaluation noted as its own"),
    ],
    ids=[
        "a-folder-for-the-chart",
        "chart-below-a-file",
        "a-frame",
        "among-frames",
        "the-network",
        "jpeg",
        "pictures-in-a-file",
        "below-a-file",
        "own",
    ],
)
def test_eval_checks_where_its_pictures_go_before_it_evaluates(
    words, reason, scenes, colour_bundle, capsys, tmp_path, monkeypatch
):
    def evaluates(*arguments: object, **more: object) -> None:
        pytest.fail("it evaluated first")

    monkeypatch.setattr("edgeseg.runtime.evaluation.evaluate.evaluate", evaluates)
    places = {"folder": tmp_path / "charts", "file": tmp_path / "file"}
    places |= {"pictures": tmp_path / "holiday", "data": scenes, "bundle": colour_bundle.path}
    places["folder"].mkdir()
    places["file"].touch()
    places["pictures"].mkdir()
    (places["pictures"] / "100_cam.png").touch()
    given = [word.format(**places) for word in words]
    assert run(["eval", str(colour_bundle.path), "--data", str(scenes), *given]) == 2
    assert reason.format(**places) in capsys.readouterr().err


def test_stream_and_bench_leave_the_bundle_they_measure_whole(scenes, colour_bundle, capsys):
    manifest = colour_bundle.path / "manifest.json"
    before = manifest.read_bytes()
    for verb, *rest in (["stream", str(scenes / "val"), "null"], ["bench", "--data", str(scenes)]):
        assert run([verb, str(colour_bundle.path), *rest, "-o", str(manifest)]) == 2
        assert "manifest.json would be written over or into" in capsys.readouterr().err
    assert manifest.read_bytes() == before


def test_a_checkpoint_that_no_reference_reads_is_refused(
    scenes, colour_bundle, small_checkpoint, capsys
):
    bench = ["bench", str(colour_bundle.path), "--data", str(scenes)]
    assert run([*bench, "--checkpoint", str(small_checkpoint)]) == 2
    assert "--checkpoint would change nothing" in capsys.readouterr().err


def test_stream_and_eval_give_the_same_scores(scenes, colour_bundle, capsys):
    data = ("--data", scenes, "--no-bf")
    scored = document(capsys, "eval", colour_bundle.path, *data)
    labels = ("--labels", scenes / "valannot")
    report = document(capsys, "stream", colour_bundle.path, scenes / "val", *labels)
    assert (report["frames"], report["dropped"]) == (3, 0)
    for key in ("miou", "global_accuracy", "class_accuracy"):
        assert report["accuracy"][key] == scored[key]


def test_stream_writes_its_report_and_gate_judges_it(scenes, colour_bundle, capsys, tmp_path):
    out = tmp_path / "reports" / "one.json"
    labels = ("--labels", scenes / "valannot")
    document(capsys, "stream", colour_bundle.path, scenes / "val", "null", *labels, "-o", out)
    budget = tmp_path / "budget.toml"
    budget.write_text("[budget]\nmin_miou = 0.99\nmax_dropped_ratio = 0\n")
    verdict = document(capsys, "gate", out, "--budget", budget)
    assert verdict["verdict"] == "pass"
    assert [check["name"] for check in verdict["checks"]] == ["miou", "dropped_ratio"]
    budget.write_text("[budget]\nmin_miou = 1.5\n")
    assert run(["gate", str(out), "--budget", str(budget)]) == 2
    assert "min_miou is 1.5" in capsys.readouterr().err
    budget.write_text("[budget.min_class_iou]\nRoad = 0.99\n")
    (check,) = document(capsys, "gate", out, "--budget", budget)["checks"]
    assert (check["name"], check["ok"]) == ("iou of Road", True)
    budget.write_text("[budget]\nmin_miou = 0.5\nmax_infer_p50_ms = 1e-9\n")
    assert document(capsys, "gate", out, "--budget", budget, code=4)["verdict"] == "fail"
    assert document(capsys, "gate", out, "--baseline", out, "--slower", "1.0")["verdict"] == "pass"


def test_gate_on_a_bench_accepts_judges_and_tells_ci(scenes, colour_bundle, capsys, tmp_path):
    report, base = tmp_path / "bench.json", tmp_path / "base.json"
    options = ("--data", scenes, "--backend", "onnxruntime", "--rounds", "6", "-o", report)
    more = ("--reference", "bare", "--most-rounds", "0")
    document(capsys, "bench", colour_bundle.path, *options, *more)
    pages = {name: tmp_path / name for name in ("j.xml", "s.md", "h.jsonl", "t.html")}
    wide = ("--slower", "3", "--larger", "5")
    accepted = document(
        capsys, "gate", report, "--baseline", base, "--accept", "first figures", *wide,
        "--junit", pages["j.xml"], "--markdown", pages["s.md"],
        "--history", pages["h.jsonl"], "--trend", pages["t.html"],
    )  # fmt: skip
    assert accepted["verdict"] == "pass"
    assert json.loads(base.read_text())["accepted"]["reason"] == "first figures"
    assert "<testsuite" in pages["j.xml"].read_text()
    assert "pass" in pages["s.md"].read_text().splitlines()[0]
    assert len(pages["h.jsonl"].read_text().splitlines()) == 1
    assert "Newest verdicts" in pages["t.html"].read_text()
    changed = json.loads(report.read_text())
    changed["rows"][0]["accuracy"]["miou"] *= 0.97
    changed["rows"][0]["accuracy"]["per_class_iou"]["Road"] *= 0.5
    report.write_text(json.dumps(changed))
    verdict = document(capsys, "gate", report, "--baseline", base, *wide, code=3)
    name = changed["rows"][0]["run"]["name"]
    failed = [check["name"] for check in verdict["checks"] if check["ok"] is False]
    assert failed == [f"{name}: miou_against_baseline", f"{name}: iou of Road_against_baseline"]
    other = ("--row", changed["rows"][1]["run"]["name"])
    document(capsys, "gate", report, "--baseline", base, *wide, *other)
    elsewhere = json.loads(base.read_text())
    for row in elsewhere["rows"]:
        row["machine"]["cpu"] = "another"
    base.write_text(json.dumps(elsewhere))
    verdict = document(capsys, "gate", report, "--baseline", base, *wide, *other, code=1)
    assert verdict["verdict"] == "not_comparable"


def test_gate_names_a_row_that_is_not_there(scenes, colour_bundle, capsys, tmp_path):
    report = tmp_path / "r.json"
    document(capsys, "stream", colour_bundle.path, scenes / "val", "-o", report)
    assert run(["gate", str(report), "--baseline", str(report), "--row", "other"]) == 2
    assert "its rows: colour" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[limits]\n", "no [budget] table"),
        ("[budget]\nmin_mio = 1\n", "unknown key 'min_mio'"),
        ("not toml", "is not TOML"),
    ],
)
def test_a_bad_budget_is_a_usage_error(tmp_path, capsys, text, message):
    path = tmp_path / "budget.toml"
    path.write_text(text)
    assert run(["gate", "report.json", "--budget", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_gate_needs_something_to_judge_against(tmp_path, capsys):
    assert run(["gate", str(tmp_path / "r.json")]) == 2
    assert "--baseline" in capsys.readouterr().err


def test_gate_leaves_what_it_reads_and_refuses_places_before_it_judges(
    scenes, colour_bundle, capsys, tmp_path
):
    report, budget, folder = tmp_path / "r.json", tmp_path / "b.toml", tmp_path / "folder"
    folder.mkdir()
    document(capsys, "stream", colour_bundle.path, scenes / "val", "-o", report)
    budget.write_text("[budget]\nmin_fps = 0.1\n")
    before = {path: path.read_bytes() for path in (report, budget)}
    judged = ["gate", str(report), "--budget", str(budget)]
    for wrong, said in (
        (("--junit", report), "which is read"),
        (("--markdown", budget), "which is read"),
        (("--history", folder), "is a folder"),
        (("--junit", tmp_path / "x", "--markdown", tmp_path / "x"), "give each its own"),
        (("--slower", "1.2"), "there is no --baseline"),
    ):
        assert run([*judged, *map(str, wrong)]) == 2
        assert said in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in before}


def test_bench_refuses_an_idle_option_and_one_file_for_two(colour_bundle, capsys, tmp_path):
    bench = ["bench", str(colour_bundle.path), "--backend", "onnxruntime"]
    assert run([*bench, "--native-float"]) == 2
    assert "is not among the backends" in capsys.readouterr().err
    same = str(tmp_path / "same")
    assert run([*bench, "-o", same, "--csv", same]) == 2
    assert "give each its own" in capsys.readouterr().err


def test_bench_compares_the_installed_runtimes(scenes, colour_bundle, capsys, tmp_path):
    page = tmp_path / "page.html"
    out = tmp_path / "bench.json"
    command = ("bench", colour_bundle.path, "--data", scenes, "--native-float")
    result = document(capsys, *command, "--html", page, "-o", out)
    names = [row["run"]["name"] for row in result["rows"]]
    assert names == [
        "colour fp32 onnxruntime", "colour fp32 openvino", "colour fp32 openvino native float",
    ]  # fmt: skip
    assert all(row["accuracy"]["miou"] == 1.0 for row in result["rows"])
    assert len(result["ratios"]) == 3
    assert set(result["pareto"]) <= set(names)
    assert json.loads(out.read_text()) == result
    html = page.read_text()
    assert html.count("<circle") == 3
    assert all(name in html for name in names)
    assert html.count("<h2>") == 8
    assert html.count("data:image/") == 3 * 4
    assert "http" not in html


def test_bench_writes_tables_for_other_programs(scenes, colour_bundle, capsys, tmp_path):
    paths = {name: tmp_path / name for name in ("rows.csv", "times.csv", "table.md")}
    result = document(
        capsys, "bench", colour_bundle.path, "--data", scenes, "--backend", "onnxruntime",
        "--reference", "fp32", "--reference", "bare", "--threads", 1, "--rounds", 8,
        "--csv", paths["rows.csv"], "--export-times", paths["times.csv"],
        "--markdown", paths["table.md"],
    )  # fmt: skip
    names = ["reference FP32", "reference bare loop", "colour fp32 onnxruntime"]
    assert result["reference"] == names[0]
    assert result["conditions"]["threads"] == 1
    lines = list(csv.DictReader(paths["rows.csv"].read_text().splitlines()))
    assert [line["row"] for line in lines] == names
    assert float(lines[2]["time_ratio_low"]) <= float(lines[2]["time_ratio"])
    assert int(lines[2]["macs"]) == 64 * 96 * 3 * 11
    times = list(csv.DictReader(paths["times.csv"].read_text().splitlines()))
    assert len(times) == 3 * 8
    assert all(int(line["ns"]) > 0 for line in times)
    table = paths["table.md"].read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[2:5]] == [f"| {name}" for name in names]
    assert {line.count("|") for line in table[:5]} == {table[0].count("|")}


def test_a_boards_floor_is_marked_as_computed(scenes, colour_bundle, capsys, tmp_path):
    page = tmp_path / "page.html"
    command = ("bench", colour_bundle.path, "--data", scenes, "--backend", "onnxruntime")
    result = document(capsys, *command, "--board", "orin-nano", "--html", page)
    (floor,) = result["floors"]
    assert "never a measurement" in floor["note"]
    assert sum(layer["macs"] for layer in floor["layers"]) == 64 * 96 * 3 * 11
    assert floor["floor_ms"] > 0
    assert "computed, not measured" in page.read_text()
    assert run([*map(str, command), "--board", "orin-nanno"]) == 2
    assert "orin-nano" in capsys.readouterr().err


def test_bench_and_stream_print_tables(scenes, colour_bundle, capsys):
    bundle = str(colour_bundle.path)
    assert run(["bench", bundle, "--data", str(scenes), "--backend", "onnxruntime"]) == 0
    assert "colour fp32 onnxruntime" in capsys.readouterr().out
    assert run(["stream", bundle, str(scenes / "val")]) == 0
    assert "colour" in capsys.readouterr().out
    assert run(["eval", bundle, "--data", str(scenes)]) == 0
    assert "Bicyclist" in capsys.readouterr().out


def test_doctor_names_each_check_and_its_cure(capsys):
    result = document(capsys, "doctor")
    assert {"name", "status", "found", "needed", "cure"} == set(result["checks"][0])
    assert {check["status"] for check in result["checks"]} <= {"ok", "missing", "warning"}
    assert run(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert "python" in out
    assert all(check["cure"] in err for check in result["checks"] if check["cure"])


@pytest.mark.slow
def test_plain_references_of_the_shipped_model_run_beside_it(capsys):
    pytest.importorskip("torch")
    name = "deeplabv3plus-mobilenetv2-camvid"
    command = ("bench", name, "--data", "synthetic:1", "--rounds", 1, "--reference", "all")
    result = document(capsys, *command, "--backend", "onnxruntime", "--threads", 1)
    fp32, bare, eager, int8 = result["rows"]
    assert eager["backend"]["runtime"].startswith("torch")
    scores = [row["accuracy"]["miou"] for row in (fp32, bare, eager)]
    assert scores == pytest.approx([scores[0]] * 3, abs=0.01)
    assert int8["accuracy"]["miou"] == pytest.approx(scores[0], abs=0.05)
    assert int8["cost"]["onnx_bytes"] < fp32["cost"]["onnx_bytes"] / 2


@pytest.mark.parametrize("option", ["-o", "--csv", "--markdown", "--html", "--export-times"])
@pytest.mark.parametrize("place", ["folder", "file/below"])
def test_bench_checks_where_its_files_go_before_it_measures(
    option, place, scenes, colour_bundle, capsys, tmp_path, monkeypatch
):
    def measures(*arguments: object, **more: object) -> None:
        pytest.fail("it measured first")

    monkeypatch.setattr("edgeseg.runtime.bench.run.bench", measures)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    given = tmp_path / place
    command = ["bench", str(colour_bundle.path), "--data", str(scenes), option, str(given)]
    assert run(command) == 2
    error = capsys.readouterr().err
    assert option in error
    assert str(given) in error


def test_bench_prints_its_table_even_where_a_file_cannot_be_written(
    scenes, colour_bundle, capsys, tmp_path, monkeypatch
):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgeseg.cli.bench.command.atomic_write_text", full)
    command = ["bench", str(colour_bundle.path), "--data", str(scenes), "--rounds", "1"]
    assert run([*command, "--backend", "onnxruntime", "-o", str(tmp_path / "bench.json")]) == 1
    assert "colour fp32 onnxruntime" in capsys.readouterr().out


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_bench_writes_its_files_even_where_nobody_reads_its_table(
    extra, scenes, colour_bundle, tmp_path
):
    table = tmp_path / "bench.md"
    reading, writing = os.pipe()
    os.close(reading)
    command = ["bench", colour_bundle.path, "--data", scenes, "--rounds", "1", *extra]
    command += ["--backend", "onnxruntime", "--markdown", table]
    done = subprocess.run(
        [sys.executable, "-m", "edgeseg.cli", *map(str, command)], stdout=writing,
        stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    os.close(writing)
    assert done.returncode != 0, "nothing was printed into the closed pipe"
    assert "Traceback" not in done.stderr
    assert "colour" in table.read_text()
