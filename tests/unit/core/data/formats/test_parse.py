"""The files by which public data sets name their classes."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

COLOURS = np.array([(0, 0, 0), (0, 0, 255), (0, 255, 0), (9, 9, 9)], np.uint8)
INDICES = np.array([[0, 1], [2, 3]], np.uint8).repeat(4, 0).repeat(4, 1)
FILES = {
    "class_dict.csv": 'name,r,g,b\ngrass,0,0,0\nroad,0,0,255\n"box, large",0,255,0\nVoid,9,9,9\n',
    "label_colors.txt": "0 0 0\tgrass\n0 0 255\troad\n0 255 0\tbox, large\n9 9 9\tVoid\n",
    "codes.txt": "grass\nroad\nbox, large\nVoid\n",
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("folders", ["train/train_labels", "images/masks", "images/labels"])
def test_classes_come_from_the_file_that_lies_there(
    tmp_path: Path, file: str, folders: str
) -> None:
    images, masks = folders.split("/")
    for k in range(3):
        write_png(tmp_path / images / f"f{k}.png", np.zeros((8, 8, 3), np.uint8))
        mask = INDICES if file == "codes.txt" else COLOURS[INDICES]
        write_png(tmp_path / masks / f"f{k}_L.png", mask)
    (tmp_path / file).write_text(FILES[file])
    data = open_dataset(str(tmp_path), "train")
    assert data.class_names == ("grass", "road", "box, large")
    labels = data[0].labels
    assert labels is not None
    assert np.array_equal(labels, np.where(INDICES == 3, data.ignore_index, INDICES))


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("class_dict.csv", "name,r,g,b\ngrass,0,0\n", "line 2: expected `floor,128,64,0`"),
        ("class_dict.csv", "a,0,0,0\nb,0,0,0\n", r"\(0, 0, 0\) is there twice"),
        ("label_colors.txt", "0 0 0 grass\nroad\n", "line 2: expected `128 64 0 floor`"),
        ("codes.txt", "grass\n", "1 classes besides void, expected 2 to 255"),
    ],
)
def test_a_file_that_names_none_is_told(tmp_path: Path, file: str, text: str, words: str) -> None:
    write_png(tmp_path / "images" / "a.png", np.zeros((8, 8, 3), np.uint8))
    write_png(tmp_path / "masks" / "a.png", INDICES)
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=words):
        open_dataset(str(tmp_path), "test")
