"""Readers with limits: what a file says of its size is checked before it is unpacked.

A file from elsewhere may be damaged or hostile: three megabytes can unpack to three gigabytes, and
a thousand brackets end Python's stack. Each reader here ends in a result or in the one error class
that its caller names.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import EdgesegError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# protobuf takes no more; no network for an embedded board is near it.
GRAPH_BYTES = (2 << 30) - 1
# A report of a day's stream has 10 MB.
TEXT_BYTES = 64 << 20
# The arrays of a golden pair of the largest input, 4096x4096, have 70 MB.
ARRAYS_BYTES = 256 << 20
# Pillow's limit, 0.5 GB as RGB.
IMAGE_PIXELS = 178_956_970
IMAGE_BYTES = 256 << 20
# As Python's own parsers, which recurse.
DEPTH = 100
LARGEST = (1 << 64) - 1


def read_bytes(path: Path, error: type[EdgesegError], *, most: int, advice: str) -> bytes:
    """Return a file's content.

    Args:
        path: the file.
        error: class of the error.
        most: bytes that it may have.
        advice: what to do about a file that cannot be taken, for the message.

    Raises:
        EdgesegError: of the class `error`: it cannot be read or is larger.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except (OSError, ValueError) as found:
        why = found.strerror if isinstance(found, OSError) and found.strerror else str(found)
        raise error(f"{path} cannot be read ({why}); {advice}") from found
    if len(data) > most:
        raise error(f"{path} is larger than {_megabytes(most)}, the most that is read; {advice}")
    return data


def hashed_bytes(
    path: Path, sha256: str, error: type[EdgesegError], *, most: int, advice: str
) -> bytes:
    """Return a file's content if it has this SHA-256: what was checked is what is used.

    Raises:
        EdgesegError: of the class `error`: as read_bytes, or the content is another.
    """
    data = read_bytes(path, error, most=most, advice=advice)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise error(f"{path} has changed since it was checked ({found[:12]}…, was {sha256[:12]}…); "
                    f"{advice}")  # fmt: skip
    return data


def read_text(
    path: Path,
    error: type[EdgesegError],
    *,
    advice: str,
    most: int = TEXT_BYTES,
    errors: str = "strict",
) -> str:
    """Return a text file's content, without a byte order mark.

    Args:
        path: the file.
        error: class of the error.
        advice: what to do about a file that cannot be taken, for the message.
        most: bytes that it may have.
        errors: what becomes of bytes that are not UTF-8, as bytes.decode takes it.

    Raises:
        EdgesegError: of the class `error`: as read_bytes, or it is not UTF-8.
    """
    data = read_bytes(path, error, most=most, advice=advice)
    try:
        return data.decode("utf-8-sig", errors)
    except UnicodeDecodeError as found:
        raise error(f"{path} is not UTF-8 text; {advice}") from found


def parse_json(text: str | bytes, where: object, error: type[EdgesegError], *, advice: str) -> Any:
    """Return what a JSON text says.

    Args:
        text: UTF-8 if bytes.
        where: the file, for messages.
        error: class of the error.
        advice: what to do, for the message.

    Raises:
        EdgesegError: of the class `error`: it is not JSON, is nested more than DEPTH deep, names
            one key twice in an object, or has NaN, a number that no double or 64-bit integer
            holds, or text that is no Unicode.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        found = json.loads(text, parse_constant=refuse, object_pairs_hook=_each_once)
        _check_values(found)
        return found
    except RecursionError:
        raise error(f"{where} is nested too deeply to be read; {advice}") from None
    except (ValueError, UnicodeError) as found:
        raise error(f"{where} is not JSON ({_line(found)}); {advice}") from found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def read_json(path: Path, error: type[EdgesegError], *, advice: str) -> Any:
    """Return what a JSON file says, as read_bytes and parse_json do."""
    data = read_bytes(path, error, most=TEXT_BYTES, advice=advice)
    return parse_json(data, path, error, advice=advice)


def read_toml(path: Path, error: type[EdgesegError], *, advice: str) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises:
        EdgesegError: of the class `error`: it cannot be read, is not TOML or nested too deeply.
    """
    data = read_bytes(path, error, most=TEXT_BYTES, advice=advice)
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
        _check_values(document)
        return document
    except RecursionError:
        raise error(f"{path} is nested too deeply to be read; {advice}") from None
    except (ValueError, UnicodeError) as found:
        raise error(f"{path} is not TOML ({_line(found)}); {advice}") from found


def read_arrays(
    data: bytes, where: object, error: type[EdgesegError], *, advice: str
) -> Mapping[str, np.ndarray]:
    """Return the arrays of an .npz file, its headers looked at before anything is unpacked.

    Args:
        data: the file.
        where: its path, for messages.
        error: class of the error.
        advice: what to do, for the message.

    Raises:
        EdgesegError: of the class `error`: it is no .npz, damaged, of more than ARRAYS_BYTES, or
            has objects in it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            arrays, left = {}, ARRAYS_BYTES
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    size, header = _array_bytes(stream)
                left -= size
                if left < 0:
                    raise error(
                        f"{where} unpacks to more than {_megabytes(ARRAYS_BYTES)}, the most that "
                        f"is read; {advice}"
                    )
                with archive.open(entry) as stream:
                    # One byte more tells a file that holds more than its header says.
                    content = stream.read(header + size + 1)
                if len(content) != header + size:
                    raise ValueError(f"{entry.filename} has not the bytes that its header says")
                array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
                arrays[entry.filename.removesuffix(".npy")] = array
            return arrays
    except EdgesegError:
        raise
    except Exception as found:
        # numpy and zipfile have a dozen errors for damaged files, several of them built in.
        raise error(f"{where} is damaged ({_line(found)}); {advice}") from found


def _array_bytes(stream: Any) -> tuple[int, int]:
    """Return the bytes of an array's values and of its header."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"arrays of version {version[0]}.{version[1]} are not read")
    if dtype.hasobject or any(side < 0 for side in shape):
        raise ValueError("it holds objects or a negative size")
    return math.prod(shape) * dtype.itemsize, stream.tell()


def is_number(value: object) -> bool:
    """Tell whether a value of a document is a finite number, which a truth value is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _check_values(document: Any) -> None:
    """Refuse what Python's parsers take and nothing after them can use.

    Raises:
        RecursionError: it is nested more than DEPTH deep.
        ValueError: a number or a text is impossible.
    """
    level = [document]
    for _ in range(DEPTH):
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following += value.keys()
                following += value.values()
            elif isinstance(value, list):
                following += value
            elif isinstance(value, str):
                # A lone surrogate can be neither printed nor written.
                value.isascii() or value.encode()
            elif isinstance(value, int):
                if not -LARGEST <= value <= LARGEST:
                    raise ValueError("a number has more than 64 bits")
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{value} is no number")
        level = following
        if not level:
            return
    raise RecursionError


def _megabytes(size: int) -> str:
    return f"{round(size / (1 << 20))} MB"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
