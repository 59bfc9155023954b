"""Reads the text files of labelling tools, each bounded before it is parsed."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.data.classes import VOID_NAMES, Classes, make_classes, read_classes
from edgeseg.core.data.masks import Colour
from edgeseg.core.data.read_options import ReadOptions
from edgeseg.errors import DataError

MB = 1024 * 1024
# COCO's own training file has 450 MB; one LabelMe file may hold its picture in base64.
LARGEST_COCO, LARGEST_LABELME, LARGEST_TEXT, LARGEST_YAML = 1024 * MB, 256 * MB, 16 * MB, MB
VOID = (*VOID_NAMES, "__ignore__")


def read_text(path: Path, largest: int = LARGEST_TEXT) -> str:
    """Return a text file, without a byte order mark.

    Args:
        path: the file.
        largest: how many bytes it may have.

    Raises:
        DataError: the file is missing, larger than that or not UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > largest:
            raise DataError(
                f"{path}: {size / MB:.1f} MB, expected at most {largest // MB} MB; split the export"
            )
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; export the data set again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save it as UTF-8") from error


def read_json(path: Path, largest: int) -> dict[str, Any]:
    """Return the object of a JSON file.

    Args:
        path: the file.
        largest: how many bytes it may have.

    Raises:
        DataError: missing, too large, no JSON (cut off, say), or no object.
    """
    text = read_text(path, largest)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: not whole JSON ({error}); export the annotations again"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: a JSON {type(value).__name__}, expected an object {{...}}")
    return value


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping of a YAML file, read by a loader that makes plain values alone.

    Raises:
        DataError: missing, too large, no YAML or no mapping, or PyYAML is not installed.
    """
    text = read_text(path, LARGEST_YAML)
    try:
        import yaml
    except ImportError as error:
        raise DataError(f"{path}: reading it needs PyYAML; pip install 'edgeseg[data]'") from error
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{path}: not YAML ({said}); export the data set again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected `key: value` lines such as `names: [box, person]`")
    return value


def named_classes(
    where: Path,
    names: Sequence[str],
    colours: Sequence[Colour] | None = None,
    values: Sequence[Sequence[int]] | None = None,
) -> Classes:
    """Return the classes that a tool's file lists; a void name is the ignored label.

    Args:
        where: the file, for messages.
        names: as the file lists them.
        colours: RGB 0-255 of each.
        values: the values that each name has in masks; None: its place.

    Raises:
        DataError: a name or a colour is there twice, or there are fewer than 2 or more than 255
            classes.
    """
    for items in (names, colours or ()):
        twice = next((item for k, item in enumerate(items) if item in items[:k]), None)
        if twice is not None:
            raise DataError(f"{where}: {twice!r} is there twice; give each class its own line")
    classes = make_classes(names, colours, void=VOID, values=values)
    if not 2 <= len(classes.names) <= 255:
        raise DataError(
            f"{where}: {len(classes.names)} classes besides void, expected 2 to 255; "
            "add the missing classes there, or give --classes FILE"
        )
    return classes


def own_classes(root: Path, options: ReadOptions) -> Classes | None:
    """Return the classes that a file of the data names, else None.

    The first of these that is there: the user's --classes file, classes.txt, class_dict.csv
    (`name,r,g,b`), label_colors.txt (`r g b name`), codes.txt (a name a line).

    Raises:
        DataError: the file is missing or malformed.
    """
    own = options.classes or root / "classes.txt"
    if options.classes or own.is_file():
        return read_classes(own)
    for name, read in (
        ("class_dict.csv", _class_dict),
        ("label_colors.txt", _label_colours),
        ("codes.txt", _codes),
    ):
        if (root / name).is_file():
            return read(root / name)
    return None


def asked_classes(root: Path, options: ReadOptions) -> Classes:
    """Return the classes that a file names, and ask for classes.txt where none is there.

    Raises:
        DataError: no file names them, or it is malformed.
    """
    return own_classes(root, options) or read_classes(root / "classes.txt")


def _class_dict(path: Path) -> Classes:
    """Read `name,r,g,b` lines, with or without a head."""
    names: list[str] = []
    colours: list[Colour] = []
    rows = csv.reader(read_text(path).splitlines(), skipinitialspace=True)
    for number, row in enumerate(rows, 1):
        words = [word.strip() for word in row]
        if not any(words) or (number == 1 and not words[-1].isdecimal()):
            continue
        shape = len(words) == 4 and words[0]
        if not shape or not all(word.isdecimal() and int(word) < 256 for word in words[1:]):
            raise DataError(f"{path}, line {number}: expected `floor,128,64,0`: a name and r,g,b")
        names.append(words[0])
        colours.append((int(words[1]), int(words[2]), int(words[3])))
    return named_classes(path, names, colours)


def _label_colours(path: Path) -> Classes:
    """Read `r g b name` lines, as CamVid's authors write them."""
    names: list[str] = []
    colours: list[Colour] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+(\S.*)", line.strip())
        if match is None or max(int(match[k]) for k in (1, 2, 3)) > 255:
            raise DataError(f"{path}, line {number}: expected `128 64 0 floor`: r g b and a name")
        names.append(match[4].strip())
        colours.append((int(match[1]), int(match[2]), int(match[3])))
    return named_classes(path, names, colours)


def _codes(path: Path) -> Classes:
    lines = [line.strip() for line in read_text(path).splitlines()]
    return named_classes(path, [line for line in lines if line])
