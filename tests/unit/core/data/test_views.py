"""Views of a data set: some samples, another ignored label, the size of a network."""

import dataclasses
from pathlib import Path

import numpy as np

from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.synthetic import SyntheticDataset
from edgeseg.core.data.views import Fitted, Subset, filter_names, with_ignored
from edgeseg.core.spec import ModelSpec
from tests.data_folders import make_camvid


class Masked(SyntheticDataset):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        labels = sample.labels.copy()
        labels[:5, :9] = self.ignore_index
        return dataclasses.replace(sample, labels=labels)


class Unlabelled(SyntheticDataset):
    def __getitem__(self, index):
        return dataclasses.replace(super().__getitem__(index), labels=None)


def test_only_the_label_of_ignored_pixels_changes():
    data = Masked("val", 2, (48, 64), 0)
    view = with_ignored(data, 255)
    assert (view.ignore_index, view.class_names, len(view)) == (255, data.class_names, 2)
    before, after = data[1].labels, view[1].labels
    void = before == data.ignore_index
    np.testing.assert_array_equal(after[~void], before[~void])
    assert void.sum() == 45
    assert (after[void] == 255).all()
    assert after.dtype == np.uint8


def test_nothing_is_wrapped_without_need_and_frames_without_labels_stay_so():
    data = Unlabelled("val", 2, (48, 64), 0)
    assert with_ignored(data, data.ignore_index) is data
    assert with_ignored(data, 255)[0].labels is None


def test_a_fitted_frame_is_what_the_device_sees_with_void_around_it():
    data = Masked("val", 2, (96, 96), 0)
    spec = ModelSpec("unet", class_names=data.class_names, size_hw=(48, 64))
    sample = Fitted(data, spec)[1]
    assert sample.rgb.shape == (48, 64, 3)
    assert sample.labels.shape == (48, 64)
    assert (sample.labels[:, :8] == data.ignore_index).all()
    assert (sample.rgb[:, :8] == 114).all()
    np.testing.assert_array_equal(sample.labels[10:, 8:56], data[1].labels[21::2, 1::2])
    own = Fitted(data, ModelSpec("unet", class_names=data.class_names, size_hw=(96, 96)))[1]
    np.testing.assert_array_equal(own.labels, data[1].labels)


def test_filter_names_reads_nothing(tmp_path: Path) -> None:
    dataset = open_dataset(str(make_camvid(tmp_path)))
    (tmp_path / "val" / "0016E5_00001.png").write_bytes(b"damaged")
    kept = filter_names(dataset, lambda name: name.endswith("2"))
    assert isinstance(kept, Subset)
    assert kept.names == ("0016E5_00002",)
    assert kept[0].name == "0016E5_00002"
    assert (kept.class_names, kept.palette, kept.ignore_index) == (
        dataset.class_names, dataset.palette, dataset.ignore_index,
    )  # fmt: skip
