"""qat and export with their options, in this process, on a folder in CamVid's layout."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.host.training.augment import Augment
from tests.data_folders import name_camvid_classes

QUICK = ["--crop", "48x64", "--batch", "2", "--epochs", "2", "--val-limit", "2",
         "--images", "3"]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("camvid")
    name_camvid_classes(root)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (root / split).mkdir()
        (root / f"{split}annot").mkdir()
        for number in range(4):
            labels = rng.integers(0, 12, (8, 12), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            rgb = (labels[..., None] * 20 + rng.integers(0, 20, (64, 96, 3))).astype(np.uint8)
            cv2.imwrite(str(root / split / f"A_{number}.png"), rgb)
            cv2.imwrite(str(root / f"{split}annot" / f"A_{number}.png"), labels)
    return str(root)


def test_every_option_of_the_training_is_recorded_and_resumed(
    small_checkpoint: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeseg.host.checkpoint import load_checkpoint

    arguments = ["qat", str(small_checkpoint), "--data", data, *QUICK, "-o", str(tmp_path)]
    chosen = ["--scales", "learned", "--weights-first", "0.5", "--distill-features", "0.5",
              "--equalize", "--bias-correct", "--keep-float", "encoder.1.0"]  # fmt: skip
    assert run([*arguments, *chosen, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    checkpoint = load_checkpoint(tmp_path / "last.safetensors")
    quantized, trained = checkpoint.steps[-2:]
    assert quantized.options == {
        "observer": "entropy", "percentile": 99.99, "keep_float": ["encoder.1.0"],
        "equalize": True, "bias_correct": True, "adaround": 0, "learned_scales": True,
        "tune_ranges": False,
    }  # fmt: skip
    assert trained.options["distill_features"] == trained.options["weights_first"] == 0.5
    assert any(key.endswith("log_scale") for key in checkpoint.weights)
    assert len((tmp_path / "calibration-images.txt").read_text().splitlines()) == 3
    assert quantized.metadata["calibration"]["images"] == 3
    assert run([*arguments, *chosen, "--resume"]) == 0
    assert run([*arguments, "--resume"]) == 2
    assert "quantized with other options" in capsys.readouterr().err
    assert run([*arguments, *chosen, "--resume", "--images", "2"]) == 2
    assert "calibrated with other images" in capsys.readouterr().err
    assert len((tmp_path / "calibration-images.txt").read_text().splitlines()) == 3


def test_ranges_that_follow_the_batches_end_elsewhere(
    small_checkpoint: Path, data: str, tmp_path: Path
) -> None:
    from edgeseg.host.checkpoint import load_checkpoint

    ends = []
    for scales in ("calibrated", "ema"):
        folder = tmp_path / scales
        arguments = ["qat", str(small_checkpoint), "--data", data, *QUICK, "-o", str(folder)]
        assert run([*arguments, "--scales", scales, "--observer", "percentile"]) == 0
        checkpoint = load_checkpoint(folder / "last.safetensors")
        calibrated = checkpoint.steps[-2].metadata["scales"]
        weights = checkpoint.weights
        ends.append(
            [abs(float(weights[f"activation.{k}.scale"]) / v - 1) for k, v in calibrated.items()]
        )
    assert max(ends[0]) < 1e-6
    assert max(ends[1]) > 1e-4


@pytest.mark.slow
def test_export_refines_what_it_calibrates_and_writes_its_ranges(
    small_checkpoint: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeseg.core.bundle import read_bundle
    from edgeseg.host.export.calibration_ranges import read_cache, read_table

    arguments = ["export", str(small_checkpoint), "--calibrate", data, "--images", "2"]
    table, cache = tmp_path / "ranges.txt", tmp_path / "trt.cache"
    texts = ["--calibration-table", str(table), "--calibration-cache", str(cache)]
    assert run([*arguments, "--fp32", *texts]) == 2
    assert run([*arguments, "--int8", *texts, "--tensorrt", "11.4.0"]) == 2
    assert "7 to 10" in capsys.readouterr().err
    extras = [
        "--equalize",
        "--bias-correct",
        "--adaround",
        "--adaround-steps",
        "5",
        "--tune-ranges",
    ]
    out = ["-o", str(tmp_path / "refined")]
    assert run([*arguments, "--int8", *extras, *texts, *out, "--tensorrt", "8.6.1"]) == 0
    step = read_bundle(tmp_path / "refined").steps[-1]
    assert step["options"]["adaround"] == 5
    assert "bias_shift" in step["metadata"]["refined"]["encoder.1.0"]
    before, after = step["metadata"]["tuned_ranges"]["divergence"]
    assert after <= before
    assert step["metadata"]["calibration"]["images"] == 2
    assert cache.read_text().startswith("TRT-8601-EntropyCalibration2\n")
    scales = read_cache(cache.read_text())
    assert scales == read_table(table.read_text())
    assert set(np.float32(list(step["metadata"]["scales"].values()))) <= set(
        np.float32(list(scales.values()))
    )
    assert "2 images of" in table.read_text()


@pytest.mark.parametrize("verb", ["train", "qat"])
def test_mixed_in_data_of_other_classes_is_refused(
    verb: str, small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "classes.txt").write_text("floor 0 0 0\nwall 9 9 9\n")
    what = "segnet-basic" if verb == "train" else str(small_checkpoint)
    arguments = [verb, what, "--data", "synthetic:2", "--mix", str(tmp_path), "-o"]
    assert run([*arguments, str(tmp_path / "run")]) == 1
    assert "its label 0 is 'floor', not 'Sky'; give data of the same 11" in capsys.readouterr().err


def test_sensitivity_ranks_layers_and_auto_reuses_the_ranking(
    small_checkpoint: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeseg.host.checkpoint import load_checkpoint

    arguments = ["qat", str(small_checkpoint), "--data", data, *QUICK, "-o", str(tmp_path)]
    assert run([*arguments, "--sensitivity", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n_images"] == 2
    assert {row["layer"] for row in document["layers"]} == {
        f"{part}.{number}.0" for part in ("encoder", "decoder") for number in range(4)
    }
    page = (tmp_path / "sensitivity.html").read_text()
    assert all(page.count(f">{row['layer']}</text>") == 1 for row in document["layers"])
    # Two bars a layer, and the band behind them.
    assert page.count("<rect") == 2 * len(document["layers"]) + 1
    assert run([*arguments, "--sensitivity", "--keep-float", "auto", "--max-drop", "1"]) == 0
    captured = capsys.readouterr()
    assert "left in float: none is needed" in captured.err
    assert "leaving any one layer in float gains" in captured.err
    assert not (tmp_path / "last.safetensors").exists()
    automatic = [*arguments, "--keep-float", "auto", "--max-drop", "1", "--epochs", "1"]
    assert run(automatic) == 0
    assert "measured already" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "last.safetensors").steps[-2].options["keep_float"] == []
    assert run([*automatic, "--resume"]) == 0
    assert run([*arguments, "--keep-float", "auto", "--keep-float", "encoder.0.0"]) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--compare-ptq", "--keep-float", "auto"], "compares one choice of layers"),
        (["--sensitivity", "--keep-float", "encoder.0.0"], "ranks every layer"),
        (["--freeze-after", "0.2"], "--scales is not ema"),
        (["--max-drop", "0.2"], "there is no --keep-float auto"),
        (["--percentile", "80"], "--observer is another"),
        (["--adaround-steps", "7"], "there is no --adaround"),
    ],
)
def test_a_choice_that_would_be_left_out_is_refused(dense, tmp_path, capsys, options, said):
    command = ["qat", str(dense), "--data", "synthetic:4", *options, "-o", str(tmp_path / "q")]
    assert run(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "q").exists()


def test_the_comparison_table_goes_on_where_it_stopped(
    small_checkpoint: Path,
    data: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edgeseg.host.quantization import compare as qat_compare

    arguments = ["qat", str(small_checkpoint), "--data", data, *QUICK, "-o", str(tmp_path)]
    arguments += ["--compare-ptq", "--adaround", "--adaround-steps", "3", "--json"]
    score = qat_compare._scored
    calls: list[int] = []

    def dies_at_the_fourth(job, module, progress):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return score(job, module, progress)

    monkeypatch.setattr(qat_compare, "_scored", dies_at_the_fourth)
    assert run(arguments) == 130
    assert len(json.loads((tmp_path / "compare.json").read_text())["rows"]) == 3
    capsys.readouterr()
    assert run(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    names = [row["name"] for row in rows]
    assert names[:5] == ["float", "PTQ max", "PTQ percentile", "PTQ entropy", "PTQ mse"]
    assert names[-2:] == ["QAT", "QAT + distillation"]
    assert len(calls) == len(rows) + 1 == 14
    assert rows[0]["drop"] == 0
    assert all(row["drop"] == pytest.approx(rows[0]["miou"] - row["miou"]) for row in rows)
    assert run(arguments) == 0
    assert len(calls) == 14


@pytest.fixture
def quick_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison trains as it does, and makes up all else."""
    from edgeseg.host.quantization import compare as qat_compare

    network = qat_compare._network

    def trained(job, kind, value, folder, progress):
        return network(job, kind, value, folder, progress) if kind == "qat" else None

    figures = {"miou": 0.5, "class_accuracy": 0.5, "global_accuracy": 0.5}
    monkeypatch.setattr(qat_compare, "_network", trained)
    monkeypatch.setattr(qat_compare, "_scored", lambda job, module, progress: figures)


