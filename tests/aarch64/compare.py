"""Compare what two machines wrote: python compare.py HERE THERE; exit code 1 on a difference.

Each folder has one of results for each bundle. Of the same frames the exact network's labels
(exact_bundle.py) and those of the shipped network with sums of whole numbers (summed_bundle.py)
must be the same to the bit; the shipped bundle's as it is may differ where an activation lies
between two steps: ONNX Runtime's kernels for Arm and for x86 round it differently. Each machine
paints its own frames for eval and stream, and libm's last bit moves a corner by a pixel here and
there. A folder of results holds verify.json, eval.json, stream.json,
masks/ and frames.npz (frames.py).
"""

import json
import sys
from pathlib import Path

import numpy as np

from edgeseg.core.data.masks import read_labels

QUALITY = ("global_accuracy", "class_accuracy", "miou", "bf")
# By bundle, the smallest share of equal labels: of the same frames, and of frames that each
# machine painted. Two runtimes on one machine agree on 0.98 of the shipped bundle's labels.
SAME_FRAMES = {"exact": 1.0, "summed": 1.0, "shipped": 0.98}
OWN_FRAMES = {"exact": 0.99, "summed": 0.98, "shipped": 0.98}
PAINTED = 0.999
SCORE = 0.01


def compare(name: str, here: Path, there: Path) -> list[tuple[str, bool, str]]:
    """Return (what, good, in words) of each thing that must hold."""
    rows = []
    mine, other = (json.loads((at / "verify.json").read_text()) for at in (here, there))
    shares = [document["results"][0]["agreement"] for document in (mine, other)]
    near = abs(shares[0] - shares[1]) <= 1 - SAME_FRAMES[name]
    words = "golden agreement {:.6f} {:.6f}".format(*shares)
    rows.append(("verify", mine["ok"] and other["ok"] and near, words))
    mine, other = (json.loads((at / "eval.json").read_text()) for at in (here, there))
    rows.append(("eval: images", mine["n_images"] == other["n_images"] == 5, f"{mine['n_images']}"))
    for key in QUALITY:
        near = abs(mine[key] - other[key]) <= SCORE
        rows.append((f"eval: {key}", near, f"{mine[key]:.6f} {other[key]:.6f}"))
    names = sorted(path.name for path in (here / "masks").glob("*.png"))
    same = names == sorted(path.name for path in (there / "masks").glob("*.png"))
    rows.append(("stream: masks", same and len(names) == 5, f"{len(names)}"))
    if same and names:
        pairs = [[read_labels(at / "masks" / file) for file in names] for at in (here, there)]
        rows.append(_labels("stream: labels", *map(np.stack, pairs), OWN_FRAMES[name]))
    with np.load(here / "frames.npz") as ours, np.load(there / "frames.npz") as theirs:
        rows.append(_labels("painted frames", ours["frames"], theirs["frames"], PAINTED))
        for key in ("optimized", "as_written"):
            rows.append(_labels(f"labels {key}", ours[key], theirs[key], SAME_FRAMES[name]))
        machines = f"{ours['machine']} {theirs['machine']}"
        rows.append(("machines", str(theirs["machine"]) == "aarch64", machines))
    return rows


def _labels(what: str, mine: np.ndarray, other: np.ndarray, least: float) -> tuple[str, bool, str]:
    if mine.shape != other.shape:
        return what, False, f"{mine.shape} {other.shape}"
    differ = int((mine != other).sum())
    return what, 1 - differ / mine.size >= least, f"{differ} of {mine.size} differ"


def main(here: str, there: str) -> int:
    """Print the rows."""
    good = bad = 0
    for name in SAME_FRAMES:
        for what, holds, words in compare(name, Path(here) / name, Path(there) / name):
            print(f"{'ok' if holds else 'FAILED':7} {name:8} {what:22} {words}")
            good, bad = good + holds, bad + (not holds)
    print(f"{good} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
