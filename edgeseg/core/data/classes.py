"""classes.txt: a user's names, colours and label values for the pixels of masks, and void.

The grammar, one class a line:

    floor                   # label 0: a line's place is its label
    pallet 200 120 40       # and its colour, in masks and in pictures
    person = 7, 8           # or the values that the class has in the masks
    void                    # ignored; also ignore, unlabeled, unlabelled
    background = void       # any other name, ignored because the user says so

Either every class has `= values` or none has. `#` begins a comment.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeseg.core.data.masks import Colour, MaskRule
from edgeseg.errors import DataError

VOID_NAMES = ("void", "ignore", "unlabeled", "unlabelled")
GRAMMAR = (
    "a line per class in label order: `name`, `name r g b` (its colour), or `name = 7,8` (its "
    "values in the masks); `void` on a line is ignored, as is `background = void`; # begins a "
    "comment"
)
LARGEST_VALUE = 65535


@dataclasses.dataclass(frozen=True)
class Classes:
    """What classes.txt says.

    Attributes:
        names: in label order, void left out.
        palette: RGB 0-255 per name.
        ignore_index: the label of void.
        values: pairs of a mask's value and its label; empty: every label stands for itself.
        colours: pairs of a mask's colour and its label, void's included; empty where none is
            listed.
        explained: the file says what the values of masks are, so that no guess is made.
        ignored: names of void that a line of the file has.
    """

    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    ignore_index: int = 255
    values: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[Colour, int], ...] = ()
    explained: bool = False
    ignored: tuple[str, ...] = ()

    def rule(self) -> MaskRule:
        """Return how masks are read by these classes."""
        return MaskRule(len(self.names), self.ignore_index, self.values, self.colours)


@dataclasses.dataclass(frozen=True)
class _Line:
    number: int
    name: str
    colour: Colour | None
    values: tuple[int, ...] | None
    void: bool


def read_classes(path: Path) -> Classes:
    """Read classes.txt; the module's first lines give its grammar.

    Raises:
        DataError: the file is missing or empty, or a line is malformed; the message has the line's
            number and the right form.
    """
    try:
        # Windows' editors begin a file with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; expected {GRAMMAR}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; expected {GRAMMAR}") from error
    return parse_classes(text, str(path))


def parse_classes(text: str, where: str) -> Classes:
    """Read the text of a classes.txt.

    Args:
        text: the lines.
        where: what messages call the file.

    Raises:
        DataError: as `read_classes`.
    """
    lines = [
        _parsed(words, f"{where}, line {number}", number)
        for number, line in enumerate(text.splitlines(), 1)
        if (words := line.split("#", 1)[0].strip())
    ]
    _check(lines, where)
    shown = [line for line in lines if not line.void]
    if not 2 <= len(shown) <= 255:
        raise DataError(f"{where}: {len(shown)} classes, expected 2 to 255; {GRAMMAR}")
    listed = [line.colour for line in shown if line.colour is not None]
    labels = dict(zip([line.name for line in shown], range(len(shown)), strict=True))
    last_void = lines[-1].void and not any(line.void for line in lines[:-1])
    ignore = len(shown) if last_void else 255
    by_label = [(line, labels.get(line.name, ignore)) for line in lines]
    values = [(value, label) for line, label in by_label for value in line.values or ()]
    places = [(place, label) for place, (_, label) in enumerate(by_label)]
    if not values and not last_void and any(line.void for line in lines):
        values = places
    return Classes(
        names=tuple(line.name for line in shown),
        palette=tuple(listed) if len(listed) == len(shown) else hue_palette(len(shown)),
        ignore_index=ignore,
        values=tuple(values),
        colours=tuple((line.colour, label) for line, label in by_label if line.colour is not None),
        explained=any(line.values for line in lines),
        ignored=tuple(line.name for line in lines if line.void),
    )


def make_classes(
    names: Sequence[str],
    colours: Sequence[Colour] | None = None,
    *,
    void: Iterable[str] = VOID_NAMES,
    values: Sequence[Sequence[int]] | None = None,
) -> Classes:
    """Return classes that a layout implies, in the order of its labels.

    Args:
        names: in label order; those in `void` are ignored, wherever they stand.
        colours: RGB 0-255 of each name, where masks are colours or the tool lists them.
        void: names that mean the ignored label, in lower case.
        values: the values that each name has in masks; None: its place in `names`.
    """
    ignored = [name.strip().lower() in set(void) for name in names]
    shown = [name for name, out in zip(names, ignored, strict=True) if not out]
    label = {name: place for place, name in enumerate(shown)}
    by_name = [255 if out else label[name] for name, out in zip(names, ignored, strict=True)]
    held = values if values is not None else [[place] for place in range(len(names))]
    pairs = tuple((value, at) for own, at in zip(held, by_name, strict=True) for value in own)
    kept = [c for c, out in zip(colours or (), ignored, strict=False) if not out]
    return Classes(
        names=tuple(shown),
        palette=tuple(kept) if colours else hue_palette(len(shown)),
        values=() if all(value == at for value, at in pairs) else pairs,
        colours=tuple(zip(colours, by_name, strict=True)) if colours else (),
        explained=values is not None,
    )


def classes_text(classes: Classes) -> str:
    """Return the classes.txt of masks that hold these classes' labels."""
    lines = [
        f"{name} {red} {green} {blue}\n"
        for name, (red, green, blue) in zip(classes.names, classes.palette, strict=True)
    ]
    return "".join(lines)


