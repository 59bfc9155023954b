"""train and qat, in this process, on a CamVid-shaped folder of two drives."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.cli import run
from tests.data_folders import name_camvid_classes

TINY = [
    "--size", "48x64", "--crop", "32x48", "--batch", "2", "--epochs", "1",
    "--set", "channels=8", "--set", "kernel=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A field as a robot sees it: images, masks and three classes of its own."""
    root = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(1)
    for split, count in (("train", 4), ("val", 2)):
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            labels = rng.integers(0, 3, (96, 128)).astype(np.uint8)
            picture = (labels[..., None] * 80 + rng.integers(0, 60, (96, 128, 3))).astype(np.uint8)
            cv2.imwrite(str(root / "images" / split / f"{number}.png"), picture)
            cv2.imwrite(str(root / "masks" / split / f"{number}.png"), labels)
    (root / "classes.txt").write_text("soil\nweed\ncrop\n")
    return root


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("camvid")
    name_camvid_classes(root)
    rng = np.random.default_rng(0)
    for split, names in {
        "train": [f"{drive}_{number}" for drive in ("A", "B") for number in range(3)],
        "val": ["C_0", "C_1"],
    }.items():
        (root / split).mkdir()
        (root / f"{split}annot").mkdir()
        for name in names:
            labels = rng.integers(0, 12, (6, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            rgb = (labels[..., None] * 20 + rng.integers(0, 20, (48, 64, 3))).astype(np.uint8)
            cv2.imwrite(str(root / split / f"{name}.png"), rgb)
            cv2.imwrite(str(root / f"{split}annot" / f"{name}.png"), labels)
    return root


@pytest.fixture(scope="module")
def trained(drives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    assert run(["train", "segnet-basic", "--data", str(drives), "-o", str(folder), *TINY]) == 0
    return folder / "last.safetensors"


def test_a_validation_that_is_all_void_names_the_last_epochs_file(drives, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(drives, data)
    for mask in (data / "valannot").iterdir():
        cv2.imwrite(str(mask), np.full((48, 64), 11, np.uint8))
    out = tmp_path / "run"
    arguments = ["train", "segnet-basic", "--data", str(data), "-o", str(out), *TINY, "--json"]
    assert run(arguments) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["checkpoint"] == str(out / "last.safetensors")
    assert document["best_epoch"] is None
    assert (out / "last.safetensors").is_file()
    assert "mIoU -1" not in printed.err


def test_a_held_out_drive_is_validated_on_and_not_trained_on(drives, tmp_path, capsys):
    arguments = ["train", "segnet-basic", "--data", str(drives), "-o", str(tmp_path), *TINY]
    assert run([*arguments, "--hold-out", "A", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scores"]["miou"] >= 0
    from edgeseg.host.checkpoint import load_checkpoint

    assert load_checkpoint(tmp_path / "last.safetensors").provenance["images"] == 3


def test_a_held_out_drive_is_not_pruned_by_either(drives, trained, tmp_path, capsys, monkeypatch):
    """Repair and training see drive B alone; A, as far as --val-limit goes, is scored."""
    from edgeseg.core.data.pairs import PairFolder
    from edgeseg.host.checkpoint import load_checkpoint

    read, plain = [], PairFolder.__getitem__
    monkeypatch.setattr(
        PairFolder,
        "__getitem__",
        lambda self, index: read.append(self.names[index]) or plain(self, index),
    )
    arguments = ["prune", str(trained), "--ratio", "0.5", "--round-to", "2", "--repair"]
    training = ["--crop", "32x48", "--batch", "2", "--epochs", "1", "--val-limit", "2"]
    held = ["--data", str(drives), "--hold-out", "A", "-o", str(tmp_path), "--json"]
    assert run([*arguments, *training, *held]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["miou"] >= 0
    assert set(read) == {"A_0", "A_1", "B_0", "B_1", "B_2"}
    first_held = next(place for place, name in enumerate(read) if name.startswith("A"))
    assert not any(name.startswith("B") for name in read[first_held:])
    assert load_checkpoint(tmp_path / "best.safetensors").provenance["images"] == 3
    assert run(["prune", str(trained), "--ratio", "0.5", "--hold-out", "A"]) == 2
    assert "give --data" in capsys.readouterr().err


def test_an_unknown_drive_lists_those_there_are(drives, tmp_path, capsys):
    arguments = ["train", "segnet-basic", "--data", str(drives), "-o", str(tmp_path), *TINY]
    assert run([*arguments, "--hold-out", "D"]) == 2
    assert "its drives: A, B" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_init_goes_on_from_a_checkpoint_as_a_finetune_step(drives, trained, tmp_path, capsys):
    from edgeseg.core.files import sha256_file
    from edgeseg.host.checkpoint import load_checkpoint

    arguments = ["train", "segnet-basic", "--data", str(drives), "-o", str(tmp_path), *TINY[:-4]]
    assert run([*arguments, "--init", str(trained), "--lr", "1e-9"]) == 0
    after, before = load_checkpoint(tmp_path / "last.safetensors"), load_checkpoint(trained)
    assert [step.kind for step in after.steps] == ["train", "finetune"]
    key = "classifier.weight"
    np.testing.assert_allclose(after.weights[key], before.weights[key], atol=1e-5)
    assert after.steps[-1].metadata == {"start": [sha256_file(trained)]}
    for own in (["--set", "channels=8"], ["--normalize", "per_image"]):
        assert run([*arguments, "--init", str(trained), *own]) == 2
        assert "no --set or --normalize" in capsys.readouterr().err


def test_init_has_its_own_size_unless_another_is_given(drives, trained, tmp_path):
    from edgeseg.host.checkpoint import load_checkpoint

    def spec(*size):
        folder = tmp_path / "-".join(("run", *size))
        command = ["train", "segnet-basic", "--data", str(drives), "-o", str(folder)]
        command += ["--init", str(trained), "--epochs", "1", "--batch", "2", *size]
        assert run(command) == 0
        checkpoint = load_checkpoint(folder / "last.safetensors")
        return checkpoint.spec.size_hw, checkpoint.steps[-1].options["augment"]["crop_hw"]

    assert spec() == ((48, 64), [48, 64])
    assert spec("--size", "64x80") == ((64, 80), [64, 80])


@pytest.mark.slow
def test_a_shipped_network_goes_on_with_other_classes_and_becomes_int8_again(
    masks, tmp_path, capsys
):
    """What a user does who has images of his own: zoo -> train --init -> qat -> export."""
    from edgeseg.core.bundle import read_bundle
    from edgeseg.host.checkpoint import load_checkpoint

    arch, name = "deeplabv3plus-mobilenetv2", "deeplabv3plus-mobilenetv2-camvid-slim"
    small = ["--crop", "48x64", "--batch", "2", "--epochs", "1", "--photometry", "mild"]
    command = ["train", arch, "--init", name, "--size", "96x128", "--data", str(masks), *small]
    assert run([*command, "-o", str(tmp_path / "float")]) == 0
    said = capsys.readouterr().err
    assert "goes on in float" in said
    assert "has other classes than" in said
    assert "starts afresh" in said
    checkpoint = load_checkpoint(tmp_path / "float" / "last.safetensors")
    assert checkpoint.spec.class_names == ("soil", "weed", "crop")
    kinds = [step.kind for step in checkpoint.steps]
    assert kinds[-1] == "finetune"
    assert "prune" in kinds
    assert "quantize" not in kinds
    command = ["qat", str(tmp_path / "float" / "last.safetensors"), "--data", str(masks), *small]
    assert run([*command, "--images", "2", "-o", str(tmp_path / "int8")]) == 0
    trained = str(tmp_path / "int8" / "last.safetensors")
    assert run(["export", trained, "--int8", "-o", str(tmp_path / "bundle")]) == 0
    bundle = read_bundle(tmp_path / "bundle")
    assert (bundle.spec.size_hw, bundle.precision) == ((96, 128), "int8")
    assert bundle.spec.class_names == ("soil", "weed", "crop")


def test_a_name_that_the_zoo_does_not_have_is_answered_with_the_nearest(drives, tmp_path, capsys):
    command = ["train", "segnet-basic", "--data", str(drives), "-o", str(tmp_path / "run")]
    assert run([*command, "--init", "segnet-basic-camvd"]) == 2
    assert "did you mean 'segnet-basic-camvid'" in capsys.readouterr().err
    assert run([*command, "--init", "missing/last.safetensors"]) == 1
    assert "missing/last.safetensors is not a file" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["qat", "prune", "tune"])
def test_data_of_other_classes_is_refused_before_anything_is_done(
    verb, masks, trained, tmp_path, capsys
):
    more = {"qat": [], "prune": ["--ratio", "0.3"], "tune": ["--target-macs", "0.5"]}[verb]
    command = [verb, str(trained), "--data", str(masks), "-o", str(tmp_path / "run"), *more]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "soil, weed, crop" in said
    assert "--init" in said
    assert not (tmp_path / "run" / "last.safetensors").exists()


@pytest.mark.parametrize("verb", ["qat", "prune", "tune"])
def test_a_quantized_network_is_refused_with_the_way_back(verb, drives, tmp_path, capsys):
    from edgeseg.core.zoo import ZOO

    shipped = ZOO / "segnet-basic-camvid" / "checkpoint.safetensors"
    more = {"qat": [], "prune": ["--ratio", "0.3"], "tune": ["--target-macs", "0.5"]}[verb]
    assert run([verb, str(shipped), "--data", str(drives), "-o", str(tmp_path / "r"), *more]) == 2
    assert "edgeseg train segnet-basic --init" in capsys.readouterr().err


def test_another_label_for_ignored_pixels_may_be_mixed_in_and_trained_on(
    drives, trained, tmp_path, capsys
):
    """CamVid's void is 11; a folder of masks without a void line has 255."""
    from edgeseg.core.spec import CAMVID_CLASSES

    other = tmp_path / "other"
    for folder in ("images", "masks"):
        (other / folder).mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(4):
        labels = rng.choice([0, 3, 255], size=(48, 64)).astype(np.uint8)
        picture = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
        cv2.imwrite(str(other / "images" / f"{number}.png"), picture)
        cv2.imwrite(str(other / "masks" / f"{number}.png"), labels)
    (other / "classes.txt").write_text("\n".join(CAMVID_CLASSES) + "\n")
    base = ["--epochs", "1", "--batch", "2", "--allow-empty"]
    mixed = ["train", "segnet-basic", "--data", str(drives), "--mix", str(other), *TINY]
    assert run([*mixed, "--mix-share", "1", "-o", str(tmp_path / "mixed")]) == 0
    onwards = ["train", "segnet-basic", "--data", str(other), "--init", str(trained), *base]
    assert run([*onwards, "-o", str(tmp_path / "onwards")]) == 0
    quantized = ["qat", str(trained), "--data", str(other), "--images", "2", *base]
    assert run([*quantized, "-o", str(tmp_path / "qat")]) == 0


@pytest.mark.parametrize(
    ("device", "code", "word"), [("cuda", 5, "sees no NVIDIA GPU"), ("foo", 2, "cpu, cuda")]
)
def test_a_device_that_is_not_here_is_refused(device, code, word, drives, tmp_path, capsys):
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    command = ["train", "segnet-basic", "--data", str(drives), "-o", str(tmp_path / "run"), *TINY]
    assert run([*command, "--device", device]) == code
    assert word in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_teacher_pulls_a_student_that_labels_hardly_move(drives, trained, tmp_path):
    """A teacher that sees one class everywhere, at a tiny weight and at a large one."""
    import dataclasses

    import torch

    from edgeseg.core.files import sha256_file
    from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint, save_checkpoint

    sure = load_checkpoint(trained)
    favourite = 3
    bias = torch.zeros_like(sure.weights["classifier.bias"])
    bias[favourite] = 20
    weights = {
        **sure.weights,
        "classifier.weight": torch.zeros_like(sure.weights["classifier.weight"]),
        "classifier.bias": bias,
    }
    teacher = tmp_path / "teacher.safetensors"
    save_checkpoint(teacher, dataclasses.replace(sure, weights=weights))
    believed = {}
    for weight in ("1e-6", "1000"):
        folder = tmp_path / weight
        command = ["train", "segnet-basic", "--data", str(drives), "-o", str(folder), *TINY]
        options = ["--teacher", str(teacher), "--distill", weight, "--epochs", "6", "--seed", "5"]
        assert run([*command, *options, "--lr", "0.05"]) == 0
        taught = load_checkpoint(folder / "last.safetensors")
        assert taught.steps[-1].metadata == {"teachers": [sha256_file(teacher)]}
        student = module_from_checkpoint(taught).eval()
        with torch.no_grad():
            scores = student(torch.zeros(2, 3, 48, 64)).softmax(1)
        believed[weight] = float(scores[:, favourite].mean())
    assert believed["1000"] > 2 * believed["1e-6"]


def test_the_last_epoch_can_be_the_result_and_the_run_can_stop_early(drives, tmp_path, capsys):
    arguments = ["train", "segnet-basic", "--data", str(drives), "-o", str(tmp_path), *TINY]
    more = ["--epochs", "3", "--stop-after", "2", "--validate-every", "1", "--result", "last"]
    assert run([*arguments, *more, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["checkpoint"] == str(tmp_path / "last.safetensors")
    assert document["epochs"] == document["epoch"] == 2
    rows = (tmp_path / "curves.csv").read_text().splitlines()
    assert len(rows) == 3
    assert float(rows[2].split(",")[-1]) == pytest.approx(document["scores"]["miou"], abs=1e-5)
    assert float(rows[2].split(",")[2]) > 1e-4  # the rate of three epochs has not come to 0


def test_init_refuses_another_architecture(drives, trained, tmp_path, capsys):
    arguments = ["train", "segnet", "--data", str(drives), "-o", str(tmp_path)]
    assert run([*arguments, "--init", str(trained)]) == 2
    assert "is a segnet-basic, not a segnet" in capsys.readouterr().err


def test_encoder_weights_are_loaded_and_reported(drives, tmp_path, capsys):
    import torch

    from edgeseg.core.files import sha256_file
    from edgeseg.core.spec import ModelSpec
    from edgeseg.host.checkpoint import load_checkpoint
    from edgeseg.host.models import build_model

    name = "deeplabv3-resnet50"
    donor = build_model(ModelSpec(name, options={"width": 0.125})).backbone.state_dict()
    torch.save(donor | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    arguments = ["train", name, "--data", str(drives), "-o", str(tmp_path / "run"), *TINY[:-4]]
    small = ["--set", "width=0.125", "--set", "aspp_channels=8", "--lr", "1e-9"]
    assert run([*arguments, *small, "--encoder-weights", str(tmp_path / "resnet.pth")]) == 0
    assert "265 tensors from the file" in capsys.readouterr().err
    trained = load_checkpoint(tmp_path / "run" / "last.safetensors")
    key = "layer4.0.conv2.weight"
    np.testing.assert_allclose(trained.weights[f"backbone.{key}"], donor[key], atol=1e-5)
    assert trained.spec.preprocess.mean == (0.485, 0.456, 0.406)
    given = sha256_file(tmp_path / "resnet.pth")
    assert trained.steps[-1].metadata == {"encoder_weights": [given]}


def test_the_encoder_may_train_at_a_rate_of_its_own(drives, tmp_path, capsys):
    import torch

    from edgeseg.host.checkpoint import load_checkpoint

    def weights(factor):
        arguments = ["train", "deeplabv3plus-mobilenetv2", "--data", str(drives), *TINY[:-4]]
        arguments += ["--set", "width=0.25", "--set", "aspp_channels=8", "--encoder-lr", factor]
        assert run([*arguments, "-o", str(tmp_path / factor)]) == 0
        return load_checkpoint(tmp_path / factor / "last.safetensors").weights

    still, slow, equal = weights("1e-9"), weights("0.1"), weights("1")
    encoder, decoder = "backbone.stem.0.weight", "reduce.0.weight"
    moved = [float((other[encoder] - still[encoder]).abs().max()) for other in (slow, equal)]
    assert 0 < moved[0] < 0.3 * moved[1]
    assert not torch.equal(still[decoder], equal[decoder])
    arguments = ["train", "unet", "--data", str(drives), "-o", str(tmp_path / "unet"), *TINY[:-4]]
    assert run([*arguments, "--encoder-lr", "0.1"]) == 2
    assert "UNet has no encoder" in capsys.readouterr().err


def test_qat_mixes_data_and_records_its_steps(drives, trained, tmp_path):
    from edgeseg.host.checkpoint import load_checkpoint

    arguments = ["qat", str(trained), "--data", str(drives), "-o", str(tmp_path), "--epochs", "1"]
    sizes = ["--crop", "32x48", "--batch", "2", "--images", "2"]
    assert run([*arguments, *sizes, "--mix", "synthetic:2", "--mix-share", "0.5"]) == 0
    checkpoint = load_checkpoint(tmp_path / "last.safetensors")
    assert [step.kind for step in checkpoint.steps] == ["train", "quantize", "qat"]
    assert checkpoint.provenance["extra"] == [["synthetic:2 (train, seed 0)", 0.5]]
    assert run([*arguments[:1], str(tmp_path / "last.safetensors"), *arguments[2:]]) == 2


@pytest.mark.parametrize("place", ["train/net", "qat/scores.json"])
def test_the_demo_leaves_what_others_put_into_its_folder(place, tmp_path, capsys):
    kept = tmp_path / place
    kept.parent.mkdir()
    kept.write_text("hours of work")
    assert run(["demo", "-o", str(tmp_path)]) == 2
    assert f"holds {kept.name}, which the demo does not write" in capsys.readouterr().err
    assert kept.read_text() == "hours of work"
