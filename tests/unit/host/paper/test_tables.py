"""edgeseg paper, in this process, with networks and data of a few pixels."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
from small_models import small

from edgeseg.cli import run
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.data.open import open_dataset
from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import Checkpoint, save_checkpoint
from edgeseg.host.cost import spec_cost
from edgeseg.host.models import build_model
from edgeseg.host.paper.tables import Job, TableData, jobs_of, own_way, run_job, spec_for
from edgeseg.host.training.options import TrainOptions

TINY = [
    "--data", "synthetic:6", "--size", "48x64", "--batch", "2", "--epochs", "1", "--rounds", "1",
    "--limit", "2",
]  # fmt: skip
BASIC = ["--set", "channels=8", "--set", "kernel=3"]


def paper(capsys, *arguments: object, code: int = 0) -> dict:
    assert run(["paper", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of SegNet-Basic that nothing has trained."""
    spec = small("segnet-basic", size_hw=(48, 64))
    path = tmp_path_factory.mktemp("untrained") / "untrained.safetensors"
    save_checkpoint(path, Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict()))
    return path


def printed(monkeypatch, capsys, *arguments: object) -> list[str]:
    """The tables' lines on a terminal of 80 columns."""
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True)
        patch.setenv("TERM", "dumb")
        assert run(["paper", *map(str, arguments)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    return lines


def ours_of(name: str, table: list[str]) -> list[list[str]]:
    """The figures of a network's lines, one list for each table."""
    return [line.split()[1:] for line in table if line.split()[:1] == [name]]


def papers_of(name: str, table: list[str]) -> list[list[str]]:
    """The figures of the paper's line below each of them."""
    below = [table[i + 1] for i, line in enumerate(table) if line.split()[:1] == [name]]
    return [line.split("the paper's")[1].split() for line in below]


@pytest.mark.slow
def test_table_1_beside_the_printed_row_resumed_and_from_checkpoints(monkeypatch, capsys, tmp_path):
    arguments = ["table1", *TINY, *BASIC, "--arch", "fcn-basic", "-o", str(tmp_path)]
    document = paper(capsys, *arguments)
    (row,) = document["rows"]
    assert (row["name"], row["paper"]["params"]) == ("FCN-Basic", 650_000)
    assert row["paper"]["infer_ratio"] == pytest.approx(24.2 / 52.6)
    for weighting in ("balanced", "natural"):
        assert 0 <= row["ours"][weighting]["miou"] <= row["ours"][weighting]["global_accuracy"] <= 1
        assert row["ours"][weighting]["bf"] is not None
    assert row["ours"]["infer_ratio"] > 0
    assert row["ours"]["backward_ms"] > 0
    assert row["ours"]["training_bytes"] > row["ours"]["inference_bytes"] > 0
    assert row["ours"]["model_bytes"] == 4 * row["ours"]["params"]
    # 8 channels in the unit, 11 maps: 11 * 32 bits against 8 * 2 / 4
    assert row["ours"]["storage"] == 11 * 32 / (8 * 2 / 4)
    from edgeseg.host.checkpoint import load_checkpoint

    steps = {
        w: load_checkpoint(tmp_path / f"fcn-basic-{w}" / "last.safetensors").steps[-1].options
        for w in ("balanced", "natural")
    }
    assert steps["balanced"]["class_weight_exponent"] == 1.0
    assert steps["natural"]["class_weight_exponent"] == 0.0

    # Given checkpoints are scored instead of trained.
    weights = tmp_path / "fcn-basic-natural" / "last.safetensors"
    given = [f"--checkpoint=fcn-basic-{w}={weights}" for w in ("natural", "balanced")]
    ours = paper(capsys, *arguments[:-1], tmp_path / "other", *given)["rows"][0]["ours"]
    assert ours["natural"]["miou"] == row["ours"]["natural"]["miou"]
    assert ours["balanced"]["miou"] == ours["natural"]["miou"]
    assert run(["paper", *arguments, "--checkpoint", "segnet=x"]) == 2

    # Other options are another run, which does not go on with this one.
    assert run(["paper", *arguments, "--lr", "0.5"]) == 1
    assert "lr 0.002, now 0.5" in capsys.readouterr().err

    # Finished jobs are read, not trained again.
    weights.unlink()
    again = paper(capsys, *arguments)
    assert again["rows"][0]["ours"]["natural"] == row["ours"]["natural"]
    assert not weights.exists()
    table = printed(monkeypatch, capsys, *arguments)
    # params, model, storage, kept; time, forward, backward, train, infer; then the scores
    assert papers_of("FCN-Basic", table) == [
        ["0.650", "-", "11", "-"],
        ["0.46", "24", "-", "-", "-"],
        ["0.8170", "0.6240", "0.4730", "0.3811"],
        ["0.8390", "0.5560", "0.4500", "0.3733"],
    ]
    assert any("natural: trained on 6 images, epochs 1" in line for line in table)


def test_table_6_prints_cost_without_training(monkeypatch, capsys, tmp_path):
    arguments = ["table6", *TINY, "--set", "width=0.125", "--arch", "segnet", "-o", str(tmp_path)]
    document = paper(capsys, *arguments)
    (row,) = document["rows"]
    assert row["paper"]["training_bytes"] == 6_803_000_000
    assert row["ours"]["training_bytes"] > row["ours"]["inference_bytes"] > 0
    assert row["ours"]["backward_ms"] > 0
    assert row["ours"]["infer_ratio"] == 1
    assert not list(tmp_path.iterdir())
    table = printed(monkeypatch, capsys, *arguments)
    assert ours_of("SegNet", table)[1][0] == "1.00"
    assert papers_of("SegNet", table) == [
        ["-", "117.0", "-", "-"],
        ["1.00", "422", "489", "6803", "1052"],
    ]


def test_a_given_checkpoint_says_in_what_it_is_not_the_rows_network():
    spec = small("segnet-basic")
    same = Checkpoint(spec, (StepDone("train"),), {})
    assert own_way(same, spec) == ""
    narrow = dataclasses.replace(spec, options={**spec.options, "channels": 32})
    steps = (StepDone("train"), StepDone("prune"), StepDone("quantize"))
    assert own_way(Checkpoint(narrow, steps, {}), spec) == "channels 32, pruned, quantized"


def test_a_checkpoint_with_another_label_for_void_is_scored(tmp_path):
    spec = small("segnet-basic", size_hw=(48, 64))
    other = dataclasses.replace(spec, ignore_index=255)
    path = tmp_path / "other.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, Checkpoint(other, (StepDone("train"),), build_model(other).state_dict()))
    data = open_dataset("synthetic:2", "val", size_hw=(48, 64))
    images = TableData.of(data, data)
    job = Job("segnet-basic", "natural")
    found = run_job(job, spec, images, TrainOptions(epochs=1), tmp_path / "out", checkpoint=path)
    assert 0 <= found["miou"] <= 1


def test_a_row_the_table_has_not_is_refused(capsys):
    assert run(["paper", "table3", *TINY, "--arch", "unet"]) == 2
    assert "the table has no unet; it has segnet" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["missing", "untrained"])
def test_a_checkpoint_that_will_not_do_is_noticed_before_anything_is_trained(
    given, untrained, capsys, tmp_path
):
    file = untrained if given == "untrained" else tmp_path / "missing.safetensors"
    arguments = ["table1", *TINY, *BASIC, "--arch", "bilinear-interpolation", "--arch", "fcn-basic"]
    checkpoint = f"--checkpoint=fcn-basic-natural={file}"
    assert run(["paper", *arguments, checkpoint, "-o", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    reason = "is a segnet-basic of 11 classes" if given == "untrained" else "is not a file"
    assert f"{file} {reason}" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("output_stride=8", "output_stride 8 is not 16, which FCNBasic has"),
        ("size_hw=3", "fcn-basic refuses options {'size_hw': 3}"),
        ("chanels=8", "fcn-basic refuses options {'chanels': 8}"),
    ],
)
def test_an_option_that_the_networks_refuse_is_named_before_anything_is_trained(
    setting, reason, capsys, tmp_path
):
    arguments = ["table1", *TINY, "--arch", "fcn-basic", "--set", setting, "-o", str(tmp_path)]
    assert run(["paper", *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_output_stride_that_the_networks_have_is_taken(capsys, tmp_path):
    stride = ["--set", "width=0.125", "--set", "output_stride=32", "-o", tmp_path]
    (row,) = paper(capsys, "table6", *TINY, *stride, "--arch", "segnet")["rows"]
    assert row["ours"]["params"] > 0


def test_the_heads_say_of_each_row_where_its_weights_are_from(
    untrained, monkeypatch, capsys, tmp_path
):
    def scored(job, *rest, checkpoint=None, **more):
        given = str(checkpoint) if checkpoint else None
        figures = dict.fromkeys(("global_accuracy", "class_accuracy", "miou", "bf"), 0.5)
        return {**figures, "epochs": 1, "images": 6, "data": "there", "checkpoint": given}

    monkeypatch.setattr("edgeseg.host.paper.side_by_side.run_job", scored)
    monkeypatch.chdir(untrained.parent)
    archs = ("segnet-basic", "fcn-basic", "fcn-basic-noaddition")
    arguments = ["table1", *TINY, *BASIC, *(word for arch in archs for word in ("--arch", arch))]
    given = ["--checkpoint=segnet-basic-balanced=untrained.safetensors", "-o", str(tmp_path)]
    table = "\n".join(printed(monkeypatch, capsys, *arguments, *given))
    head = table.split("balanced: ")[1].split("network")[0]
    assert " ".join(head.split()) == (
        "scored on there; SegNet-Basic: untrained.safetensors; FCN-Basic, FCN-Basic-NoAddition: "
        "trained on 6 images, epochs 1"
    )
    assert "natural: trained on 6 images, epochs 1, scored on there" in " ".join(table.split())


@pytest.mark.slow
def test_table_3_has_the_crf_after_the_row_without_and_fixed_upsampling(
    monkeypatch, capsys, tmp_path
):
    """One training serves both rows of DeepLab-LargeFOV."""
    small = ["--set", "width=0.125", "--crop", "48x64"]
    rows = ("deeplab-largefov", "deeplab-largefov-densecrf")
    arguments = ["table3", *TINY, *small, "-o", str(tmp_path)]
    arguments += [word for row in rows for word in ("--arch", row)]
    plain, refined = paper(capsys, *arguments)["rows"]
    assert [row["row"] for row in (plain, refined)] == list(rows)
    assert refined["paper"]["natural"] == pytest.approx(
        {"global_accuracy": 0.8971, "class_accuracy": 0.6067, "miou": 0.5474, "bf": 0.4079}
    )
    found = refined["ours"]["natural"]
    assert found["crf_ms"] > 0
    assert found["crf"]["iterations"] >= 1
    assert plain["ours"]["natural"]["crf"] is None
    assert refined["ours"]["params"] == plain["ours"]["params"]
    assert {path.name for path in tmp_path.iterdir()} == {f"{row}-natural" for row in rows}
    left = {path.name for path in (tmp_path / "deeplab-largefov-densecrf-natural").iterdir()}
    assert left == {"scores.json"}

    # A checkpoint given for the network serves the row with the CRF too.
    weights = tmp_path / "deeplab-largefov-natural" / "last.safetensors"
    given = f"--checkpoint=deeplab-largefov-natural={weights}"
    again = paper(capsys, *arguments[:-5], str(tmp_path / "other"), *arguments[-4:], given)["rows"]
    assert [row["ours"]["natural"]["miou"] for row in again] == [
        row["ours"]["natural"]["miou"] for row in (plain, refined)
    ]
    table = printed(monkeypatch, capsys, *arguments)
    assert "then a dense CRF of" in " ".join(" ".join(table).split())


def test_a_job_with_a_crf_scores_refined_labels_and_says_what_it_cost(tmp_path):
    spec = small("segnet-basic", size_hw=(48, 64))
    path = tmp_path / "net.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict()))
    data = open_dataset("synthetic:2", "val", size_hw=(48, 64))
    images = TableData.of(data, data)
    strong = CrfOptions(appearance=30.0, position=10.0, colour=30.0, smoothness=10.0)
    none = CrfOptions(appearance=0.0, smoothness=0.0)
    figures = {}
    for name, crf in (("net", None), ("none", none), ("strong", strong)):
        job = Job("segnet-basic", "natural", name, crf)
        folder = tmp_path / job.name
        found = run_job(job, spec, images, TrainOptions(epochs=1), folder, checkpoint=path)
        assert (found["crf_ms"] is None) == (crf is None)
        figures[name] = (found["global_accuracy"], found["miou"], found["bf"])
    assert figures["none"] == pytest.approx(figures["net"])
    assert figures["strong"] != figures["net"]
    again = run_job(job, spec, images, TrainOptions(epochs=1), folder, checkpoint=path)
    assert again["crf"] == strong.to_json()


def test_the_row_of_fixed_upsampling_is_another_network_than_the_learnt_one():
    from edgeseg.host.paper.published import TABLES

    rows = {row.key: row for row in TABLES["table3"]}
    fixed, learnt = rows["fcn-8s-fixed"], rows["fcn-8s"]
    assert fixed.natural == (0.8327, 0.5956, 0.4983, 0.2799)
    data = open_dataset("synthetic:2", "val", size_hw=(48, 64))
    small_fc = {"width": 0.125, "fc_channels": 16}
    params = [
        spec_cost(spec_for(row.arch, data, (48, 64), {**row.options, **small_fc})).params
        for row in (fixed, learnt)
    ]
    # Two upsamplings by 2 and one by 8, of 11 classes each, are what the learnt one has more.
    assert params[1] - params[0] == 11 * 11 * (2 * 4 * 4 + 16 * 16)
    assert [job.name for job in jobs_of([fixed, learnt])] == [
        "fcn-8s-fixed-natural",
        "fcn-8s-natural",
    ]


def test_table_4_has_the_printed_figures():
    from edgeseg.host.paper.published import TABLES

    rows = {row.key: row for row in TABLES["table4"]}
    assert rows["segnet"].natural == (0.7263, 0.4476, 0.3184, 0.1266)
    assert rows["segnet"].balanced == (0.7175, 0.4485, 0.3208, 0.1406)
    assert rows["deeplab-largefov-densecrf"].crf
    assert rows["deeplab-largefov-densecrf"].network == "deeplab-largefov"
    assert [row.natural is not None for row in rows.values()] == [True] * 5


def test_table_2_has_each_class_of_ours_below_the_published_methods(capsys):
    from edgeseg.cli import paper as verb

    row = {"name": "SegNet", "ours": {"natural": {"per_class_accuracy": {"Fence": 0.125}}}}
    verb._print_methods([row])
    lines = capsys.readouterr().out.splitlines()
    papers = [line.split()[3:] for line in lines if "SegNet (the paper's)" in line]
    ours = [line.split()[2:] for line in lines if "SegNet (ours)" in line]
    assert papers == [
        ["89.6", "83.4", "96.1", "87.7", "52.7", "96.4", "62.2"],
        ["53.4", "32.1", "93.3", "36.5", "71.2", "90.4"],
    ]
    assert ours == [["-"] * 7, ["12.5", *["-"] * 5]]


@pytest.mark.slow
def test_table_4_trains_on_a_painted_sun_rgbd(capsys, tmp_path):
    from tests.painted_layouts import picture, sunrgbd

    sunrgbd(tmp_path / "sun")
    for number in (1, 2):
        picture(tmp_path / "sun" / "SUNRGBD-test_images" / f"img-{number:06d}.png", "b2")
    quick = ["--size", "32x32", "--set", "width=0.125", "--arch", "segnet", "--epochs", "1"]
    more = ["--batch", "2", "--rounds", "1", "--allow-empty", "-o", str(tmp_path / "o")]
    data = ["--data", str(tmp_path / "sun"), "--split", "test"]
    (row,) = paper(capsys, "table4", *data, *quick, *more)["rows"]
    for weighting in ("natural", "balanced"):
        # Nothing is held back where the test pictures are scored.
        assert row["ours"][weighting]["images"] == 6
        assert len(row["ours"][weighting]["per_class_accuracy"]) == 37
