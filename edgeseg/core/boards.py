"""The boards: what their data sheets promise, for floors that are computed and never measured.

The figures ship inside the package because `bench --board`, `tune --board` and `lint --board` run
where only the wheel is installed; `deploy/targets/*.toml` holds budgets, which are a user's choice,
and a test holds the two together. Peaks are dense: without the twofold rate of 2:4 sparsity, and
without the deep-learning accelerators, which edgeseg does not use.

Where NVIDIA names only a module's total, the GPU's peak is its tensor cores times their rate times
its clock: an Ampere SM does 4096 INT8 or 2048 FP16 operations a clock, which gives 20 TOPS for the
Orin Nano's 8 SMs at 625 MHz and half of the 171 sparse TOPS that NVIDIA states for the AGX Orin's
16 at 1.3 GHz.
"""

from __future__ import annotations

import dataclasses

from edgeseg.core.nearest import unknown
from edgeseg.errors import UsageError

SUPER = (
    "https://developer.nvidia.com/blog/nvidia-jetson-orin-nano-developer-kit-gets-a-super-boost/"
)
ORIN = "https://www.nvidia.com/en-us/autonomous-machines/embedded-systems/jetson-orin/"
DLA = "https://github.com/NVIDIA/Deep-Learning-Accelerator-SW"
THOR = "https://www.nvidia.com/en-us/autonomous-machines/embedded-systems/jetson-thor/"
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
        source=SUPER,
    ),
    "orin-nano-super": Board(
        "Jetson Orin Nano 8 GB, MAXN SUPER mode of JetPack 6.1 and later", 8_000_000_000, "8.7",
        int8_tops=33.0, fp16_tflops=17.0, fp32_tflops=2.09, bandwidth_gb_s=102.0, sparse=True,
        source=SUPER,
    ),
    "orin-nx": Board(
        "Jetson Orin NX 16 GB", 16_000_000_000, "8.7",
        int8_tops=30.0, fp16_tflops=15.0, fp32_tflops=1.88, bandwidth_gb_s=102.4, sparse=True,
        source=f"{ORIN} (8 SMs at 918 MHz)",
    ),
    "agx-orin": Board(
        "Jetson AGX Orin 64 GB", 64_000_000_000, "8.7",
        int8_tops=85.0, fp16_tflops=42.6, fp32_tflops=5.32, bandwidth_gb_s=204.8, sparse=True,
        source=f"{ORIN}; {DLA} (GPU's share of the total)",
    ),
    "thor": Board(
        "Jetson AGX Thor T5000, 128 GB", 128_000_000_000, "11.0",
        int8_tops=517.0, fp16_tflops=258.0, fp32_tflops=8.04, bandwidth_gb_s=273.0, sparse=True,
        source=f"{THOR} (2070 sparse FP4 TFLOPS, halved at each step to dense FP8 and FP16; INT8 "
        "is taken as fast as FP8)",
        support="JetPack 7; not run on it yet",
    ),
    "xavier-nx": Board(
        "Jetson Xavier NX", 8_000_000_000, "7.2",
        int8_tops=13.5, fp16_tflops=6.8, fp32_tflops=0.84, bandwidth_gb_s=51.2, sparse=False,
        source=f"{XAVIER} (48 Volta tensor cores at 1100 MHz)",
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
