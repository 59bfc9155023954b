"""Save the labels of five synthetic frames: python frames.py BUNDLE OUT.npz.

frames        uint8, as this machine paints them
optimized     labels from the graph as the backend runs it; of the frames in given.npz where that
              lies here, so that two machines label the same pixels
as_written    labels from the file's own arithmetic, without any of ONNX Runtime's rewrites
"""

import platform
import sys
from pathlib import Path

import numpy as np

from edgeseg.core.bundle import read_bundle
from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.fit import fit_rgb
from edgeseg.runtime.backends import open_backend

FRAMES = 5
GIVEN = Path("given.npz")


def main(folder: str, out: str) -> None:
    """Run both forms on the frames that `eval --data synthetic:5` scores."""
    bundle = read_bundle(Path(folder))
    size_hw = bundle.spec.size_hw
    dataset = open_dataset(f"synthetic:{FRAMES}", "val", size_hw=size_hw)
    frames = np.stack(
        [fit_rgb(dataset[i].rgb, size_hw, bundle.spec.preprocess.resize)[0] for i in range(FRAMES)]
    )
    found = {"frames": frames, "machine": np.array(platform.machine())}
    if GIVEN.exists():
        with np.load(GIVEN) as given:
            frames = given["frames"]
    for name, optimize in (("optimized", True), ("as_written", False)):
        with open_backend("onnxruntime", bundle, threads=1, optimize=optimize) as backend:
            found[name] = np.concatenate([backend.infer(frame[None]).copy() for frame in frames])
    np.savez_compressed(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
