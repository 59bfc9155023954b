"""Pictures and masks on disk: what is refused when a pair is read."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.pairs import check_labels, pair_by_stem
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError
from tests.data_folders import make_camvid


def test_bad_files_are_named_when_read(tmp_path: Path) -> None:
    dataset = open_dataset(str(make_camvid(tmp_path)))
    (tmp_path / "val" / "0016E5_00000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"val/0016E5_00000\.png: not an image"):
        dataset[0]
    write_png(tmp_path / "valannot" / "0016E5_00001.png", np.zeros((6, 9), np.uint8))
    with pytest.raises(DataError, match=r"00001\.png: the mask is 6x9, its image is 6x8"):
        dataset[1]
    write_png(tmp_path / "valannot" / "0016E5_00002.png", np.full((6, 8), 99, np.uint8))
    with pytest.raises(DataError, match=r"00002\.png: unknown labels 99; expected 0-10 or 11"):
        dataset[2]


def test_unknown_labels_are_listed_up_to_eight() -> None:
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    with pytest.raises(DataError, match=r"unknown labels 3, 4, 5, 6, 8, 9, 10, 11, \.\.\.;"):
        check_labels(Path("m.png"), labels, (4, 5), 3, 7)
    check_labels(Path("m.png"), labels, (4, 5), 19, 19)


def test_a_folder_and_a_list_of_files_are_paired_alike(tmp_path: Path) -> None:
    for name in ("images/a.jpg", "images/b.png", "masks/a.png", "masks/b.tif", "masks/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images, masks = tmp_path / "images", tmp_path / "masks"
    pairs = pair_by_stem(images, masks)
    assert [(image.name, mask.name) for image, mask in pairs if mask] == [
        ("a.jpg", "a.png"),
        ("b.png", "b.tif"),
    ]
    assert pair_by_stem([images / "b.png"], masks) == pairs[1:]
    (masks / "a.bmp").touch()
    with pytest.raises(DataError, match=r"a\.bmp and .*a\.png have one name"):
        pair_by_stem([images / "b.png"], masks)
