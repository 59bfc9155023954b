import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.errors import UsageError
from edgeseg.host.training.augment import Augment, Crop, paste_classes, training_crop

GEOMETRY_ONLY = Augment(crop_hw=(64, 96), photometry="none", blackout=0.0)


@pytest.fixture
def street():
    """A picture whose red channel is its label times 20, so that the two can be compared."""
    labels = np.repeat(np.repeat(np.arange(60, dtype=np.uint8).reshape(6, 10) % 11, 20, 0), 16, 1)
    rgb = np.stack([labels * 20, labels * 0 + 90, 255 - labels * 20], -1).astype(np.uint8)
    return rgb, labels


def crops(street, augment, count=40):
    return [
        training_crop(*street, augment, np.random.default_rng(seed), ignore_index=11)
        for seed in range(count)
    ]


def test_picture_and_labels_move_together(street):
    agree = []
    for crop in crops(street, GEOMETRY_ONLY):
        inside = crop.labels != 11
        agree.append(np.abs(crop.rgb[..., 0].astype(int) - crop.labels * 20.0)[inside] <= 10)
    # Interpolation mixes neighbours at the borders of the blocks only.
    assert np.concatenate(agree).mean() > 0.85


def test_the_same_generator_gives_the_same_crop(street):
    augment = Augment(crop_hw=(64, 96))
    first, again = crops(street, augment, 5), crops(street, augment, 5)
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.rgb, two.rgb)
        assert np.array_equal(one.labels, two.labels)
    assert not np.array_equal(first[0].rgb, first[1].rgb)


def test_photometry_changes_colours_but_never_labels(street):
    plain = Augment(crop_hw=(64, 96), photometry="none", rare_crops=0, blackout=0)
    strong = Augment(crop_hw=(64, 96), photometry="strong", rare_crops=0, blackout=0)
    for crop in crops(street, strong):
        assert set(np.unique(crop.labels)) <= set(range(12))
    brightness = [crop.rgb.mean() for crop in crops(street, strong)]
    assert np.std(brightness) > 2 * np.std([crop.rgb.mean() for crop in crops(street, plain)])


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 6))
def test_pasted_classes_come_whole_and_with_their_picture(seed, classes):
    rng = np.random.default_rng(seed)
    statistics = np.zeros(3), np.ones(3)
    labels = rng.integers(0, classes, (2, 16, 24)).astype(np.uint8)
    labels[1, :2] = 11
    under, donor = (Crop(np.repeat(one[..., None] + k, 3, -1), one, *statistics)
                    for one, k in zip(labels, (0, 100), strict=True))  # fmt: skip
    mixed = paste_classes(under, donor, rng, ignore_index=11)
    over = mixed.rgb[..., 0] >= 100
    pasted = np.unique(donor.labels[over])
    assert len(pasted) == (len(np.unique(labels[1, 2:])) + 1) // 2
    assert np.array_equal(over, np.isin(donor.labels, pasted))
    assert not over[:2].any()
    assert np.array_equal(mixed.labels, np.where(over, donor.labels, under.labels))
    assert np.array_equal(mixed.rgb[..., 0], mixed.labels + 100 * over)


def test_a_donor_without_labels_gives_nothing():
    under, donor = (Crop(np.full((4, 6, 3), k, np.uint8), np.full((4, 6), k, np.uint8),
                         np.zeros(3), np.ones(3)) for k in (3, 11))  # fmt: skip
    mixed = paste_classes(under, donor, np.random.default_rng(0), ignore_index=11)
    assert np.array_equal(mixed.rgb, under.rgb)


def test_mixed_photometry_is_mild_for_some_crops_and_strong_for_others(street):
    grey = np.repeat(street[0][..., :1], 3, -1)

    def coloured(photometry):
        """Share of crops that are not grey any more: only strong changes the white balance."""
        augment = Augment(crop_hw=(64, 96), photometry=photometry, blackout=0)
        found = [np.ptp(crop.rgb, axis=-1).mean() > 2 for crop in crops((grey, street[1]), augment)]
        return np.mean(found)

    assert coloured("mild") == 0
    assert coloured("strong") > 0.6
    assert 0.2 < coloured("mixed") < 0.6


def test_rare_crops_show_a_rare_class_more_often():
    labels = np.zeros((360, 480), np.uint8)
    labels[300:312, 400:412] = 6
    rgb = np.zeros((360, 480, 3), np.uint8)
    share = {}
    for rare in (0.0, 1.0):
        augment = Augment(crop_hw=(96, 128), rare_crops=rare, blackout=0, photometry="none")
        share[rare] = np.mean([(c.labels == 6).any() for c in crops((rgb, labels), augment, 100)])
    assert share[1.0] > share[0.0] + 0.2


def test_statistics_are_those_of_the_whole_frame(street):
    rgb, _ = street
    for crop in crops(street, GEOMETRY_ONLY, 5):
        np.testing.assert_allclose(crop.mean, rgb.reshape(-1, 3).mean(0) / 255, atol=0.01)
        np.testing.assert_allclose(crop.std, rgb.reshape(-1, 3).std(0) / 255, atol=0.03)


def test_blackout_marks_its_rectangle_void(street):
    augment = Augment(crop_hw=(64, 96), scale=(1.0, 1.0), blackout=1.0, photometry="none")
    assert all((crop.labels == 11).any() for crop in crops(street, augment, 10))


@pytest.mark.parametrize(
    "bad",
    [
        {"crop_hw": (8, 8)},
        {"scale": (2.0, 1.0)},
        {"photometry": "x"},
        {"classmix": float("nan")},
        {"blackout": 1.5},
    ],
)
def test_impossible_values_are_refused(bad):
    with pytest.raises(UsageError):
        Augment(**bad)


def test_a_mirrored_whole_frame_is_its_mirror_image_to_the_pixel(street):
    rgb, labels = street
    whole = Augment(
        crop_hw=labels.shape,
        scale=(1.0, 1.0),
        aspect=1.0,
        rotate=0.0,
        photometry="none",
        blackout=0,
    )
    kinds = set()
    for crop in crops(street, whole, 8):
        mirrored = not np.array_equal(crop.labels, labels)
        kinds.add(mirrored)
        step = -1 if mirrored else 1
        assert np.array_equal(crop.labels, labels[:, ::step])
        assert np.array_equal(crop.rgb, rgb[:, ::step])
    assert kinds == {True, False}