def _parsed(text: str, where: str, number: int) -> _Line:
    left, equals, right = (part.strip() for part in text.partition("="))
    words = left.split()
    values: tuple[int, ...] | None = None
    ignored = False
    if equals and not words:
        raise DataError(f"{where}: no name before `=`; write `name = 7,8`")
    first = re.fullmatch(r"(\d+)[:.,;)]?", words[0])
    if first and (len(words) > 1 or equals):
        name = " ".join(words[1:]) or right
        raise DataError(
            f"{where}: `{text}` begins with a number; write `{name}` (a line's place is its label, "
            f"from 0), or `{name} = {first[1]}` to give it that value in the masks"
        )
    if re.search(r"\d\s*[,;]\s*\d", left):
        raise DataError(
            f"{where}: a colour is three numbers with spaces between, such as sky 70 130 180"
        )
    if equals:
        ignored = right.lower() in VOID_NAMES
        values = None if ignored else _values(right, where)
    # Python refuses to read a number of more than 4,300 digits.
    numbers = [word for word in words[1:] if re.fullmatch("[0-9]{1,9}", word)]
    colour: Colour | None = None
    if len(words) > 3 and len(numbers) >= 3 and words[-3:] == numbers[-3:]:
        red, green, blue = (int(word) for word in words[-3:])
        if max(red, green, blue) > 255:
            raise DataError(f"{where}: a colour value is above 255")
        words, colour = words[:-3], (red, green, blue)
    elif len(words) == 3 and words[1:] == numbers:
        raise DataError(f"{where}: `{text}` has two numbers; a colour is three, `name r g b`")
    name = " ".join(words)
    return _Line(number, name, colour, values, ignored or name.lower() in VOID_NAMES)


def _values(text: str, where: str) -> tuple[int, ...]:
    """Return the values of `7, 8` or `0-6`."""
    values: list[int] = []
    for part in text.replace(",", " ").split():
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        last = int(match[2] or match[1]) if match else -1
        if match is None or not int(match[1]) <= last <= LARGEST_VALUE:
            raise DataError(
                f"{where}: {part!r} is no label value; write `name = 7,8` with values of 0 to "
                f"{LARGEST_VALUE}, or `name = void`"
            )
        values += range(int(match[1]), last + 1)
    if not values:
        raise DataError(f"{where}: nothing after `=`; write `name = 7,8`")
    return tuple(values)


def _check(lines: Sequence[_Line], where: str) -> None:
    """Refuse what two lines say against each other."""
    seen: dict[str, _Line] = {}
    values: dict[int, str] = {}
    colours: dict[Colour, str] = {}
    for line in lines:
        if line.name in seen:
            raise DataError(f"{where}, line {line.number}: class {line.name!r} is there twice")
        seen[line.name] = line
        for value in line.values or ():
            other = values.setdefault(value, line.name)
            if other != line.name:
                raise DataError(
                    f"{where}, line {line.number}: value {value} is of {other!r} and of "
                    f"{line.name!r}; give it to one"
                )
        if line.colour is not None and colours.setdefault(line.colour, line.name) != line.name:
            raise DataError(
                f"{where}: two classes have the same colour, {colours[line.colour]!r} and "
                f"{line.name!r}"
            )
    shown = [line for line in lines if not line.void]
    lacking = [line.name for line in shown if line.colour is None]
    if colours and lacking:
        raise DataError(f"{where}: class {lacking[0]!r} has no colour while others have one")
    lacking = [line.name for line in shown if line.values is None]
    if any(line.values for line in lines) and lacking:
        raise DataError(
            f"{where}: class {lacking[0]!r} has no `= values` while others have; give it its "
            "values in the masks"
        )
    ends = [re.fullmatch(r"(.*\S)\s+(\d+)", line.name) for line in shown]
    found = [end for end in ends if end]
    if len(shown) > 1 and len(found) == len(shown) and len({end[1] for end in found}) > 1:
        numbers = [int(end[2]) for end in found]
        if len(set(numbers)) == len(numbers):
            raise DataError(
                f"{where}, line {shown[0].number}: `{shown[0].name}` ends with a number; write "
                f"`{found[0][1]} = {numbers[0]}` to give a class its value in the masks"
            )


def hue_palette(classes: int) -> tuple[Colour, ...]:
    """Return distinct colours for classes that come without any: hues by the golden angle."""
    turns = [2.39996 * k for k in range(classes)]
    shares = [[127.5 + 100 * math.cos(turn + 2.0944 * c) for c in range(3)] for turn in turns]
    return tuple((int(red), int(green), int(blue)) for red, green, blue in shares)
