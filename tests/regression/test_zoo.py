"""The shipped models against their committed baselines.

What no machine changes lies in tests/baselines/shared.json, times in a folder for each machine.
After a wanted change: make baselines REASON="why".
"""

import datetime
import json
from pathlib import Path

import pytest

from edgeseg.core.bundle import Bundle, write_bundle
from edgeseg.core.data.open import open_dataset
from edgeseg.core.graph.strip_quantization import without_quantization
from edgeseg.core.zoo import default_bundle, find_bundle, zoo_names
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.bench.graph_cost import graph_cost
from edgeseg.runtime.bench.row import Entry
from edgeseg.runtime.bench.run import BenchOptions, bench
from edgeseg.runtime.evaluation.evaluate import evaluate
from edgeseg.runtime.gate.baselines import machine_key
from edgeseg.runtime.telemetry import fingerprint

pytest.importorskip("onnxruntime")

BASELINES = Path(__file__).parent.parent / "baselines"
SHARED = "shared.json"
# CPUs round INT8 differently: with and without VNNI labels differ in about one pixel of a thousand.
MIOU_DROP = 0.01
# A wandering machine moves the ratio of two rows by a few percent; a lost INT8 kernel doubles it.
RATIO_GROWTH = 1.25
ROUNDS = 12
CAMVID_IMAGES = 20


@pytest.fixture(params=zoo_names())
def zoo(request: pytest.FixtureRequest) -> Bundle:
    return find_bundle(request.param)


@pytest.fixture
def baseline(request: pytest.FixtureRequest):
    """A function that gives the committed figure, or writes the new one and gives that."""
    reason = request.config.getoption("--edgeseg-update")

    def figure(file: str, model: str, name: str, value: float) -> float | None:
        path = BASELINES / file
        document = json.loads(path.read_text()) if path.is_file() else {"models": {}}
        if reason is not None:
            document["models"].setdefault(model, {})[name] = value
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            document["accepted"] = {"reason": reason, "at": now}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        return document["models"].get(model, {}).get(name)

    return figure


def test_sizes_are_those_of_the_baseline(zoo, baseline):
    found = {**graph_cost(zoo.onnx_path), "onnx_bytes": zoo.onnx_path.stat().st_size}
    limits = {name: baseline(SHARED, zoo.name, name, value) for name, value in found.items()}
    assert None not in limits.values(), f"no baseline for {zoo.name}; --edgeseg-update='new model'"
    worse = [
        f"{name}: {value} was {limits[name]}"
        for name, value in found.items()
        if (value < limits[name] if name == "int8_conv_share" else value > limits[name])
    ]
    assert not worse


@pytest.mark.parametrize("images", [6])
def test_synthetic_accuracy(zoo, baseline, images):
    data = open_dataset(f"synthetic:{images}", "val", size_hw=zoo.spec.size_hw)
    check_accuracy(zoo, baseline, data, f"synthetic {images} miou")


@pytest.mark.slow
@pytest.mark.camvid
def test_camvid_accuracy(zoo, baseline, camvid):
    data = open_dataset(str(camvid), "val", size_hw=zoo.spec.size_hw, limit=CAMVID_IMAGES)
    check_accuracy(zoo, baseline, data, f"camvid {CAMVID_IMAGES} miou")


@pytest.mark.parametrize(
    "zoo",
    [
        pytest.param(name, marks=() if name == default_bundle().name else pytest.mark.slow)
        for name in zoo_names()
    ],
    indirect=True,
)
def test_int8_is_as_much_faster_than_fp32_as_it_was(zoo, baseline, tmp_path):
    if zoo.precision != "int8":
        pytest.skip(f"{zoo.name} is {zoo.precision}; it has no INT8:FP32 ratio")
    plain = write_bundle(
        tmp_path / "fp32",
        without_quantization(zoo.onnx_path.read_bytes()),
        zoo.golden(),
        name="fp32",
        spec=zoo.spec,
        precision="fp32",
        opset=zoo.opset,
    )
    rows = [
        Entry("fp32", plain, "onnxruntime", {"threads": 1}, scored=False, reference=True),
        Entry("int8", zoo, "onnxruntime", {"threads": 1}, scored=False),
    ]
    data = open_dataset("synthetic:1", "val", size_hw=zoo.spec.size_hw)
    result = bench(rows, data, BenchOptions(rounds=ROUNDS), threads=1)
    found = result.rows[1].reference
    file = f"{machine_key(fingerprint())}/times.json"
    was = baseline(file, zoo.name, "int8_time_ratio", found.time_ratio)
    if was is None:
        pytest.skip(f"not_comparable: tests/baselines/{file} has no times of {zoo.name}")
    # The lower end of the interval: only what noise cannot explain counts.
    assert found.low <= was * RATIO_GROWTH, f"{found.time_ratio:.3f} of FP32's time, was {was:.3f}"


def check_accuracy(zoo: Bundle, baseline, data, name: str) -> None:
    with open_backend("onnxruntime", zoo, threads=1) as backend:
        found = evaluate(backend, zoo.spec, data, boundary=False).scores.miou
    was = baseline(SHARED, zoo.name, name, found)
    assert was is not None, f"no baseline for {zoo.name}; --edgeseg-update='new model'"
    assert found >= was - MIOU_DROP
