"""Pascal VOC as it is unpacked: palettes, colours, the border, VOCdevkit, lists."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.data.formats.voc import VOC_BORDER, VOC_CLASSES, voc_colour
from edgeseg.core.data.open import open_dataset, recognize
from edgeseg.core.images.io import write_png
from edgeseg.errors import DataError

INDICES = np.array([[0, 15, 15, 255], [0, 7, 7, 255]], np.uint8).repeat(4, 0).repeat(4, 1)


def write_voc(root: Path, kind: str) -> Path:
    names = [f"2007_{number:06d}" for number in (32, 33, 39)]
    colours = [voc_colour(label) for label in range(256)]
    colours[255] = VOC_BORDER
    for name in (*names, "2008_000001"):
        write_png(root / "JPEGImages" / f"{name}.png", np.zeros((8, 16, 3), np.uint8))
    for name in names:
        path = root / "SegmentationClass" / f"{name}.png"
        if kind == "colours":
            write_png(path, np.array(colours, np.uint8)[INDICES])
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(INDICES)
        if kind == "palette":
            image.putpalette([part for colour in colours for part in colour])
        image.save(path)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(names[:2]) + "\n")
    (lists / "val.txt").write_text(names[2] + "\n")
    return root


@pytest.mark.parametrize("kind", ["palette", "colours", "indices"])
@pytest.mark.parametrize("place", ["", "VOC2012", "VOCdevkit/VOC2007"])
def test_every_form_has_the_same_labels(tmp_path: Path, kind: str, place: str) -> None:
    write_voc(tmp_path / place, kind)
    assert recognize(tmp_path)[0] == "voc"
    train, val = (open_dataset(str(tmp_path), split) for split in ("train", "val"))
    assert train.class_names == tuple(VOC_CLASSES)
    # Pictures that no list names, such as those without a mask, are left out.
    assert (train.names, val.names) == (("2007_000032", "2007_000033"), ("2007_000039",))
    labels = train[0].labels
    assert labels is not None
    assert train.ignore_index == 255
    assert np.array_equal(labels, INDICES)


def test_two_years_need_a_choice_and_own_pictures_their_classes(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        write_voc(tmp_path / "VOCdevkit" / year, "palette")
    with pytest.raises(DataError, match="no data layout is recognized there"):
        open_dataset(str(tmp_path))
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for part in ("JPEGImages", "SegmentationClass"):
        for path in (root / part).iterdir():
            path.rename(path.with_name(path.name.replace("_", "-")))
    for path in (root / "ImageSets" / "Segmentation").iterdir():
        path.write_text(path.read_text().replace("_", "-"))
    with pytest.raises(DataError, match="no picture of Pascal VOC, whose classes would be wrong"):
        open_dataset(str(root), "train")
