"""What stands where a bundle is expected, and the command that the message names."""

import json
import struct

import pytest
from foreign_onnx import network

from edgeseg.core.given import checkpoint_header, instead_of_bundle, name_of, run_checkpoint
from edgeseg.core.zoo import find_bundle, find_checkpoint
from edgeseg.errors import BundleError


def checkpoint(path, kinds=("train",)):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"format": 1, "steps": [{"kind": kind} for kind in kinds]}
    text = json.dumps({"__metadata__": {"edgeseg": json.dumps(header)}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    return path


def test_a_checkpoint_is_exported_first(tmp_path):
    run = tmp_path / "my run"
    best = checkpoint(run / "best.safetensors")
    assert instead_of_bundle(best) == (
        f"{best} is a checkpoint, not a bundle; make one of it: edgeseg export '{best}' --int8 "
        "--calibrate DATA -o 'my run'-int8, or --fp32"
    )
    trained = checkpoint(tmp_path / "road.safetensors", ("train", "quantize", "qat"))
    with pytest.raises(
        BundleError, match=r"edgeseg export \S+/road.safetensors --int8 -o road-int8$"
    ):
        find_bundle(str(trained))


def test_a_runs_folder_stands_for_its_best_checkpoint(tmp_path):
    run = tmp_path / "run"
    last = checkpoint(run / "last.safetensors", ("train", "quantize"))
    assert run_checkpoint(run) == last
    best = checkpoint(run / "best.safetensors", ("train", "quantize"))
    assert find_checkpoint(run) == best
    with pytest.raises(
        BundleError, match=r"is a run's folder; make one of it: edgeseg export .*best"
    ):
        find_bundle(str(run))
    assert name_of(best) == "run"
    assert name_of(run / "pallets.safetensors") == "pallets"


def test_an_onnx_file_is_imported_first_at_its_own_size(tmp_path):
    path = tmp_path / "net.onnx"
    network(path)
    assert instead_of_bundle(path) == (
        f"{path} is an ONNX file, not a bundle; make one of it: edgeseg import {path} --classes "
        "classes.txt --size 32x48 --mean R,G,B --std R,G,B -o net"
    )
    network(path, channels_last=True)
    assert "--size 32x48" in instead_of_bundle(path)
    network(path, size=("h", "w"))
    assert "--size HxW" in instead_of_bundle(path)
    path.write_text("words")
    assert "--size HxW" in instead_of_bundle(path)


@pytest.mark.parametrize("name", ["w.pth", "w.PT", "model.ckpt", "plain.safetensors"])
def test_weights_are_imported_with_their_network(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"\x00" * 32)
    assert f"edgeseg import package.module:callable --weights {path}" in instead_of_bundle(path)
    assert checkpoint_header(path) is None


def test_an_engine_and_a_folder_of_bundles_are_told(tmp_path, make_bundle):
    engine = tmp_path / "model.engine"
    engine.touch()
    assert "give the bundle" in instead_of_bundle(engine)
    make_bundle("exports/road", (32, 48))
    assert instead_of_bundle(tmp_path / "exports").endswith(f"{tmp_path / 'exports' / 'road'}")


def test_of_anything_else_nothing_is_said(tmp_path):
    (tmp_path / "photo.jpg").touch()
    assert instead_of_bundle(tmp_path / "photo.jpg") == ""
    assert instead_of_bundle(tmp_path) == ""
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        find_bundle(str(tmp_path))
