"""data.yaml with every form of path, and lines that are no outlines."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

NAMES = "names: [box, person]\n"
SQUARE = "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n"


def write(root: Path, yaml: str, labels: str = SQUARE) -> Path:
    for split, count in (("train", 3), ("val", 2)):
        for k in range(count):
            write_png(root / "images" / split / f"{split} {k}.png", np.zeros((8, 8, 3), np.uint8))
            path = root / "labels" / split / f"{split} {k}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(labels)
    (root / "data.yaml").write_text(yaml)
    lists = {split: sorted((root / "images" / split).iterdir()) for split in ("train", "val")}
    for split, files in lists.items():
        text = "".join(f"./images/{split}/{path.name}\n" for path in files)
        (root / f"{split}.txt").write_text(text)
    return root


@pytest.mark.parametrize(
    "yaml",
    [
        "train: images/train\nval: images/val\n",
        "train: ./images/train/\nval: ./images/val/\n",
        "path: ../datasets/mine\ntrain: images/train\nval: images/val\n",
        "path: /content/mine\ntrain: images/train\nval: images/val\n",
        "train: /content/mine/images/train\nval: /content/mine/images/val\n",
        "train: ../images/train\nval: ../images/val\n",
        "train: [images/train]\nval: [images/val]\n",
        "train: train.txt\nval: val.txt\n",
        "train: C:\\mine\\images\\train\nvalid: C:\\mine\\images\\val\n",
    ],
)
def test_paths_of_any_machine_lead_to_this_folder(tmp_path: Path, yaml: str) -> None:
    root = write(tmp_path / "mine", yaml + NAMES)
    train, val = (open_dataset(str(root), split) for split in ("train", "val"))
    assert train.names == ("train 0", "train 1", "train 2")
    assert val.names == ("val 0", "val 1")
    labels = train[0].labels
    assert labels is not None
    assert int((labels == 2).sum()) == 16
    assert set(np.unique(labels)) == {0, 2}


@pytest.mark.parametrize("val", ["", "val: images/train\n"])
def test_without_validation_of_its_own_a_part_is_held_back(tmp_path: Path, val: str) -> None:
    root = write(tmp_path, f"train: images/train\n{val}{NAMES}")
    train, held = (open_dataset(str(root), split) for split in ("train", "val"))
    assert (len(train), len(held)) == (2, 1)
    assert not set(train.names) & set(held.names)


@pytest.mark.parametrize(
    ("yaml", "labels", "words"),
    [
        (NAMES, "1 0.5 0.5 0.2 0.2\n", r"val 0.txt, line 1: a box \(class, centre, size\)"),
        (NAMES, "7 0 0 1 0 1 1\n", "class '7' is in no `names` of data.yaml; expected 0 to 1"),
        (NAMES, "0 0 0 90 0 90 90\n", "in shares of 0 to 1"),
        (NAMES, "0 0 0 x 0 1 1\n", "expected points"),
        ("names: [box]\nnc: 2\n", SQUARE, "nc is 2, but names has 1"),
        ("", SQUARE, "no `names:`"),
        ("names: [box\n", SQUARE, "not YAML"),
    ],
)
def test_what_cannot_be_drawn_is_told(tmp_path: Path, yaml: str, labels: str, words: str) -> None:
    root = write(tmp_path, "train: images/train\nval: images/val\n" + yaml, labels)
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(str(root), "val")[0]
    assert "\n" not in str(caught.value)
