"""One answer to "is it the same run?": what decides a result, as JSON, and how two are compared.

A run that leaves something on disk writes its key beside it. The next run with the same place
makes its own key first: a training is resumed, and a measured row read, only under the same key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.files import sha256_file

FINGERPRINT = "fingerprint"


def run_key(**facts: Any) -> dict[str, Any]:
    """Return what decides a run, as the JSON file that keeps it gives it back.

    Values of these kinds are taken for what they hold, wherever they stand in lists and mappings:

    - a data set: its name, its number of samples and its fingerprint;
    - a path: the SHA-256 of the file, None where no file is there;
    - options that tell by `deciding()` which of them decide: these;
    - any other dataclass: its fields. What `to_json()` gives, of a class that has it.

    Raises:
        TypeError: a fact is of another kind and not a JSON value.
    """
    key: dict[str, Any] = json.loads(json.dumps({k: _plain(v) for k, v in facts.items()}))
    return key


def data_fact(dataset: Dataset) -> dict[str, Any]:
    """Return what a key keeps of a data set; for a caller that makes many keys of one data set."""
    return {
        "name": dataset.name,
        "samples": len(dataset),
        FINGERPRINT: dataset.fingerprint(),
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between a kept key and this run's, one text each; for a refusal.

    Facts that only one of the two has are not compared: an older edgeseg wrote fewer. Two data
    sets are compared by their fingerprints alone, so that data may be moved and renamed.
    """
    return [
        _said(key, before[key], value)
        for key, value in now.items()
        if key in before and not _equal(before[key], value)
    ]


def is_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Tell whether a kept result is this run's: every fact is known and equal; for a cache."""
    return before.keys() >= now.keys() and not changes(before, now)


def key_digest(key: Any) -> str:
    """Return the SHA-256 of a key, or of a part of one, whatever the order of its facts."""
    return hashlib.sha256(json.dumps(_content(key), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return sha256_file(value) if value.is_file() else None
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    if hasattr(value, "deciding"):
        return _plain(value.deciding())
    if isinstance(value, Dataset):
        return data_fact(value)
    if hasattr(value, "to_json"):
        return _plain(value.to_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    return value


def _is_data(value: Any) -> bool:
    return isinstance(value, Mapping) and FINGERPRINT in value


def _content(value: Any) -> Any:
    """Leave a data set's name out: only its fingerprint says what it holds."""
    if _is_data(value):
        return value[FINGERPRINT]
    if isinstance(value, Mapping):
        return {name: _content(one) for name, one in value.items()}
    return [_content(one) for one in value] if isinstance(value, list) else value


def _equal(before: Any, now: Any) -> bool:
    if _is_data(now) and isinstance(before, str):
        # An older edgeseg kept the name alone.
        return before == str(now["name"])
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(_equal, before, now))
    return bool(_content(before) == _content(now))


def _said(key: str, before: Any, now: Any) -> str:
    if _is_data(now):
        was = before["name"] if isinstance(before, Mapping) else before
        if was == now["name"]:
            return f"{key} {was!r} with other content than now"
        return f"{key} {was!r}, now {now['name']!r}"
    return f"{key} {before!r}, now {now!r}"
