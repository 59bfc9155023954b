"""How often the gate fails: unchanged runs, slowdowns and a loss of mIoU, on simulated machines.

    python tests/gate_power_run.py            # the table of docs/regression-tests.md
    python tests/gate_power_run.py --baselines 5 --runs 5

Every bench is edgeseg's own, on the clock of tests/simulated.py; seeds are fixed. Each of the
baselines judges each of the runs. "alarm" is exit code 3 or 4, "no verdict" is exit code 1.
"""

import argparse
import gc
import tempfile
from pathlib import Path

import numpy as np
from simulated import Machine, run
from tinybundle import tiny_bundle

from edgeseg.core.report import BundleId, Report
from edgeseg.core.stage_times import percentiles_ms
from edgeseg.pytest_plugin import MOST_ROUNDS, ROUNDS
from edgeseg.runtime.gate.judge import judge

MACHINES = {
    "quiet, 5 %": {"noise": 0.05},
    "wanders by 30 %": {"noise": 0.3},
    "spikes: 1 % take ten times as long": {"noise": 0.1, "spikes": 0.01},
    "bursts: a neighbour doubles a third of the time": {"noise": 0.1, "bursts": 2.0},
    "all three": {"noise": 0.3, "spikes": 0.01, "bursts": 2.0},
}
# What is planted, by its name in the table; 1.01 % wrong pixels cost 0.02 of mIoU here.
PLANTED = {
    "unchanged": {},
    "x1.1": {"slow": 1.1},
    "x1.15": {"slow": 1.15},
    "x1.2": {"slow": 1.2},
    "x1.3": {"slow": 1.3},
    "mIoU -0.02": {"wrong": 0.0101},
}
STREAM_FRAMES = 120


def stream(seed: int, *, noise=0.3, spikes=0.0, bursts=1.0, slow=1.0) -> Report:
    """A stream's report: single times on the machine, no reference."""
    machine = Machine(seed, noise, spikes=spikes, bursts=bursts)
    stamps = [machine.now_ns]
    for _ in range(STREAM_FRAMES):
        machine.pass_ms(10.0 * slow)
        stamps.append(machine.now_ns)
    times = percentiles_ms(np.diff(stamps).tolist())
    return Report(
        BundleId("m", "0", "int8"), {"cpu": "simulated"}, "video", STREAM_FRAMES, 0, 0, 50.0,
        {"infer": times}, None, cost={"onnx_bytes": 1},
    )  # fmt: skip


def shares(codes: np.ndarray) -> str:
    alarm, none = np.isin(codes, (3, 4)).mean(), (codes == 1).mean()
    worst = np.isin(codes, (3, 4)).mean(axis=1)
    return f"{alarm:.4f} (baselines {worst.min():.2f} to {worst.max():.2f}), no verdict {none:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baselines", type=int, default=50)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--most-rounds", type=int, default=MOST_ROUNDS)
    parser.add_argument("--machine", action="append", help="part of a machine's name")
    parser.add_argument("--planted", action="append", choices=list(PLANTED))
    parser.add_argument("--only", choices=("bench", "stream"), help="leave the other out")
    given = parser.parse_args()
    how = {"rounds": given.rounds, "most_rounds": given.most_rounds}
    machines = {
        name: value
        for name, value in MACHINES.items()
        if not given.machine or any(part in name for part in given.machine)
    }
    # A bench collects garbage at each opening; what is here by now stays.
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        bundle = tiny_bundle(Path(folder) / "b")
        for name, machine in machines.items() if given.only != "stream" else ():
            seeds = range(1000, 1000 + given.baselines)
            found = [run(bundle, seed, **machine, **how).rows[1] for seed in seeds]
            spent = np.mean([one.run["rounds"] for one in found])
            print(f"bench, {name}: {spent:.0f} rounds on average", flush=True)
            for planted, change in PLANTED.items():
                if given.planted and planted not in given.planted:
                    continue
                runs = [
                    run(bundle, seed, **machine, **how, **change).rows[1]
                    for seed in range(1, 1 + given.runs)
                ]
                codes = [[judge(r, baseline=b).exit_code for r in runs] for b in found]
                print(f"  {planted:<12} {shares(np.array(codes))}", flush=True)
    for name, machine in machines.items() if given.only != "bench" else ():
        print(f"stream, 10 and 20 baselines, {name}")
        for planted, change in list(PLANTED.items())[:-1]:
            if given.planted and planted not in given.planted:
                continue
            runs = [stream(seed, **machine, **change) for seed in range(1, 1 + given.runs)]
            for n in (10, 20):
                codes = []
                for first in range(1000, 1000 + n * given.baselines, n):
                    base, *more = (stream(seed, **machine) for seed in range(first, first + n))
                    codes.append([judge(r, baseline=base, repeats=more).exit_code for r in runs])
                print(f"  {planted:<12} {n:>2}: {shares(np.array(codes))}", flush=True)


if __name__ == "__main__":
    main()
