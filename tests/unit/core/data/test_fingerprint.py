"""Fingerprints: equal for equal content, different for anything that changes what is read."""

import dataclasses

import cv2
import numpy as np
import pytest

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.synthetic import SyntheticDataset
from edgeseg.core.data.views import Fitted, filter_names, limited, with_ignored
from edgeseg.core.spec import ModelSpec


def folder(root, seed=0):
    rng = np.random.default_rng(seed)
    for kind, shape in (("images", (8, 12, 3)), ("masks", (8, 12))):
        (root / kind / "train").mkdir(parents=True)
        for number in range(4):
            picture = rng.integers(0, 3, shape).astype(np.uint8)
            cv2.imwrite(str(root / kind / "train" / f"{number}.png"), picture)
    (root / "classes.txt").write_text("a\nb\nc\n")
    return open_dataset(str(root), "train")


def test_equal_files_are_equal_data_wherever_they_lie(tmp_path):
    one, two = folder(tmp_path / "x" / "d"), folder(tmp_path / "y" / "d")
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != folder(tmp_path / "z" / "d", seed=1).fingerprint()


def test_a_mask_and_a_choice_of_images_count(tmp_path):
    data = folder(tmp_path / "d")
    whole = data.fingerprint()
    some = {limited(data, 2).fingerprint(), filter_names(data, lambda n: n == "3").fingerprint()}
    assert len(some | {whole}) == 3
    assert with_ignored(limited(data, 2), 7).fingerprint() in some
    cv2.imwrite(str(tmp_path / "d" / "masks" / "train" / "2.png"), np.ones((8, 12), np.uint8))
    assert open_dataset(str(tmp_path / "d"), "train").fingerprint() != whole


def test_how_the_masks_are_read_counts(tmp_path):
    data = folder(tmp_path / "d")
    whole = data.fingerprint()
    (tmp_path / "d" / "classes.txt").write_text("a\nb\nother\n")
    assert open_dataset(str(tmp_path / "d"), "train").fingerprint() != whole
    (tmp_path / "d" / "classes.txt").write_text("a\nb\nvoid\n")
    assert open_dataset(str(tmp_path / "d"), "train").fingerprint() != whole
    swapped = dataclasses.replace(data, pairs=data.pairs[::-1])
    assert swapped.fingerprint() != whole
    unlabelled = dataclasses.replace(data, pairs=tuple((image, None) for image, _ in data.pairs))
    assert unlabelled.fingerprint() != whole


def test_a_part_of_a_part_is_what_it_holds(tmp_path):
    data = folder(tmp_path / "d")
    part = filter_names(filter_names(data, lambda n: n != "0"), lambda n: n != "2")
    assert part.names == ("1",)
    assert part.fingerprint() == data.fingerprint([1])
    assert part.fingerprint([0]) == data.fingerprint([1])


def test_a_fitted_view_is_known_by_its_size(tmp_path):
    data = folder(tmp_path / "d")
    named = {"class_names": data.class_names, "palette": data.palette}
    sizes = [ModelSpec("unet", **named, size_hw=size) for size in ((32, 32), (32, 64))]
    views = [Fitted(data, spec) for spec in sizes]
    assert len({data.fingerprint(), *(view.fingerprint() for view in views)}) == 3
    assert Fitted(limited(data, 1), sizes[0]).fingerprint() == views[0].fingerprint([0])


class Unpainted(SyntheticDataset):
    """The synthetic data set without the second that a street takes."""

    colour = 0

    def __getitem__(self, index):
        return Sample(self.names[index], np.full((4, 6, 3), self.colour, np.uint8), None)


def test_painted_frames_are_known_by_number_size_split_and_seed():
    first = ("train", 3, (48, 64), 0)
    others = [("train", 2, (48, 64), 0), ("train", 3, (48, 80), 0)]
    others += [("val", 3, (48, 64), 0), ("train", 3, (48, 64), 1)]
    hashes = [Unpainted(*wanted).fingerprint() for wanted in (first, *others, first)]
    assert len(set(hashes)) == len(others) + 1
    assert hashes[-1] == hashes[0]


def test_another_painter_gives_other_data():
    class Repainted(Unpainted):
        colour = 1

    split = ("val", 3, (48, 64), 0)
    assert Unpainted(*split).fingerprint() != Repainted(*split).fingerprint()
    painted = SyntheticDataset(*split)
    assert painted.fingerprint() == painted.fingerprint([0, 1, 2]) != painted.fingerprint([0, 1])


class InMemory:
    """Two frames of a user's own class."""

    name, class_names, palette, ignore_index = "own", ("a", "b"), ((0, 0, 0), (9, 9, 9)), 255
    fingerprint = digest_of_samples

    def __init__(self, values):
        self.values, self.names = values, tuple(map(str, values))

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        rgb = np.full((4, 6, 3), self.values[index], np.uint8)
        return Sample(self.names[index], rgb, None if index else rgb[..., 0] % 2)


@pytest.mark.parametrize("other", [(1, 3), (2, 1), (1,), ()])
def test_data_in_memory_of_one_name_is_told_apart(other):
    one = InMemory((1, 2))
    assert one.fingerprint() == InMemory((1, 2)).fingerprint()
    assert one.fingerprint() != InMemory(other).fingerprint()
    assert one.fingerprint([0]) == InMemory((1, 5)).fingerprint([0])
