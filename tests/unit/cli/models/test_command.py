"""`edgeseg models` lists, and tells about one architecture or one shipped model."""

import json

import pytest

from edgeseg.cli import run
from edgeseg.core.zoo import DEFAULT, find_bundle, zoo_facts, zoo_names, zoo_times
from edgeseg.host.models import MODELS
from edgeseg.host.models.settings import MEANINGS, network_options


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert run(["models", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_architecture_tells_its_options_cost_and_use(capsys):
    whole = document(capsys, "segnet-basic", "--size", "32x48")
    assert whole["options"]["channels"] == {"default": 64, "meaning": MEANINGS["channels"]}
    assert whole["suits"]
    narrow = document(capsys, "segnet-basic", "--size", "32x48", "--set", "channels=8")
    assert narrow["params"] < whole["params"] / 20
    assert run(["models", "segnet-basic", "--size", "32x48"]) == 0
    assert "channels of every level" in capsys.readouterr().out


@pytest.mark.parametrize("name", MODELS.own)
def test_every_network_of_one_piece_says_for_whom_and_what_its_options_are(name):
    network = MODELS.load(name)
    assert network.suits
    assert set(network_options(network)) <= set(MEANINGS)


def test_a_network_on_a_backbone_says_for_whom_with_both_parts():
    network = MODELS.load("deeplabv3plus-mobilenetv2")
    assert network.suits.count(";") >= 1
    assert set(network_options(network)) <= set(MEANINGS)


def test_a_shipped_model_has_advice_terms_and_figures_from_its_manifest(capsys):
    told = document(capsys, DEFAULT)
    scored = find_bundle(DEFAULT).reference["int8"]["camvid val"]["onnxruntime"]
    assert told["miou"] == scored["miou"]
    assert told["time_ratio"] == zoo_times()["rows"][DEFAULT]["onnxruntime"]["ratio"]
    assert told["take_when"]
    assert any("CamVid" in term["what"] for term in told["terms"])
    assert run(["models", DEFAULT]) == 0
    text = capsys.readouterr().out
    assert f"mIoU {scored['miou']:.4f}" in text


def test_every_shipped_model_has_advice_and_a_measured_time():
    facts, times = zoo_facts()["models"], zoo_times()["rows"]
    for name in zoo_names():
        assert facts[name]["take_when"]
        row = times[name]["onnxruntime"]
        assert 0 < row["low"] <= row["ratio"] <= row["high"]


def test_an_unknown_name_offers_the_nearest_and_set_needs_an_architecture(capsys):
    assert run(["models", "segnet-basc"]) == 2
    assert "did you mean 'segnet-basic'?" in capsys.readouterr().err
    assert run(["models", "--set", "width=1"]) == 2
    assert "--set" in capsys.readouterr().err
