"""Pictures and masks on disk: what is refused when a pair is read."""

from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.masks import MaskRule, read_mask
from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.pairs import PairFolder, pair_by_stem, pair_files
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


def test_unknown_labels_are_listed_up_to_eight(tmp_path: Path) -> None:
    write_png(tmp_path / "m.png", np.arange(20, dtype=np.uint8).reshape(4, 5))
    with pytest.raises(DataError, match=r"unknown labels 3, 4, 5, 6, 8, 9, 10, 11, \.\.\.;"):
        read_mask(tmp_path / "m.png", MaskRule(3, 7))
    read_mask(tmp_path / "m.png", MaskRule(19, 19))


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


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("f3.jpg", "f3_mask.png"),
        ("f3.jpg", "f3_L.png"),
        ("f3.jpg", "f3.jpg.png"),
        ("f3.jpg", "f3-label.png"),
        ("a_000019_leftImg8bit.png", "a_000019_gtFine_labelIds.png"),
        ("Straße am Bäcker 1.JPG", "Strasse.png"),
        ("my photo 1.jpg", "my photo 1.png"),
        ("Stra\u00dfe \u00e4.jpg", "Stra\u00dfe a\u0308_mask.png"),
        ("seq1/f3.jpg", "seq1/f3.png"),
        ("f3.jpg", "deeper/f3.png"),
    ],
)
def test_masks_are_found_by_what_tools_call_them(tmp_path: Path, image: str, mask: str) -> None:
    touch(tmp_path, f"images/{image}", f"masks/{mask}", "masks/other.png")
    ((_, found),) = pair_files(tmp_path / "images", tmp_path / "masks")
    expected = None if mask == "Strasse.png" else tmp_path / "masks" / mask
    assert found == expected


def test_an_own_name_goes_before_a_suffix_and_a_place_before_a_name(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/a_mask.jpg", "masks/a.png", "masks/a_mask.png")
    pairs = pair_files(tmp_path / "images", tmp_path / "masks")
    assert [mask.name for _, mask in pairs if mask] == ["a.png", "a_mask.png"]
    touch(tmp_path, "i/1/f.jpg", "i/2/f.jpg", "m/1/f.png", "m/3/f.png")
    pairs = pair_files(tmp_path / "i", tmp_path / "m")
    assert [mask for _, mask in pairs] == [tmp_path / "m/1/f.png", None]
    folder = PairFolder("x", tuple(pairs), ("a", "b"), ((0, 0, 0), (1, 1, 1)), 255)
    assert folder.names == ("1_f", "2_f")


def test_missing_masks_are_counted_with_both_ways_out(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{k}.jpg" for k in range(5)), "masks/3.png", "masks/4.png")
    with pytest.raises(DataError) as caught:
        pair_by_stem(tmp_path / "images", tmp_path / "masks")
    assert str(caught.value) == (
        f"{tmp_path}/images/0.jpg: no mask of that name in {tmp_path}/masks; 3 of 5 pictures have "
        "none; leave them out with --unlabelled skip, or take them as all background (the class of "
        "label 0) with --unlabelled background"
    )
