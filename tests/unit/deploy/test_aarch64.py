"""The comparison that `make test-aarch64` ends with; what it says where it cannot run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.images.io import write_png
from edgeseg.core.zoo import default_bundle
from edgeseg.runtime.backends import open_backend

sys.path.insert(0, str(Path(__file__).parents[2] / "aarch64"))
from compare import SAME_FRAMES, main
from summed_bundle import summed_bundle

FOLDER = Path(__file__).parents[2] / "aarch64"
SHAPE = (5, 20, 30)


def results(folder: Path, machine: str) -> None:
    for name in SAME_FRAMES:
        at = folder / name
        (at / "masks").mkdir(parents=True)
        labels = np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)
        for index, mask in enumerate(labels):
            write_png(at / "masks" / f"{index:06d}.png", mask)
        verify = {"ok": True, "results": [{"agreement": 0.99}]}
        (at / "verify.json").write_text(json.dumps(verify))
        scores = dict.fromkeys(("global_accuracy", "class_accuracy", "miou", "bf"), 0.5)
        evaluated = {"n_images": 5, **scores}
        (at / "eval.json").write_text(json.dumps(evaluated))
        frames = np.zeros((*SHAPE, 3), np.uint8)
        np.savez(
            at / "frames.npz", frames=frames, optimized=labels, as_written=labels,
            machine=np.array(machine),
        )  # fmt: skip


def change(path: Path, key: str, cells: int) -> None:
    with np.load(path) as found:
        arrays = dict(found)
    arrays[key].reshape(-1)[:cells] += 1
    np.savez(path, **arrays)


@pytest.fixture
def two(tmp_path) -> tuple[Path, Path]:
    results(tmp_path / "here", "x86_64")
    results(tmp_path / "there", "aarch64")
    return tmp_path / "here", tmp_path / "there"


def test_equal_results_pass(two, capsys):
    assert main(*map(str, two)) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" passed, 0 failed")


@pytest.mark.parametrize(
    ("name", "key", "cells", "code"),
    [
        ("exact", "optimized", 1, 1),
        ("summed", "as_written", 1, 1),
        ("exact", "as_written", 1, 1),
        # One cell in a thousand may be painted differently.
        ("exact", "frames", 8, 0),
        ("shipped", "frames", 10, 1),
        # Two in a hundred of the shipped bundle's labels may differ.
        ("shipped", "optimized", 50, 0),
        ("shipped", "optimized", 90, 1),
    ],
)
def test_labels_that_differ_fail_where_they_must_not(two, name, key, cells, code):
    change(two[1] / name / "frames.npz", key, cells)
    assert main(*map(str, two)) == code


def test_scores_masks_and_the_machine_are_looked_at(two, tmp_path):
    path = two[1] / "exact" / "eval.json"
    text = path.read_text()
    path.write_text(text.replace("0.5", "0.52", 1))
    assert main(*map(str, two)) == 1
    path.write_text(text)
    mask = two[1] / "shipped" / "masks" / "000000.png"
    data = mask.read_bytes()
    mask.unlink()
    assert main(*map(str, two)) == 1
    mask.write_bytes(data)
    assert main(*map(str, two)) == 0
    assert main(str(two[0]), str(two[0])) == 1


@pytest.mark.parametrize(
    ("commands", "said"),
    [({"id": "echo 1000"}, "chroot needs root; sudo make test-aarch64"),
     ({"uname": "echo Darwin"}, "this is Darwin"),
     ({"id": "echo 0"}, "no mmdebstrap here; apt-get install mmdebstrap")],
)  # fmt: skip
def test_where_it_cannot_run_it_says_what_is_missing(tmp_path, commands, said):
    # The machine's own commands, less the one that is looked for.
    for name in ("sh", "dirname", "id", "uname", "pwd"):
        for folder in os.environ["PATH"].split(os.pathsep):
            if name not in commands and (Path(folder) / name).exists():
                (tmp_path / name).symlink_to(Path(folder) / name)
                break
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", FOLDER / "run.sh"], env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr.strip().startswith(f"test-aarch64: {said}")
    assert len(done.stderr.splitlines()) == 1


def test_whole_sums_give_one_answer_and_the_shipped_networks_labels(tmp_path):
    bundle = summed_bundle(tmp_path / "summed")
    golden = bundle.golden()
    # Other kernels, other layouts and so other orders of summation.
    with open_backend("onnxruntime", bundle, threads=1) as backend:
        assert np.array_equal(backend.infer(golden.frame), golden.labels)
    shipped = default_bundle()
    assert (golden.labels == shipped.golden().labels).mean() > 0.99
    # As it is, the shipped graph does not hold still like this.
    labels = []
    for optimize in (True, False):
        with open_backend("onnxruntime", shipped, threads=1, optimize=optimize) as backend:
            labels.append(backend.infer(golden.frame).copy())
    assert 0.95 < (labels[0] == labels[1]).mean() < 1
