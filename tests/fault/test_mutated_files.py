"""Damaged and forged files: a loader ends in a result or in one of edgeseg's own errors.

Each loader gets a sound file of its kind, mutated with a seed: bytes flipped, cut, repeated, and
values of JSON and TOML replaced by what does not belong there. `make test` takes a few of each
kind, `make test-slow` three thousand.
"""

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tinybundle import tiny_bundle, vouched

from edgeseg.core.bundle import read_bundle
from edgeseg.core.data.classes import read_classes
from edgeseg.core.data.masks import read_labels
from edgeseg.core.graph.load import bundle_graph, read_graph
from edgeseg.core.images.io import read_rgb
from edgeseg.core.recipe import StepDone
from edgeseg.core.report import read_report
from edgeseg.errors import EdgesegError
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeseg.host.export.calibration_ranges import read_cache, read_table
from edgeseg.host.imports.onnx_file.read import read_network
from edgeseg.host.jobs.compare import compare_job
from edgeseg.host.models.state_dict import read_state
from edgeseg.host.recipe.plan import read_recipe
from edgeseg.runtime.gate.baselines import read_history, read_rows
from edgeseg.runtime.gate.budget import read_budget
from edgeseg.runtime.gate.judge import judge_rows

ROOT = Path(__file__).parents[2]
FEW, MANY = 20, 3000
CLASSES = b"road 128 64 128\ncar = 7,8\nvoid\n"
ODD_VALUES = (
    None, True, -1, 0, 1e308, 10**40, "", "\x1b[31m", "../../x", [], {}, [[]], {"a": {}}, "nan",
    float("nan"), "x" * 5000,
)  # fmt: skip


