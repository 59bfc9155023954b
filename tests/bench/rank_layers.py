"""How well the predicted layers rank against measured ones, on this machine's CPU.

    python tests/bench/rank_layers.py [BUNDLE…]

The engine plan's bytes and operations become floors with this CPU's own ratio of the two; OpenVINO
measures its kernels (its performance counters). Layers are matched by the convolution they are
built around. Spearman's rank correlation says how far the model can be trusted to tell slow layers
from fast ones; it says nothing about a board's absolute times.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.graph.load import read_graph
from edgeseg.core.zoo import find_bundle, zoo_names
from edgeseg.lint.boards import Board
from edgeseg.lint.roofline import model_roofline

# One core with VNNI: peaks of the right order, of which only the ratio to the bandwidth matters.
CPU = Board(
    name="one CPU core",
    memory_bytes=1,
    compute_capability="",
    int8_tops=0.4,
    fp16_tflops=0.1,
    fp32_tflops=0.1,
    bandwidth_gb_s=10.0,
    sparse=False,
    source="order of magnitude of one AVX-512 VNNI core",
)
ROUNDS = 25
# What OpenVINO appends to a convolution whose bias it fused.
FUSED = "/WithoutBiases"


def measured_ms(bundle: Bundle, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the least time of each kernel, by the ONNX node it is named after.

    The least: on a shared machine every other figure measures the neighbours too.
    """
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(str(bundle.onnx_path)),
        "CPU",
        {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"},
    )
    request = compiled.create_infer_request()
    frame = bundle.golden().frame
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        request.infer({0: frame})
        for info in request.get_profiling_info():
            name = info.node_name.removesuffix(FUSED)
            # A node that was fused away is listed too, with no time.
            if info.real_time.total_seconds() > 0:
                times.setdefault(name, []).append(info.real_time.total_seconds() * 1e3)
    return {name: min(values) for name, values in times.items()}


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rho; equal values share their mean rank."""

    def ranks(values: Sequence[float]) -> np.ndarray:
        array = np.asarray(values)
        less = (array[:, None] > array).sum(1)
        return less + ((array[:, None] == array).sum(1) - 1) / 2

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def compare(bundle: Bundle) -> dict[str, object]:
    """Return the correlation over the convolutions of one bundle, and what it rests on."""
    floors = model_roofline(read_graph(bundle.onnx_path), CPU, fp16=False).floors
    times = measured_ms(bundle)
    convs = [floor for floor in floors if floor.layer.kind == "convolution"]
    pairs = [(floor, times[floor.layer.name]) for floor in convs if floor.layer.name in times]
    return {
        "bundle": bundle.name,
        "convolutions": len(convs),
        "matched": len(pairs),
        "spearman": rank_correlation([f.floor_ms for f, _ in pairs], [t for _, t in pairs]),
        "spearman_macs_alone": rank_correlation(
            [f.layer.macs for f, _ in pairs], [t for _, t in pairs]
        ),
        "measured_ms": sum(t for _, t in pairs),
    }


def main() -> None:
    """Print one JSON line for each bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="*", default=zoo_names())
    for name in parser.parse_args().bundles:
        print(json.dumps(compare(find_bundle(name))))


if __name__ == "__main__":
    main()
