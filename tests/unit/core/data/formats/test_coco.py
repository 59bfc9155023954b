"""COCO's JSON: run lengths, crowds, several outlines, gaps in the ids, folders in folders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

SIZE_HW = (24, 32)
# What pycocotools 2.0 writes for this mask.
MASK = np.zeros(SIZE_HW, np.uint8)
MASK[3:20, 2:9] = MASK[5:7, 20:31] = MASK[23, 31] = 1
PACKED = "c1a0700000000000Z8AUH0000000000000000000b0O"


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, outside first."""
    flat = mask.ravel(order="F")
    ends = [*np.flatnonzero(np.diff(flat)) + 1, len(flat)]
    counts = np.diff([0, *ends]).tolist()
    return counts if flat[0] == 0 else [0, *counts]


def square(left: int, top: int, side: int) -> list[int]:
    right, bottom = left + side, top + side
    return [left, top, right, top, right, bottom, left, bottom]


def write(root: Path, instances: list[dict[str, Any]], **about: Any) -> Path:
    """Two pictures of one name in two folders; the instances are of the second."""
    images = []
    for number, folder in enumerate(("day", "night")):
        write_png(root / "images" / folder / "a 1.png", np.full((*SIZE_HW, 3), number, np.uint8))
        images.append({"id": 90 * number, "file_name": f"{folder}/a 1.png", **about})
    named = [{"id": 3, "name": "box"}, {"id": 90, "name": "person"}, {"id": 44, "name": "cat"}]
    for number, one in enumerate(instances):
        one.update({"id": number, "image_id": 90})
    data = {"images": images, "annotations": instances, "categories": named}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_default.json").write_text(json.dumps(data))
    return root


def labels_of(root: Path) -> np.ndarray:
    data = open_dataset(str(root), "test")
    assert data.class_names == ("background", "box", "cat", "person")
    assert data.names == ("day_a 1", "night_a 1")
    first, second = data[0], data[1]
    assert first.labels is not None
    assert not first.labels.any()
    assert int(second.rgb.max()) == 1
    assert second.labels is not None
    return np.asarray(second.labels)


@pytest.mark.parametrize("counts", [runs(MASK), PACKED], ids=["list", "text"])
@pytest.mark.parametrize("crowd", [0, 1])
def test_run_lengths_are_pycocotools_and_a_crowd_is_void(
    tmp_path: Path, counts: object, crowd: int
) -> None:
    shape = {"size": list(SIZE_HW), "counts": counts}
    root = write(tmp_path, [{"category_id": 90, "iscrowd": crowd, "segmentation": shape}])
    assert np.array_equal(labels_of(root), MASK * (255 if crowd else 3))


def test_outlines_of_one_instance_are_one_and_the_smaller_instance_is_on_top(
    tmp_path: Path,
) -> None:
    small = {"category_id": 3, "segmentation": [square(2, 2, 3)]}
    large = {"category_id": 44, "segmentation": [square(0, 0, 8), square(20, 10, 4)]}
    crowd = {"category_id": 90, "iscrowd": 1, "segmentation": {"size": list(SIZE_HW), "counts": [
        0, SIZE_HW[0] * SIZE_HW[1]]}}  # fmt: skip
    root = write(tmp_path, [small, large, crowd], height=SIZE_HW[0], width=SIZE_HW[1])
    wanted = np.full(SIZE_HW, 255, np.uint8)
    wanted[0:8, 0:8] = wanted[10:14, 20:24] = 2
    wanted[2:5, 2:5] = 1
    assert np.array_equal(labels_of(root), wanted)


@pytest.mark.parametrize(
    ("instance", "about", "words"),
    [
        ({"category_id": 3, "bbox": [1, 1, 2, 2]}, {}, "a box without a mask"),
        ({"category_id": 3, "segmentation": [[1, 1, 2]]}, {}, "annotation 0: expected points"),
        ({"category_id": 3, "segmentation": {"size": [24, 32], "counts": [5, 5]}}, {},
         "run lengths that are not of 24x32 pixels"),
        ({"category_id": 3, "segmentation": {"size": [24, 32], "counts": "?\x7f"}}, {},
         "is in no run length of COCO"),
        ({"category_id": 3, "segmentation": [square(0, 0, 9)]}, {"height": 48, "width": 64},
         r"a 1\.png is listed as 48x64, its image is 24x32"),
        ({"category_id": 5, "segmentation": [square(0, 0, 9)]}, {},
         "category_id 5 is in no `categories`"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_told(
    tmp_path: Path, instance: dict[str, Any], about: dict[str, Any], words: str
) -> None:
    root = write(tmp_path, [instance], **about)
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(str(root), "test")[1]
    assert "instances_default.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(8))
def test_masks_that_pycocotools_packs_are_read_as_they_were(tmp_path: Path, seed: int) -> None:
    mask_api = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    rng = np.random.default_rng(seed)
    mask = (rng.random(SIZE_HW) < rng.random()).astype(np.uint8)
    if seed % 2:
        mask[:] = np.repeat(mask[::4], 4, axis=0)
    packed = mask_api.encode(np.asfortranarray(mask))
    shape = {"size": packed["size"], "counts": packed["counts"].decode()}
    root = write(tmp_path, [{"category_id": 3, "segmentation": shape}])
    assert np.array_equal(labels_of(root), mask)