def cut_and_flipped(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one to four faults of the kinds that disks, cables and people make."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not made:
            break
        place = rng.randrange(len(made))
        kind = rng.randrange(5)
        if kind == 0:
            made[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del made[place:]
        elif kind == 2:
            made[place : place + rng.randint(1, 16)] = rng.randbytes(rng.randint(0, 16))
        elif kind == 3:
            made[place:place] = made[place : place + 64] * rng.randint(1, 3)
        else:
            made[place : place + 8] = b"\xff" * 8
    return bytes(made)


def other_values(text: str, rng: random.Random) -> str:
    """A JSON text in which values, keys or whole parts are others."""
    document = json.loads(text)
    places: list[tuple[object, object]] = []

    def walk(value: object) -> None:
        items = (
            value.items()
            if isinstance(value, dict)
            else (enumerate(value) if isinstance(value, list) else ())
        )
        for key, inner in list(items):
            places.append((value, key))
            walk(inner)

    walk(document)
    for _ in range(rng.randint(1, 3)):
        if not places:
            break
        holder, key = rng.choice(places)
        if rng.random() < 0.2 and isinstance(holder, dict):
            holder.pop(key, None)
        elif not isinstance(holder, dict) or key in holder:
            holder[key] = rng.choice(ODD_VALUES)  # type: ignore[index]
    if rng.random() < 0.03:
        return "[" * 100_000
    return json.dumps(rng.choice(ODD_VALUES) if rng.random() < 0.03 else document)


def bundle_manifest(folder: Path, rng: random.Random) -> Callable[[], object]:
    bundle = tiny_bundle(folder / "b", precision="int8")
    path = bundle.path / "manifest.json"
    sound = path.read_text()

    def run() -> object:
        path.write_text(other_values(sound, rng))
        found = read_bundle(bundle.path)
        found.golden()
        return bundle_graph(found)

    return run


def of_bytes(
    sound: bytes, path: Path, load: Callable[[Path], object]
) -> Callable[[random.Random], Callable[[], object]]:
    def kind(rng: random.Random) -> Callable[[], object]:
        def run() -> object:
            path.write_bytes(cut_and_flipped(sound, rng))
            return load(path)

        return run

    return kind


def of_json(
    sound: str, path: Path, load: Callable[[Path], object]
) -> Callable[[random.Random], Callable[[], object]]:
    def kind(rng: random.Random) -> Callable[[], object]:
        def run() -> object:
            text = other_values(sound, rng)
            path.write_bytes(
                cut_and_flipped(text.encode(), rng) if rng.random() < 0.3 else text.encode()
            )
            return load(path)

        return run

    return kind


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A function of a generator by kind of file; each gives a function that loads one mutant."""
    from simulated import PLAIN

    root = tmp_path_factory.mktemp("sound")
    bundle = tiny_bundle(root / "b", precision="int8")
    graph, golden = bundle.onnx_path.read_bytes(), (bundle.path / "golden.npz").read_bytes()
    torch.manual_seed(0)
    weights = {"a.weight": torch.randn(4, 3), "a.bias": torch.zeros(4)}
    checkpoint = root / "c.safetensors"
    save_checkpoint(checkpoint, Checkpoint(bundle.spec, (StepDone("train"),), weights))
    torch.save(weights, root / "w.pth")
    report = json.dumps(PLAIN.to_json())
    history = json.dumps({"at": "2026-01-01", "machine": "m", "verdict": "pass",
                          "rows": {"a": {"miou": 0.5, "infer_p50": 3.0}}})  # fmt: skip
    run = root / "run"
    run.mkdir()
    (run / "curves.csv").write_text("epoch,loss,lr,seconds,miou\n1,0.5,0.1,2,0.4\n2,0.4,0.1,2,\n")
    scores = json.dumps({"epochs": 2, "best_epoch": 1, "seconds": 4, "scores": {"miou": 0.4}})
    (run / "scores.json").write_text(scores)

    def swapped(name: str) -> Callable[[Path], object]:
        def load(path: Path) -> object:
            found = vouched(bundle.path, **{name: path.read_bytes()})
            found.golden()
            found.fitted_probe()
            return bundle_graph(found)

        return load

    def judged(path: Path) -> object:
        sound = root / "base.json"
        sound.write_text(report)
        rows = read_rows(path)
        return judge_rows(rows, baseline=read_rows(sound))

    def picture(path: Path) -> object:
        return read_rgb(path)

    ranges = (ROOT / "calibration/segnet-basic-camvid.ranges.txt").read_bytes()
    cache = (ROOT / "calibration/segnet-basic-camvid.cache").read_bytes()
    recipe = (ROOT / "calibration/segnet-basic-camvid.toml").read_bytes()
    budget = next((ROOT / "deploy/targets").glob("*.toml")).read_bytes()
    import cv2
    import numpy as np

    image = np.random.default_rng(0).integers(0, 3, (12, 16), np.uint8)
    png = cv2.imencode(".png", image)[1].tobytes()
    jpg = cv2.imencode(".jpg", cv2.merge([image] * 3))[1].tobytes()
    text = lambda read: lambda path: read(path.read_text(errors="surrogateescape"))  # noqa: E731
    return {
        "manifest": lambda rng: bundle_manifest(root / "m", rng),
        "graph": of_bytes(graph, root / "g", swapped("model")),
        "golden": of_bytes(golden, root / "o", swapped("golden")),
        "graph of others": of_bytes(graph, root / "n.onnx", read_graph),
        "network of others": of_bytes(graph, root / "i.onnx", read_network),
        "checkpoint": of_bytes(checkpoint.read_bytes(), root / "k.safetensors", load_checkpoint),
        "weights": of_bytes((root / "w.pth").read_bytes(), root / "v.pth", read_state),
        "report": of_json(report, root / "r.json", read_report),
        "judged report": of_json(report, root / "j.json", judged),
        "history": of_json(history, root / "h.jsonl", read_history),
        "run": of_json(scores, run / "scores.json", lambda path: compare_job([path.parent])),
        "curves": of_bytes(
            (run / "curves.csv").read_bytes(), run / "curves.csv",
            lambda path: compare_job([path.parent]),
        ),
        "ranges": of_bytes(ranges, root / "r.txt", text(read_table)),
        "cache": of_bytes(cache, root / "r.cache", text(read_cache)),
        "recipe": of_bytes(recipe, root / "r.toml", read_recipe),
        "budget": of_bytes(budget, root / "b.toml", read_budget),
        "classes": of_bytes(CLASSES, root / "classes.txt", read_classes),
        "mask": of_bytes(png, root / "m.png", read_labels),
        "picture": of_bytes(jpg, root / "p.jpg", picture),
    }  # fmt: skip


NAMES = (
    "manifest", "graph", "golden", "graph of others", "network of others", "checkpoint", "weights",
    "report", "judged report", "history", "run", "curves", "ranges", "cache", "recipe", "budget",
    "classes", "mask", "picture",
)  # fmt: skip


def mutate(kinds: dict, name: str, count: int) -> None:
    rng = random.Random(name)
    load = kinds[name](rng)
    faults: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(count):
            try:
                load()
            except EdgesegError:
                pass
            except Exception as error:
                key = f"{type(error).__name__}: {str(error)[:80]}"
                faults.setdefault(key, number)
    assert faults == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_mutated_file_is_a_result_or_an_error_of_ours(kinds, name):
    mutate(kinds, name, FEW)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_three_thousand_mutants_of_each_kind(kinds, name):
    mutate(kinds, name, MANY)
