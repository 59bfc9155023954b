"""Every data format tells its own folders from others, and says what is missing."""

from pathlib import Path

import pytest

from edgeseg.core.data.formats.base import Format, ReadOptions
from edgeseg.core.data.open import FORMATS, load_format, open_dataset
from edgeseg.errors import DataError


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_folder_has_no_format_and_cannot_be_opened(name: str, tmp_path: Path) -> None:
    layout = load_format(name)
    assert isinstance(layout, Format)
    assert layout.recognize(tmp_path) is None
    with pytest.raises(DataError) as caught:
        layout.open(tmp_path, "train", ReadOptions())
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_no_format_gets_all_of_them_named(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(DataError) as caught:
        open_dataset(str(tmp_path), "val")
    for name in FORMATS:
        assert f"{name}: {load_format(name).tree}" in str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_described_in_one_line(name: str) -> None:
    assert load_format(name).tree
    assert "\n" not in load_format(name).tree
