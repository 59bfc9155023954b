"""Every file that is read, mutated: each case ends in a result or in an EdgesegError.

`make test` tries a few of each reader, `make test-slow` 3,000. EDGESEG_FUZZ_CASES and
EDGESEG_FUZZ_SEED set other numbers; a failure names the seed of its first cases.
"""

import collections
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import time
import traceback
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import torch
from mutations import (
    mutated_arrays,
    mutated_bytes,
    mutated_graph,
    mutated_json,
    mutated_safetensors,
    mutated_text,
)
from tinybundle import graph, spec, tiny_bundle
from trained_nets import spec_of

from edgeseg.cli import edgeseg_command
from edgeseg.cli.gate.trend_page import write_trend_page
from edgeseg.core.bundle import read_bundle
from edgeseg.core.charts import line_chart
from edgeseg.core.data.classes import read_classes
from edgeseg.core.data.masks import MaskRule, palette_of, read_mask
from edgeseg.core.files.bounded import read_text
from edgeseg.core.given import instead_of_bundle
from edgeseg.core.graph.load import read_graph
from edgeseg.core.graph.view import GraphView
from edgeseg.core.images.io import (
    comment_of,
    encode_labels,
    largest_value,
    orientation_of,
    read_rgb,
    write_png,
)
from edgeseg.core.recipe import StepDone
from edgeseg.core.report import read_report
from edgeseg.errors import EdgesegError, UsageError
from edgeseg.host.checkpoint import (
    Checkpoint,
    load_checkpoint,
    module_from_checkpoint,
    save_checkpoint,
)
from edgeseg.host.export.calibration_ranges import read_cache, read_table
from edgeseg.host.imports.onnx_file.read import read_network
from edgeseg.host.jobs.compare import compare_job
from edgeseg.host.models import build_model
from edgeseg.host.models.state_dict import read_state
from edgeseg.host.recipe.plan import read_recipe, stages
from edgeseg.host.recipe.run import recipe_job
from edgeseg.host.training.resume_state import load_state, save_state
from edgeseg.runtime.backends.onnxruntime import OnnxRuntimeBackend
from edgeseg.runtime.engine import cache as engine_cache
from edgeseg.runtime.engine.layer_report import layers_from_inspector
from edgeseg.runtime.gate.baselines import read_history, read_rows
from edgeseg.runtime.gate.budget import Budget, read_budget
from edgeseg.runtime.gate.judge import judge
from edgeseg.runtime.remote.boards import read_boards
from edgeseg.runtime.streaming.hard_frames import HardFrames

SEED = int(os.environ.get("EDGESEG_FUZZ_SEED", "0"))
SECONDS, BYTES = 10.0, 2 << 30


def gate(path: Path) -> None:
    """Judge a report against itself, a budget and a sound baseline, as `edgeseg gate` does."""
    report = read_report(path)
    judge(report, budget=Budget(min_miou=0.5, min_class_iou={"red": 0.1}), baseline=report)
    judge(report, baseline=read_report(path.with_name("sound.json")))


def trend(path: Path) -> None:
    write_trend_page(path.with_name("trend.html"), read_history(path))


def compared(path: Path) -> None:
    command("compare", path.parent)
    (run,) = compare_job([path.parent])
    line_chart([("loss", [(point["epoch"], point["loss"]) for point in run.curve])], "epoch", "")


def command(*words: object) -> None:
    """Run a verb as the command line does, its last guard left out."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(click.ClickException),
    ):
        edgeseg_command.main([str(word) for word in words], standalone_mode=False)


def bundle(path: Path) -> None:
    """Read what every verb reads of a bundle; the manifest vouches for the mutated file."""
    vouch(path)
    read = read_bundle(path.parent)
    assert read.size_bytes > 0
    read.golden()
    read.fitted_probe()


def opened(path: Path) -> None:
    """Check a graph, then let ONNX Runtime run it."""
    vouch(path)
    read = read_bundle(path.parent)
    with OnnxRuntimeBackend(read, threads=1) as backend:
        labels = backend.infer(read.golden().frame)
    assert labels.shape == (1, *read.spec.size_hw), labels.shape
    assert labels.dtype == np.uint8


def looked_at(path: Path) -> None:
    """Look at a foreign graph, as lint and import do."""
    instead_of_bundle(path)
    GraphView(read_graph(path))


def vouch(path: Path) -> None:
    """Put a mutated file's hash into the manifest beside it."""
    if path.name == "manifest.json":
        return
    place = path.with_name("manifest.json")
    manifest = json.loads(place.read_text())
    data = path.read_bytes()
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["files"][path.name] = entry
    place.write_text(json.dumps(manifest))