def test_a_comparison_with_other_options_trains_anew(
    small_checkpoint: Path,
    data: str,
    tmp_path: Path,
    quick_table: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edgeseg.host.checkpoint import load_checkpoint

    arguments = ["qat", str(small_checkpoint), "--data", data, *QUICK, "-o", str(tmp_path)]
    arguments += ["--epochs", "1", "--compare-ptq", "--json"]
    notes = tmp_path / "notes.txt"
    assert run([*arguments, "--lr", "1e-4"]) == 0
    notes.touch()
    assert run([*arguments, "--lr", "2e-4"]) == 0
    assert "was measured with other options or data; starting anew" in capsys.readouterr().err
    for name in ("qat", "qat-distill"):
        last = load_checkpoint(tmp_path / name / "last.safetensors")
        assert last.steps[-1].options["lr"] == 2e-4
    assert notes.exists()


def test_a_killed_comparison_keeps_the_trainings_it_has(
    small_checkpoint: Path,
    data: str,
    tmp_path: Path,
    quick_table: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edgeseg.host.quantization import compare as qat_compare

    arguments = ["qat", str(small_checkpoint), "--data", data, *QUICK, "-o", str(tmp_path)]
    arguments += ["--epochs", "1", "--compare-ptq", "--json"]
    score = qat_compare._scored

    def dies_after_training(job, module, progress):
        if module is not None:
            raise KeyboardInterrupt
        return score(job, module, progress)

    with monkeypatch.context() as patch:
        patch.setattr(qat_compare, "_scored", dies_after_training)
        assert run(arguments) == 130
    last = tmp_path / "qat" / "last.safetensors"
    trained = last.stat().st_mtime_ns
    # As an edgeseg would have left it that knew fewer options.
    table = tmp_path / "compare.json"
    document = json.loads(table.read_text())
    training = document["key"]["training"]
    crops = {field.name: training.pop(field.name) for field in dataclasses.fields(Augment)}
    del training["encoder_lr"], crops["classmix"]
    training["augment"] = crops
    table.write_text(json.dumps(document))
    # How often it validates changes no row.
    assert run([*arguments, "--validate-every", "2"]) == 0
    assert "starting anew" not in capsys.readouterr().err
    assert last.stat().st_mtime_ns == trained


def relabelled(data: str, place: Path) -> str:
    """Copy the data to a folder of the same name and change one validation mask."""
    copy = place / Path(data).name
    shutil.copytree(data, copy)
    mask = copy / "valannot" / "A_0.png"
    cv2.imwrite(str(mask), 11 - cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))
    return str(copy)


def test_a_comparison_does_not_show_the_figures_of_other_data_of_the_same_name(
    small_checkpoint: Path,
    data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edgeseg.host.quantization import compare as qat_compare

    scored: list[str] = []
    figures = {"miou": 0.5, "class_accuracy": 0.5, "global_accuracy": 0.5}
    monkeypatch.setattr(qat_compare, "_network", lambda job, kind, value, folder, progress: None)
    monkeypatch.setattr(
        qat_compare,
        "_scored",
        lambda job, module, progress: scored.append(job.validation.name) or figures,
    )
    options = [*QUICK, "--compare-ptq", "--json", "-o", str(tmp_path / "run")]
    arguments = ["qat", str(small_checkpoint), *options, "--data"]
    assert run([*arguments, data]) == 0
    rows = len(scored)
    assert run([*arguments, data]) == 0
    assert len(scored) == rows
    assert run([*arguments, relabelled(data, tmp_path)]) == 0
    assert len(scored) == 2 * rows
    assert len(set(scored)) == 1
    assert "other options or data" in capsys.readouterr().err


def test_a_ranking_on_other_data_of_the_same_name_is_measured_anew(
    small_checkpoint: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*QUICK, "--sensitivity", "-o", str(tmp_path / "run")]
    arguments = ["qat", str(small_checkpoint), *options, "--data"]
    assert run([*arguments, data]) == 0
    assert run([*arguments, data]) == 0
    assert "measured already" in capsys.readouterr().err
    assert run([*arguments, relabelled(data, tmp_path)]) == 0
    assert "measured already" not in capsys.readouterr().err


@pytest.mark.parametrize("asked", [["--compare-ptq"], ["--sensitivity"], ["--keep-float", "auto"]])
def test_what_needs_scores_is_refused_on_a_validation_that_is_all_void(
    dense, tmp_path, capsys, asked
):
    data = tmp_path / "data"
    for split, label in (("train", 0), ("val", 11)):
        for folder in (split, f"{split}annot"):
            (data / folder).mkdir(parents=True)
        for number in range(2):
            cv2.imwrite(str(data / split / f"{number}.png"), np.full((32, 48, 3), 90, np.uint8))
            mask = np.full((32, 48), label, np.uint8)
            cv2.imwrite(str(data / f"{split}annot" / f"{number}.png"), mask)
    name_camvid_classes(data)
    out = tmp_path / "q"
    arguments = ["qat", str(dense), "--data", str(data), "--allow-empty", *asked]
    assert run([*arguments, "-o", str(out)]) == 1
    assert "nothing can be scored" in capsys.readouterr().err
    assert not out.exists()
