"""`edgeseg import package.module:callable`: traced, trusted by name, and taken by every verb."""

import dataclasses
import pickle
import sys

import pytest
import torch
from foreign_nets import LiteAspp, SmallUNet
from foreign_onnx import classes_txt
from torch import nn

from edgeseg.cli import run
from edgeseg.errors import CheckpointError, ExportError, SpecError, UsageError
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
from edgeseg.host.foreign.trust import trust_file, trusted
from edgeseg.host.fx.tracing import head_of
from edgeseg.host.imports.job import import_job
from edgeseg.host.imports.job_options import ImportOptions
from edgeseg.host.imports.module import Imported
from edgeseg.host.quantization.options import QuantizeOptions
from edgeseg.host.quantization.quantize import quantize, quantizers_of

FRAME = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def brought(tmp_path):
    """Import a network of foreign_nets, and tell what was said."""

    def bring(name: str, **options: object) -> tuple[Imported, list[str]]:
        said: list[str] = []
        given = {
            "classes": classes_txt(tmp_path), "size": (32, 48), "unit": True,
            "out": tmp_path / "net.safetensors", **options,
        }  # fmt: skip
        chosen = ImportOptions.of(source=f"foreign_nets:{name}", **given)
        made = import_job(chosen, lambda step: said.append(step.message))
        assert isinstance(made, Imported)
        return made, said

    return bring


def read_back(made: Imported) -> nn.Module:
    with trusted(["foreign_nets"]):
        return module_from_checkpoint(load_checkpoint(made.path))


def test_a_network_with_a_dictionary_computes_as_before_and_at_other_sizes(brought, tmp_path):
    net = LiteAspp(3, weights=None).eval()
    torch.save({"model_state": {f"module.{k}": v for k, v in net.state_dict().items()}},
               tmp_path / "w.pth")  # fmt: skip
    made, said = brought("LiteAspp", weights=tmp_path / "w.pth")
    again = read_back(made)
    for size in (FRAME, FRAME[..., :24, :40]):
        assert torch.allclose(again(size), net(size)["out"], atol=1e-5)
    assert made.checkpoint.spec.options["classes_argument"] == "num_classes"
    assert not made.fresh
    # The auxiliary branch feeds no score.
    assert made.layers == 5
    assert not any(key.startswith("auxiliary") for key in again.state_dict())
    assert any("tensors matched" in line for line in said)


def test_checks_of_shapes_and_layers_of_their_own_do_not_stop_it(brought):
    made, _ = brought("SmallUNet", arguments={"channels": 8})
    net = read_back(made)
    layers = dict(net.named_modules())
    assert type(layers["down"]) is nn.Conv2d
    assert type(layers["norm"]) is nn.BatchNorm2d
    assert made.checkpoint.spec.options["graph"]["method"] == "trace"
    same = SmallUNet(3)
    same.load_state_dict(net.state_dict())
    assert torch.allclose(net(FRAME), same.eval()(FRAME)[0], atol=1e-5)
    assert head_of(net) == "head"


def test_what_python_stops_is_followed_by_torch_export(brought):
    made, said = brought("Checked")
    assert made.checkpoint.spec.options["graph"]["method"] == "export"
    assert any("foreign_nets.py:" in line and "a tensor is needed" in line for line in said)
    net = read_back(made)
    layers = dict(net.named_modules())
    assert type(layers["body"]) is nn.Conv2d
    assert type(layers["norm"]) is nn.BatchNorm2d
    assert net(FRAME[..., :24, :40]).shape == (2, 3, 24, 40)
    quantized, found = quantize(net, QuantizeOptions(observer="max"), [FRAME])
    assert "norm" not in dict(quantized.named_modules())
    # The residual add: one operand quantized.
    assert any(line.startswith("add ") for line in found["plan"])


def test_a_part_that_looks_at_values_stays_whole(brought):
    made, said = brought("WithPart")
    assert made.checkpoint.spec.options["graph"]["whole"] == ["part"]
    assert any("part stays whole and in float: foreign_nets.py:" in line for line in said)
    assert read_back(made)(FRAME).shape == (2, 3, 32, 48)


def test_int8_has_the_planners_pairs(brought):
    made, _ = brought("LiteAspp")
    quantized, found = quantize(read_back(made), QuantizeOptions(observer="max"), [FRAME])
    assert {"image", "interpolate"} <= set(quantizers_of(quantized))
    assert sum(line.endswith("axis 0") for line in found["plan"]) == 4


def test_loading_asks_whose_code_is_run(brought, tmp_path):
    made, _ = brought("LiteAspp")
    checkpoint = load_checkpoint(made.path)
    with pytest.raises(UsageError, match=r"code would be run.* add --trust foreign_nets"):
        module_from_checkpoint(checkpoint)
    told = tmp_path / "trusted"
    told.write_text("torchvision\nforeign_nets # mine\n")
    try:
        trust_file(told)
        module_from_checkpoint(checkpoint)
    finally:
        trust_file(None)


