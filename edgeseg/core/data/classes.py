"""classes.txt: a user's names and colours for the labels of masks, and the ignored label."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

from edgeseg.errors import DataError

Colour = tuple[int, int, int]

VOID_NAMES = ("void", "ignore", "unlabeled", "unlabelled")


@dataclasses.dataclass(frozen=True)
class Classes:
    """What classes.txt says.

    Attributes:
        names: in label order, void left out.
        palette: RGB 0-255 per name.
        ignore_index: the label of void.
        mask_palette: the colours listed, void's included; None when none are.
    """

    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    ignore_index: int
    mask_palette: tuple[Colour, ...] | None


def read_classes(path: Path) -> Classes:
    """Read classes.txt: a line per class, `name r g b` or just `name`, in label order.

    A last line named void, ignore or unlabeled gives the ignored label; without one it is 255.

    Raises:
        DataError: the file is missing, empty, or a line is malformed.
    """
    try:
        # Windows' editors begin a file with a byte order mark.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; expected a line `name r g b` per class"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text; expected a line `name r g b` per class"
        ) from error
    names: list[str] = []
    colours: list[tuple[int, int, int] | None] = []
    for number, line in enumerate(lines, 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if re.search(r"\d\s*[,;]\s*\d", line):
            raise DataError(
                f"{path}, line {number}: a colour is three numbers with spaces between, such as "
                "sky 70 130 180"
            )
        name, colour = " ".join(words), None
        if len(words) > 3 and all(word.isdigit() for word in words[-3:]):
            red, green, blue = (int(word) for word in words[-3:])
            if max(red, green, blue) > 255:
                raise DataError(f"{path}, line {number}: a colour value is above 255")
            name, colour = " ".join(words[:-3]), (red, green, blue)
        if name in names:
            raise DataError(f"{path}, line {number}: class {name!r} is there twice")
        names.append(name)
        colours.append(colour)
    listed = [colour for colour in colours if colour is not None]
    if listed and len(listed) < len(names):
        lacking = names[colours.index(None)]
        raise DataError(f"{path}: class {lacking!r} has no colour while others have one")
    if len(set(listed)) < len(listed):
        raise DataError(f"{path}: two classes have the same colour")
    has_void = bool(names) and names[-1].lower() in VOID_NAMES
    count = len(names) - has_void
    if not 2 <= count <= 255:
        raise DataError(f"{path}: {count} classes, expected 2 to 255 lines `name r g b`")
    return Classes(
        names=tuple(names[:count]),
        palette=tuple(listed[:count]) if listed else hue_palette(count),
        ignore_index=count if has_void else 255,
        mask_palette=tuple(listed) if listed else None,
    )


def hue_palette(classes: int) -> tuple[Colour, ...]:
    """Return distinct colours for classes that come without any: hues by the golden angle."""
    turns = [2.39996 * k for k in range(classes)]
    shares = [[127.5 + 100 * math.cos(turn + 2.0944 * c) for c in range(3)] for turn in turns]
    return tuple((int(red), int(green), int(blue)) for red, green, blue in shares)
