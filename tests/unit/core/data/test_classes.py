"""classes.txt: names, colours, void, and what is refused."""

from pathlib import Path

import pytest

from edgeseg.core.data.classes import hue_palette, read_classes
from edgeseg.errors import DataError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 classes, expected 2 to 255"),
        ("road 1 2 3\n", "1 classes"),
        ("road 1 2 300\ncar 1 2 3\n", "line 1: a colour value is above 255"),
        ("road 1 2 3\nroad 1 2 4\n", "line 2: class 'road' is there twice"),
        ("road 1 2 3\ncar 1 2 3\n", "two classes have the same colour"),
        ("road 1 2 3\ncar\n", "class 'car' has no colour"),
        ("road 1,2,3\ncar 4,5,6\n", "line 1: a colour is three numbers with spaces"),
    ],
)
def test_wrong_classes_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_classes(path)


def test_names_alone_get_distinct_colours(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("a\nb\nlong name\n")
    classes = read_classes(path)
    assert classes.names == ("a", "b", "long name")
    assert classes.palette == hue_palette(3)
    assert classes.mask_palette is None
    assert len(set(hue_palette(20))) == 20


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"road 1 2 3\ncar 4 5 6\n")
    assert read_classes(path).names == ("road", "car")