def test_a_package_that_is_not_there_is_named_with_its_version(brought):
    made, _ = brought("LiteAspp")
    spec = made.checkpoint.spec
    gone = dataclasses.replace(
        spec, arch="not_installed.nets:Net", options={**spec.options, "package": "their-nets==1.2"}
    )
    with (
        trusted(["not_installed"]),
        pytest.raises(CheckpointError, match=r"pip install their-nets==1\.2"),
    ):
        module_from_checkpoint(dataclasses.replace(made.checkpoint, spec=gone))


@pytest.mark.parametrize(
    ("name", "options", "kind", "words"),
    [
        ("Lost", {}, ExportError, r"followed: foreign_nets\.py:\d+ `return y if float"),
        ("video", {}, ExportError, r"\(1, 3, 1, 32, 48\), expected scores N,K,h,w"),
        ("a_number", {}, SpecError, "gives int, expected a torch.nn.Module"),
        ("Missing", {}, UsageError, "foreign_nets has no Missing"),
        ("SmallUNet", {"size": (33, 48)}, ExportError, "33x48: foreign_nets.py:.*multiple of 4"),
        ("SmallUNet", {"arguments": {"odd": 1}}, UsageError, "no argument 'odd'; it has classes"),
        ("SmallUNet", {"arguments": {"classes": 5}}, UsageError, "classes=5, --classes names 3"),
        ("LiteAspp", {"arguments": {"weights": "X"}}, SpecError, "tests fetch nothing"),
        ("LiteAspp", {"output": "depth"}, ExportError, "no output 'depth'; give one of: aux, out"),
        ("LiteAspp", {"size": None}, UsageError, "give --size HxW"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(brought, tmp_path, name, options, kind, words):
    with pytest.raises(kind, match=words) as caught:
        brought(name, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "net.safetensors").exists()


def test_classes_of_another_count_are_refused(brought, tmp_path):
    two = tmp_path / "two"
    two.mkdir()
    with pytest.raises(SpecError, match="gives 3 classes, --classes names 2"):
        brought("fixed_stride", classes=classes_txt(two, ("floor", "pallet")))


@pytest.mark.parametrize("name", ["os:system", "torch.hub:load", "no spaces:x", "words"])
def test_what_is_no_network_is_not_even_imported(tmp_path, name):
    options = ImportOptions.of(source=name, classes=classes_txt(tmp_path), size=(32, 48), unit=True)
    with pytest.raises(UsageError):
        import_job(options)


def test_a_module_whose_import_fails_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_nets.py").write_text("x = 1\nraise ValueError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    options = ImportOptions.of(
        source="broken_nets:Net", classes=classes_txt(tmp_path), size=(32, 48), unit=True
    )
    with pytest.raises(CheckpointError, match=r"its import fails: broken_nets\.py:2 .*no licence"):
        import_job(options)
    sys.modules.pop("broken_nets", None)


class _Runs:
    def __reduce__(self):
        return (sys.modules["builtins"].exec, ("raise SystemExit('it ran')",))


def test_code_in_a_pickle_is_not_run(brought, tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"stem.0.weight": _Runs()}))
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        brought("LiteAspp", weights=tmp_path / "w.pth")
    torch.save({"state_dict": {"stem.0.weight": _Runs()}}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"holds .*exec, whose code is not run"):
        brought("LiteAspp", weights=tmp_path / "w.pth")


def test_weights_of_another_network_are_refused(brought, tmp_path):
    torch.save(SmallUNet(3).state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"lacks .* tensors, first stem.0.weight"):
        brought("LiteAspp", weights=tmp_path / "w.pth")
    torch.save(LiteAspp(5, weights=None).state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"auxiliary.bias is \(5,\), the network's is"):
        brought("LiteAspp", weights=tmp_path / "w.pth")


@pytest.mark.slow
def test_the_verbs_take_the_checkpoint_as_their_own(brought, tmp_path, monkeypatch, capsys):
    brought("LiteAspp")
    monkeypatch.chdir(tmp_path)
    data = ["--data", "synthetic:4", "--epochs", "1", "--batch", "2", "--crop", "32x48"]
    trust = ["--trust", "foreign_nets"]
    start = ["--init", "net.safetensors", "--size", "64x96"]
    # Eleven classes now: the layers that follow from their number start afresh.
    assert run(["train", "foreign_nets:LiteAspp", *start, *data, *trust]) == 0
    assert "low, high" in (err := capsys.readouterr().err) or "high, low" in err
    best = "runs/train/LiteAspp/last.safetensors"
    assert run(["prune", best, "--ratio", "0.5", "--round-to", "4", "-o", "p", *trust]) == 0
    assert run(["qat", "p/pruned.safetensors", *data, *trust, "-o", "q"]) == 0
    assert run(["export", "q/last.safetensors", "--int8", "-o", "net", *trust]) == 0
    assert run(["verify", "net", "--backend", "onnxruntime"]) == 0
    assert run(["lint", "net"]) == 0
