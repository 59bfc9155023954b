"""The boards: what their data sheets promise, for floors that are computed and never measured.

The figures ship inside the package because `bench --board`, `tune --board` and `lint --board` run
where only the wheel is installed; `deploy/targets/*.toml` holds budgets, which are a user's choice,
and a test holds the two together. Peaks are dense: without the twofold rate of 2:4 sparsity, and
without the deep-learning accelerators, which edgeseg does not use.

What is stated and what is computed: clocks, cores, bandwidths and a module's total are NVIDIA's, in
its data sheets and in its comparison of the modules, repeated in Ultralytics' guide at
https://docs.ultralytics.com/guides/nvidia-jetson/. The GPU's peak is SMs times their rate times the
clock: an Ampere SM does 4096 INT8, 2048 FP16 or 256 FP32 operations a clock. That gives what NVIDIA
states where it states the GPU alone: 20 dense INT8 TOPS for the Orin Nano's 8 SMs at 625 MHz, and
half of the AGX Orin's 171 sparse INT8 TOPS and its 5.3 FP32 TFLOPS for 16 at 1.3 GHz. FP16 peaks
are those with FP16 sums; whether FP32 sums halve them on Orin, as on GeForce cards of its
generation, is not documented. What no document of NVIDIA's was found for is called unverified in a
board's source.
"""

from __future__ import annotations

import dataclasses

from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError

SUPER = (
    "https://developer.nvidia.com/blog/nvidia-jetson-orin-nano-developer-kit-gets-a-super-boost/"
)
MODULES = "https://developer.nvidia.com/embedded/jetson-modules"
NANO = "Jetson Orin Nano Series Data Sheet"
BRIEF = "Jetson AGX Orin Series Technical Brief v1.2"
DLA = "https://github.com/NVIDIA/Deep-Learning-Accelerator-SW"
THOR = "https://docs.nvidia.com/igx/user-guide/latest/OV/thor/system-overview-t5000.html"
XAVIER = "Jetson Xavier NX Data Sheet, DA-09366-001"


@dataclasses.dataclass(frozen=True)
class Board:
    """One board in one power mode.

    Attributes:
        name: its full name.
        memory_bytes: main memory, shared by CPU and GPU.
        compute_capability: of its GPU.
        int8_tops: peak dense INT8 of the tensor cores, in 1e12 operations a second; a
            multiply-accumulate is two.
        fp16_tflops: peak dense FP16 of the tensor cores.
        fp32_tflops: peak FP32 of the CUDA cores.
        bandwidth_gb_s: peak of the memory, in 1e9 bytes a second.
        sparse: its tensor cores run 2:4 sparse weights at twice the dense rate.
        source: where the figures are from.
        support: what edgeseg can do on it.
    """

    name: str
    memory_bytes: int
    compute_capability: str
    int8_tops: float
    fp16_tflops: float
    fp32_tflops: float
    bandwidth_gb_s: float
    sparse: bool
    source: str
    support: str = "JetPack 6 and 7; not run on it yet"


BOARDS: dict[str, Board] = {
    "orin-nano": Board(
        "Jetson Orin Nano 8 GB", 8_000_000_000, "8.7",
        int8_tops=20.0, fp16_tflops=10.0, fp32_tflops=1.28, bandwidth_gb_s=68.0, sparse=True,
        source=f"{NANO} (625 MHz, dense INT8); {SUPER} (bandwidth)",
    ),
    "orin-nano-super": Board(
        "Jetson Orin Nano 8 GB, MAXN SUPER mode of JetPack 6.1 and later", 8_000_000_000, "8.7",
        int8_tops=33.0, fp16_tflops=17.0, fp32_tflops=2.09, bandwidth_gb_s=102.0, sparse=True,
        source=f"{SUPER} (67 sparse INT8 TOPS, bandwidth); {MODULES} (8 SMs at 1020 MHz)",
    ),
    "orin-nx": Board(
        "Jetson Orin NX 16 GB", 16_000_000_000, "8.7",
        int8_tops=30.0, fp16_tflops=15.0, fp32_tflops=1.88, bandwidth_gb_s=102.4, sparse=True,
        source=f"{MODULES} (8 SMs at 918 MHz, bandwidth); the rest of its 100 TOPS are the DLAs'",
    ),
    "agx-orin": Board(
        "Jetson AGX Orin 64 GB", 64_000_000_000, "8.7",
        int8_tops=85.0, fp16_tflops=42.6, fp32_tflops=5.32, bandwidth_gb_s=204.8, sparse=True,
        source=f"{DLA} (171 of 275 sparse TOPS are the GPU's); {BRIEF} (FP32, bandwidth)",
    ),
    "thor": Board(
        "Jetson AGX Thor T5000, 128 GB", 128_000_000_000, "11.0",
        int8_tops=517.0, fp16_tflops=258.0, fp32_tflops=8.04, bandwidth_gb_s=273.0, sparse=True,
        source=f"{THOR} (20 SMs, 2560 cores); NVIDIA's 2070 sparse FP4 TFLOPS, halved at each step "
        "to dense FP8 and FP16; unverified: its bandwidth, the clock of 1.57 GHz behind FP32, and "
        "INT8 at the rate of FP8",
        support="JetPack 7; not run on it yet",
    ),
    "xavier-nx": Board(
        "Jetson Xavier NX", 8_000_000_000, "7.2",
        int8_tops=13.5, fp16_tflops=6.8, fp32_tflops=0.84, bandwidth_gb_s=59.7, sparse=False,
        source=f"{XAVIER} (48 Volta tensor cores at 1100 MHz); {MODULES} (bandwidth); unverified: "
        "256 INT8 operations a clock and tensor core, which leaves 7.5 of its 21 TOPS to the DLAs",
        support="not supported: it ends at JetPack 5, whose Python 3.8 and TensorRT 8.5 edgeseg "
        "does not run on",
    ),
}  # fmt: skip


def find_board(name: str) -> Board:
    """Return a board by its short name.

    Raises:
        UsageError: it is not known; the nearest is offered.
    """
    if name not in BOARDS:
        raise UsageError(unknown("board", name, BOARDS))
    return BOARDS[name]
