"""LabelMe's shapes, and the files around them."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

SIZE_HW = (20, 30)


def write(root: Path, shapes: list[dict[str, Any]], count: int = 2, **more: Any) -> Path:
    for k in range(count):
        write_png(root / f"{k}.png", np.full((*SIZE_HW, 3), k, np.uint8))
        data = {"shapes": shapes, "imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1], **more}
        (root / f"{k}.json").write_text(json.dumps(data))
    return root


def png(pixels: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ({"shape_type": "rectangle", "points": [[25, 15], [5, 5]]}, 200),
        ({"shape_type": "rectangle", "points": [[5, 5], [25, 5], [25, 15], [5, 15]]}, 200),
        ({"points": [[5, 5], [25, 5], [25, 15], [5, 15]]}, 200),
        ({"shape_type": "circle", "points": [[15, 10], [15, 6]]}, 52),
        ({"shape_type": "line", "points": [[0, 10], [30, 10]]}, 300),
        ({"shape_type": "linestrip", "points": [[0, 10], [30, 10]], "line_width": 2}, 60),
        ({"shape_type": "point", "points": [[15, 10]]}, 80),
        ({"shape_type": "mask", "points": [[5, 5], [8, 6]],
          "mask": png(np.full((2, 4), 255, np.uint8))}, 8),
        # What leaves the picture is cut.
        ({"shape_type": "rectangle", "points": [[20, 10], [90, 90]]}, 100),
    ],
)  # fmt: skip
def test_the_area_of_each_shape(tmp_path: Path, shape: dict[str, Any], area: int) -> None:
    labels = open_dataset(str(write(tmp_path, [{"label": "box", **shape}])), "test")[0].labels
    assert labels is not None
    assert int((labels == 1).sum()) == area


def test_a_later_shape_is_on_top_and_a_list_gives_order_and_void(tmp_path: Path) -> None:
    shapes = [
        {"label": name, "shape_type": "rectangle", "points": [[k, k], [20, 20]]}
        for k, name in enumerate(("tree", "box", "__ignore__"))
    ]
    write(tmp_path, shapes)
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ntree\nbox\n")
    data = open_dataset(str(tmp_path), "test")
    assert data.class_names == ("background", "tree", "box")
    labels = data[0].labels
    assert labels is not None
    assert [labels[k, k] for k in (0, 1, 2, 19)] == [1, 2, data.ignore_index, data.ignore_index]
    assert labels[0, 29] == 0


@pytest.mark.parametrize(
    ("shape", "more", "words"),
    [
        ({"shape_type": "blob", "points": [[1, 1]]}, {}, "shape_type 'blob' is unknown"),
        ({"points": [[1, 1], [2, 2]]}, {}, "a polygon of 2 points, expected 3"),
        ({"points": [[1, 1], [2, 2], [3, float("inf")]]}, {}, "expected points"),
        ({"points": [[1, 1], [9, 2], [3, 3]]}, {"imageWidth": 31}, "drawn on 20x31, its image is"),
        ({"shape_type": "mask", "points": [[1, 1], [2, 2]], "mask": "?"}, {}, "no base64 text"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    tmp_path: Path, shape: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    data = open_dataset(str(write(tmp_path, [{"label": "box", **shape}], **more)), "test")
    with pytest.raises(DataError, match=words) as caught:
        data[0]
    assert str(tmp_path) in str(caught.value)
