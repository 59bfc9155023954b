"""Reads the text files of labelling tools, each bounded before it is parsed."""

from __future__ import annotations

import json
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
    """Return the classes of the user's --classes file or of classes.txt in `root`, else None.

    Raises:
        DataError: the file is missing or malformed.
    """
    own = options.classes or root / "classes.txt"
    return read_classes(own) if options.classes or own.is_file() else None
