import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.core.data.image_list import check_image_list, image_file, image_list
from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.data.sampling import spread_indices
from edgeseg.core.data.views import Subset
from edgeseg.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> PairFolder:
    rng = np.random.default_rng(0)
    for name in "abcd":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 255, (6, 9, 3), dtype=np.uint8))
    pairs = tuple((tmp_path / f"{name}.png", None) for name in "abcd")
    return PairFolder("letters", pairs, ("x", "y"), ((0, 0, 0), (9, 9, 9)), 255)


def test_a_files_line_is_what_sha256sum_prints(folder: PairFolder) -> None:
    digest = hashlib.sha256(folder.pairs[2][0].read_bytes()).hexdigest()
    assert image_list(folder, [2]) == f"{digest}  c.png\n"
    assert image_list(Subset(folder, (3, 2), "some"), [1]) == f"{digest}  c.png\n"
    assert image_file(Subset(folder, (3, 2), "some"), 0) == folder.pairs[3][0]


def test_a_painted_sample_is_known_by_its_pixels() -> None:
    data = open_dataset("synthetic:2", "train", size_hw=(32, 48))
    digest = hashlib.sha256(data[1].rgb.tobytes()).hexdigest()
    assert image_list(data, [1]) == f"{digest}  {data[1].name}\n"
    assert check_image_list(image_list(data, [1, 0]), data) == [1, 0]


def test_a_list_is_checked_and_every_changed_image_named(folder: PairFolder) -> None:
    text = image_list(folder, [3, 0, 1])
    assert check_image_list(text, folder) == [3, 0, 1]
    cv2.imwrite(str(folder.pairs[0][0]), np.zeros((6, 9, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.png is another image now, b\.png is missing"):
        check_image_list(text, Subset(folder, (3, 0), "some"))
    with pytest.raises(DataError, match="line 1"):
        check_image_list("a.png\n", folder)


def test_indices_are_spread_and_never_repeated() -> None:
    assert spread_indices(10, 4) == [0, 2, 5, 7]
    assert spread_indices(3, 8) == [0, 1, 2]
    assert spread_indices(0, 8) == []