def masked(path: Path) -> None:
    palette_of(path)
    largest_value(path)
    read_mask(path, MaskRule(3, 255))


def pictured(path: Path) -> None:
    orientation_of(path)
    comment_of(path)
    read_rgb(path)


def resumed(path: Path) -> None:
    net = torch.nn.Conv2d(1, 1, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    load_state(path, net, optimizer, None, {"epochs": 3})


def rebuilt(path: Path) -> None:
    instead_of_bundle(path)
    module_from_checkpoint(load_checkpoint(path))


def stage(path: Path) -> None:
    """Go on with a recipe's folder; its only stage is told to be done."""
    recipe = read_recipe(path.parents[2] / "recipe.toml")
    with contextlib.suppress(Reached):
        recipe_job(recipe, path.parents[1], {}, _refuse_to_run)


class Reached(Exception):
    """A job would start."""


def _refuse_to_run(event: object) -> None:
    if "edgeseg " in str(event):
        raise Reached


def planned(path: Path) -> None:
    stages(read_recipe(path), {})


def state_dict(path: Path) -> None:
    read_state(path)


def ranges(path: Path) -> None:
    (read_table if path.name == "ranges.txt" else read_cache)(
        read_text(path, UsageError, advice="write it again")
    )


def engine(path: Path) -> None:
    engine_cache._stale(path.with_suffix(".plan"), {"precision": "int8"})
    engine_cache._difference(path.with_suffix(".plan"), {"precision": "int8", "gpu": "x"})


def harvest(path: Path) -> None:
    HardFrames(path.parent, spec())


def inspected(path: Path) -> None:
    layers_from_inspector(path.read_text(errors="replace"))


Mutate = Callable[[bytes, random.Random], bytes]
# By the file that is mutated: what reads it, and how it is mutated. seeds() writes the files.
READERS: dict[str, tuple[Callable[[Path], object], Mutate]] = {
    "bundle/manifest.json": (bundle, mutated_json),
    "bundle/golden.npz": (bundle, mutated_arrays),
    "bundle/model.onnx": (opened, mutated_graph),
    "foreign/model.onnx": (looked_at, mutated_graph),
    "foreign/network.onnx": (read_network, mutated_graph),
    "net/net.safetensors": (rebuilt, mutated_safetensors),
    "others/weights.safetensors": (state_dict, mutated_safetensors),
    "others/weights.pth": (state_dict, mutated_bytes),
    "run/state.safetensors": (resumed, mutated_safetensors),
    "run/scores.json": (compared, mutated_json),
    "run/curves.csv": (compared, mutated_text),
    "recipe.toml": (planned, mutated_text),
    "steps/1-train/stage.json": (stage, mutated_json),
    "steps/1-train/scores.json": (stage, mutated_json),
    "budget.toml": (read_budget, mutated_text),
    "boards.toml": (read_boards, mutated_text),
    "gate/report.json": (gate, mutated_json),
    "gate/rows.json": (read_rows, mutated_json),
    "history.jsonl": (trend, mutated_text),
    "ranges.txt": (ranges, mutated_text),
    "calibration.cache": (ranges, mutated_text),
    "classes.txt": (read_classes, mutated_text),
    "cache/int8-1.json": (engine, mutated_json),
    "layers.json": (inspected, mutated_json),
    "harvest/harvest.json": (harvest, mutated_json),
    "harvest/classes.txt": (harvest, mutated_text),
    "mask.png": (masked, mutated_bytes),
    "picture.png": (pictured, mutated_bytes),
    "picture.jpg": (pictured, mutated_bytes),
}
REPORT = {
    "format": 1,
    "bundle": {"name": "tiny", "sha256": "a" * 64, "precision": "int8"},
    "machine": {"cpu": "x", "cores": 2, "board": None},
    "source": "folder", "frames": 8, "dropped": 0, "reconnects": 0, "fps": 30.0,
    "latency_ms": {
        stage: {"p50": 1.0, "p90": 2.0, "p99": 3.0} for stage in ("infer", "end_to_end")
    },
    "memory": {"method": "rss", "peak_bytes": 1000, "model": 3},
    "frame_age_ms": {"p50": 1.0, "p90": 2.0, "p99": 3.0},
    "energy": {"joules_per_frame": 0.1, "mean_w": 3.0, "method": "rail"},
    "accuracy": {
        "n": 8, "global_accuracy": 0.9, "class_accuracy": 0.8, "miou": 0.7, "bf": 0.5,
        "per_class_iou": {"red": 0.5, "green": None},
    },
    "backend": {"name": "onnxruntime", "precision": "int8", "threads": 1},
    "run": {"name": "tiny", "warmup": 2},
    "cost": {"bundle_bytes": 10, "params": 3},
    "intervals": {"infer_p50_ms": [0.9, 1.1]},
    "reference": {
        "name": "other", "sha256": "b" * 64, "backend": "onnxruntime 1", "precision": "fp32",
        "time_ratio": 0.5, "low": 0.4, "high": 0.6, "p90": 0.7, "p99": 0.8,
    },
}  # fmt: skip


# The row that REPORT is timed against.
YARDSTICK = {**REPORT, "run": {"name": "other"}, "reference": None}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one sound file of each kind."""
    root = tmp_path_factory.mktemp("seeds")
    frame = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    texts = {
        "run/scores.json": json.dumps(
            {"epochs": 2, "best_epoch": 1, "seconds": 3.5, "scores": {"miou": 0.5}}
        ),
        "run/curves.csv": "epoch,loss,miou,lr\n1,2.5,,0.1\n2,1.5,0.4,0.05\n",
        "recipe.toml": (
            'arch = "segnet-basic"\n[[step]]\nkind = "train"\ndata = "synthetic:2"\nepochs = 1\n'
        ),
        "steps/1-train/scores.json": json.dumps({"checkpoint": "x.safetensors", "scores": {}}),
        "budget.toml": (
            "[budget]\nmin_miou = 0.5\nmax_peak_bytes = 10\n[budget.min_class_iou]\nred = 0.2\n"
        ),
        "boards.toml": '["orin"]\nhost = "10.0.0.2"\nuser = "me"\nport = 22\nextras = ["cv"]\n',
        "gate/report.json": json.dumps(REPORT),
        "gate/sound.json": json.dumps(REPORT),
        "gate/rows.json": json.dumps({"rows": [REPORT, YARDSTICK]}),
        "history.jsonl": "".join(
            json.dumps({"at": f"{k}", "machine": "m", "verdict": "pass",
                        "rows": {"tiny": {"sha256": "a", "miou": 0.5, "peak_bytes": 9}}}) + "\n"
            for k in range(3)
        ),
        "ranges.txt": "# range scale hex tensor\n127 1 3f800000 x y\n",
        "calibration.cache": "TRT-8601-EntropyCalibration2\nx: 3f800000\ny: 3c010a14\n",
        "classes.txt": "sky 1 2 3 = 4 5\nroad 7 8 9 = 6\nvoid 0 0 0 = 0\n",
        "cache/int8-1.plan": "plan",
        "cache/int8-1.json": json.dumps({
            "format": engine_cache.FORMAT, "key": {"precision": "int8"}, "facts": {},
            "sha256": hashlib.sha256(b"plan").hexdigest(), "layers": [{
                "name": "a", "kind": "conv", "precision": "INT8", "inputs": ["INT8"],
                "outputs": ["INT8"], "bytes_moved": 3, "tactic": ""}],
        }),
        "layers.json": json.dumps({"Layers": [{
            "Name": "a", "LayerType": "conv", "Weights": {"Type": "Int8", "Count": 3},
            "Inputs": [{"Name": "x", "Dimensions": [1, 3], "Format/Datatype": "Int8"}],
            "Outputs": [{"Name": "y", "Dimensions": [1, 3], "Format/Datatype": "Int8"}],
        }]}),
    }  # fmt: skip
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with contextlib.suppress(Reached):
        recipe_job(read_recipe(root / "recipe.toml"), root / "steps", {}, _refuse_to_run)
    begun = root / "steps/1-train/stage.json"
    begun.write_text(begun.read_text().replace("false", "true"))
    tiny_bundle(root / "bundle", precision="int8")
    (root / "foreign").mkdir()
    shutil.copyfile(root / "bundle" / "model.onnx", root / "foreign" / "model.onnx")
    (root / "foreign" / "network.onnx").write_bytes(graph().SerializeToString())
    small = spec_of("segnet-basic", (64, 96))
    state = build_model(small).state_dict()
    (root / "net").mkdir()
    save_checkpoint(
        root / "net" / "net.safetensors", Checkpoint(small, (StepDone("train"),), state)
    )
    (root / "others").mkdir()
    few = {"module.a.weight": torch.ones(2, 3), "module.a.bias": torch.ones(2)}
    torch.save({"state_dict": few, "epoch": 3}, root / "others" / "weights.pth")
    shutil.copyfile(root / "net" / "net.safetensors", root / "others" / "weights.safetensors")
    net = torch.nn.Conv2d(1, 1, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 1, 2, 2)).sum().backward()
    optimizer.step()
    save_state(root / "run" / "state.safetensors", net, optimizer, None, [], {"epochs": 3})
    HardFrames(root / "harvest", spec())
    write_png(root / "picture.png", frame)
    cv2.imwrite(str(root / "picture.jpg"), frame)
    (root / "mask.png").write_bytes(encode_labels(frame[..., 0] % 3, spec().palette, "seed"))
    return root


@pytest.mark.parametrize("name", READERS)
def test_a_few_mutations(name, seeds, tmp_path):
    try_cases(name, seeds, tmp_path, int(os.environ.get("EDGESEG_FUZZ_CASES", "8")))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", READERS)
def test_thousands_of_mutations(name, seeds, tmp_path):
    try_cases(name, seeds, tmp_path, 3000)


def try_cases(name: str, seeds: Path, folder: Path, count: int) -> None:
    """Read the seed itself, then `count` mutations; report the faults, each place once."""
    read, mutate = READERS[name]
    held = (seeds / name).parent
    root = folder / "case"
    path = root / name
    sound = (seeds / name).read_bytes()
    siblings: Mapping[Path, bytes] = {
        one.relative_to(seeds): one.read_bytes()
        for one in (held.rglob("*") if held != seeds else seeds.glob("*"))
        if one.is_file()
    } | {Path("recipe.toml"): (seeds / "recipe.toml").read_bytes()}
    faults: dict[str, list[str]] = collections.defaultdict(list)
    before = _peak()
    for case in range(-1, count):
        rng = random.Random(zlib.crc32(f"{name} {SEED} {case}".encode()))
        for sibling, data in siblings.items():
            (root / sibling).parent.mkdir(parents=True, exist_ok=True)
            (root / sibling).write_bytes(data)
        path.write_bytes(sound if case < 0 else mutate(sound, rng))
        start = time.process_time()
        try:
            with _alarm():
                read(path)
        except EdgesegError as error:
            if case < 0:
                faults[f"the seed itself is refused: {error}"].append("seed")
            if not str(error).strip():
                faults["an error without a message"].append(str(case))
        except Exception as error:
            faults[_place(error)].append(str(case))
        if time.process_time() - start > SECONDS:
            faults["longer than 10 s"].append(str(case))
    if _peak() - before > BYTES:
        faults["more than 2 GB"].append("?")
    told = [
        f"{fault} ({len(cases)} cases: {', '.join(cases[:3])})" for fault, cases in faults.items()
    ]
    assert not told, f"seed {SEED}: " + "\n".join(told)


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "/edgeseg/" in one.filename] or frames
    said = " ".join(str(error).split())[:80]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {type(error).__name__}: {said}"


@contextlib.contextmanager
def _alarm():
    """Break off what runs without end, as long as it runs in Python."""

    def ring(*_: object) -> None:
        raise TimeoutError("it runs without end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> int:
    """Return the most bytes that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
