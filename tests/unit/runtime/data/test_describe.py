"""Which pictures are pointed at, on pictures where that is known."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.census import take_census
from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
from edgeseg.runtime.data.describe import doubtful_masks, look_alikes, shift_of, telling_pictures


def scene(at: int, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of one bright box and its mask."""
    labels = np.zeros((height, width), np.uint8)
    labels[30 : 30 + at, 40 : 40 + at] = 1
    noise = np.random.default_rng(at).integers(0, 12, (height, width), np.uint8)
    grey = (np.where(labels, 200, 40) + noise).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2), labels


@pytest.mark.parametrize(("right", "down"), [(8, 0), (0, -8), (8, 8)])
def test_a_moved_mask_is_told_by_how_much(right: int, down: int) -> None:
    rgb, labels = scene(40)
    assert shift_of(rgb, labels) is None
    assert shift_of(rgb, np.roll(labels, (down, right), (0, 1))) == (right, down)


def test_pictures_are_pointed_at_for_what_they_show(tmp_path: Path) -> None:
    for k, at in enumerate((10, 40, 20, 30, 24, 28)):
        rgb, labels = scene(at)
        if k == 3:
            labels[:20] = 255
        if k == 4:
            labels[:] = 0
        write_png(tmp_path / "images" / f"{k}.png", scene(20)[0] if k == 5 else rgb)
        write_png(tmp_path / "masks" / f"{k}.png", labels)
    (tmp_path / "classes.txt").write_text("floor\nbox\n")
    whole = take_census(open_dataset(str(tmp_path), "test"))
    why = {pointed.index: pointed.why for pointed in telling_pictures([whole])}
    assert why[1].startswith("box is largest: 13.0 %")
    assert why[4] == "floor is largest: 100.0 %"
    assert why[3].startswith("most void: 20.8 %")
    assert why[0] == "smallest box: 100 pixels"
    doubtful = {pointed.index: pointed.why for pointed in doubtful_masks(whole)}
    assert doubtful == {4: "all floor"}
    parts = [take_census(open_dataset(str(tmp_path), split)) for split in ("train", "val")]
    ((one, other),) = look_alikes(*parts)
    assert (one.dataset.names[one.index], other.dataset.names[other.index]) == ("2", "5")
