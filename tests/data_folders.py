"""Small data folders that tests write."""

from pathlib import Path

import numpy as np

from edgeseg.core.images.io import write_png


def make_camvid(root: Path, split: str = "val", count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for k in range(count):
        name = f"0016E5_{k:05d}.png"
        write_png(root / split / name, rng.integers(0, 256, (6, 8, 3), np.uint8))
        write_png(root / f"{split}annot" / name, rng.integers(0, 12, (6, 8), np.uint8))
    return root
