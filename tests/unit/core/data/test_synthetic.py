"""The splits of the synthetic data set."""

from edgeseg.core.data.open import open_dataset


def test_synthetic_train_mixes_streets_and_val_is_one_other_drive() -> None:
    train, val = (
        open_dataset("synthetic:30", split, size_hw=(32, 40)) for split in ("train", "val")
    )
    streets = {name.split("_")[0] for name in train.names}
    assert len(streets) == 12
    assert len({name.split("_")[0] for name in val.names}) == 1
    assert streets.isdisjoint({name.split("_")[0] for name in val.names})
    assert len(set(train.names)) == 30
    other = open_dataset("synthetic:30", "train", size_hw=(32, 40), seed=1)
    assert streets.isdisjoint({name.split("_")[0] for name in other.names})
