"""classes.txt: names, colours, void, and what is refused."""

from pathlib import Path

import pytest

from edgeseg.core.data.classes import GRAMMAR, hue_palette, make_classes, read_classes
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
        ("road 1 2\ncar\n", "line 1: `road 1 2` has two numbers; a colour is three"),
        (
            "0 floor\n1 car\n",
            r"line 1: `0 floor` begins with a number; write `floor` \(a line's place is its label, "
            r"from 0\), or `floor = 0` to give it that value in the masks",
        ),
        ("0: floor\n", "begins with a number; write `floor`"),
        ("7 = floor\nb\n", "begins with a number; write `floor`"),
        ("floor 0\ncar 1\n", "line 1: `floor 0` ends with a number; write `floor = 0`"),
        ("floor = 0\ncar\n", "class 'car' has no `= values` while others have"),
        ("floor = 0\ncar = 0\n", "line 2: value 0 is of 'floor' and of 'car'; give it to one"),
        ("floor = 0\ncar = x\n", "line 2: 'x' is no label value; write `name = 7,8`"),
        ("floor = 0\ncar =\n", "line 2: nothing after `=`; write `name = 7,8`"),
        ("= 0\ncar = 1\n", "line 1: no name before `=`"),
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
    assert classes.colours == ()
    assert len(set(hue_palette(20))) == 20


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"road 1 2 3\ncar 4 5 6\n")
    assert read_classes(path).names == ("road", "car")


def of(tmp_path: Path, text: str):
    path = tmp_path / "classes.txt"
    path.write_text(text)
    return read_classes(path)


def test_a_missing_file_is_asked_for_with_its_grammar(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_classes(tmp_path / "classes.txt")
    assert str(caught.value).endswith(f"No such file or directory; expected {GRAMMAR}")
    assert "`name = 7,8`" in GRAMMAR
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("void", ["void", "Ignore", "unlabeled", "unlabelled", "sky = void"])
def test_void_on_any_line_is_the_ignored_label(tmp_path: Path, void: str) -> None:
    first = of(tmp_path, f"{void}\nroad\ncar\n")
    assert first.names == ("road", "car")
    table = first.rule().labels_of_values()
    assert table == {0: 255, 1: 0, 2: 1, 255: 255}
    last = of(tmp_path, f"road\ncar\n{void}\n")
    assert last.rule().labels_of_values() == {0: 0, 1: 1, 2: 2, 255: 2}
    assert last.ignore_index == 2


def test_background_is_a_class_unless_the_user_ignores_it(tmp_path: Path) -> None:
    assert of(tmp_path, "background\nroad\ncar\n").names == ("background", "road", "car")
    assert of(tmp_path, "background = void\nroad\ncar\n").names == ("road", "car")


def test_values_merge_labels_and_need_no_order(tmp_path: Path) -> None:
    classes = of(
        tmp_path, "# ids\nroad 1 2 3 = 7, 8\ncar 4 5 6 = 26  # and no van\nvoid = 0-2,255\n"
    )
    assert classes.names == ("road", "car")
    assert classes.palette == ((1, 2, 3), (4, 5, 6))
    assert classes.rule().labels_of_values() == {7: 0, 8: 0, 26: 1, 0: 2, 1: 2, 2: 2, 255: 2}
    assert classes.explained
    assert of(tmp_path, "no = 0\nyes = 255\n").rule().labels_of_values() == {0: 0, 255: 1}


def test_names_may_have_numbers(tmp_path: Path) -> None:
    assert of(tmp_path, "zone 1\nzone 2\n").names == ("zone 1", "zone 2")


def test_a_layouts_classes_leave_void_out_wherever_it_stands() -> None:
    classes = make_classes(("unlabeled", "road", "car"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    assert classes.names == ("road", "car")
    assert classes.rule().labels_of_values() == {0: 255, 1: 0, 2: 1, 255: 255}
    assert classes.rule().labels_of_colours() == {(0, 0, 0): 255, (1, 1, 1): 0, (2, 2, 2): 1}
    assert make_classes(("road", "car")).values == ()
    merged = make_classes(("road", "car"), values=((7, 8), (26,)))
    assert merged.rule().labels_of_values() == {7: 0, 8: 0, 26: 1, 255: 255}
