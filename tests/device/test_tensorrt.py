"""TensorRT for real, where a GPU and TensorRT are: build, golden pair, ratios. `-m device`."""

import contextlib
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from tinybundle import expected_labels, random_frame, tiny_bundle

from edgeseg.core.zoo import default_bundle
from edgeseg.runtime.backends import open_backend, why_unavailable
from edgeseg.runtime.bench.int8_against_fp16 import ratio, time_in_turns

pytestmark = pytest.mark.device


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    reason = why_unavailable("tensorrt")
    if reason:
        pytest.skip(reason)
    return tmp_path_factory.mktemp("engines")


@pytest.mark.parametrize("precision", ["int8", "fp16", "fp32"])
def test_the_golden_pair_agrees_in_every_precision(cache, precision):
    bundle = default_bundle()
    golden = bundle.golden()
    with open_backend("tensorrt", bundle, precision=precision, cache=cache) as backend:
        agreement = float((backend.infer(golden.frame) == golden.labels).mean())
        assert backend.engine.layers.layers
        if precision == "int8":
            assert "int8" in backend.io.precision
    assert agreement > 0.9


@pytest.mark.parametrize("graphs", [True, False])
def test_recorded_and_plain_inference_give_the_same_labels_in_order(cache, tmp_path, graphs):
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    frames = [random_frame(seed)[None] for seed in range(6)]
    with open_backend("tensorrt", bundle, cache=cache, graphs=graphs) as backend:
        single = [backend.infer(frame).copy() for frame in frames]
        piped = [labels.copy() for labels in backend.infer_all(frames)]
    for frame, one, other in zip(frames, single, piped, strict=True):
        assert np.array_equal(one, expected_labels(frame))
        assert np.array_equal(other, one)


def test_build_gives_the_ratio_of_int8_to_fp16(cache):
    done = subprocess.run(
        [sys.executable, "-m", "edgeseg.cli", "build", default_bundle().path, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["precision"] for row in document["engines"]] == ["int8", "fp16"]
    assert math.isfinite(document["fp16_over_int8"])


def test_the_ratios_of_fp16_and_fp32_to_int8_are_measured(cache, record_property):
    bundle = default_bundle()
    with contextlib.ExitStack() as stack:
        backends = {
            name: stack.enter_context(open_backend("tensorrt", bundle, precision=name, cache=cache))
            for name in ("int8", "fp16", "fp32")
        }
        laps = time_in_turns(backends, bundle.golden().frame)
    for name in ("fp16", "fp32"):
        found = ratio(laps[name], laps["int8"])
        record_property(f"{name}_over_int8", found)
        print(f"time of {name} / time of int8: {found:.2f}")
        assert math.isfinite(found)
        assert found > 0


def test_the_engine_inside_torch_gives_the_same_labels(cache, tmp_path):
    reason = why_unavailable("torch_tensorrt")
    if reason:
        pytest.skip(reason)
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    frame = random_frame(1)[None]
    with open_backend("torch_tensorrt", bundle, cache=cache) as backend:
        assert np.array_equal(backend.infer(frame), expected_labels(frame))
