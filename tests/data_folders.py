"""Small data folders that tests write."""

from pathlib import Path

import numpy as np

from edgeseg.core.images.io import write_png
from edgeseg.core.spec import CAMVID_CLASSES


def make_camvid(root: Path, split: str = "val", count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for k in range(count):
        name = f"0016E5_{k:05d}.png"
        write_png(root / split / name, rng.integers(0, 256, (6, 8, 3), np.uint8))
        write_png(root / f"{split}annot" / name, rng.integers(0, 12, (6, 8), np.uint8))
    return root


def name_camvid_classes(root: Path) -> None:
    """Write the classes.txt that pictures in CamVid's layout need which have no name of CamVid."""
    (root / "classes.txt").write_text("\n".join((*CAMVID_CLASSES, "void")) + "\n")
