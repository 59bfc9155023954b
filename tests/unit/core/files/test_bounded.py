"""Readers with limits."""

import io
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from edgeseg.core.files import bounded
from edgeseg.core.files.bounded import (
    hashed_bytes,
    parse_json,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
    read_toml,
)
from edgeseg.errors import BundleError, DataError

ADVICE = "copy it again"


def saved(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def forged(shape: tuple[int, ...], content: bytes) -> bytes:
    """An .npz whose header promises `shape` and whose file has `content`."""
    buffer, header = io.BytesIO(), io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frame.npy", header.getvalue() + content)
    return buffer.getvalue()


def test_arrays_come_back(tmp_path):
    wanted = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    found = read_arrays(saved(a=wanted, b=wanted.T), "x", BundleError, advice=ADVICE)
    np.testing.assert_array_equal(found["a"], wanted)
    np.testing.assert_array_equal(found["b"], wanted.T)


def test_what_unpacks_to_too_much_is_refused_by_its_header(monkeypatch):
    monkeypatch.setattr(bounded, "ARRAYS_BYTES", 1000)
    with pytest.raises(BundleError, match="unpacks to more than"):
        read_arrays(forged((1001,), b"\0" * 1001), "x", BundleError, advice=ADVICE)
    with pytest.raises(BundleError, match="unpacks to more than"):
        read_arrays(saved(a=np.zeros(600, "u1"), b=np.zeros(600, "u1")), "x", BundleError,
                    advice=ADVICE)  # fmt: skip


@pytest.mark.parametrize("size", [0, 9, 11, 4000])
def test_a_header_that_lies_about_its_bytes_is_damage(size):
    with pytest.raises(BundleError, match="x is damaged"):
        read_arrays(forged((10,), b"\0" * size), "x", BundleError, advice=ADVICE)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"no archive", saved(a=np.zeros(3))[:-30], saved(a=np.array([object()]))]
)
def test_damage_of_every_kind_is_one_line(data):
    with pytest.raises(BundleError, match="copy it again") as caught:
        read_arrays(data, "x", BundleError, advice=ADVICE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("1" * 5000, "is not JSON"),
    ],
)
def test_json_is_refused_in_one_line(text, why):
    with pytest.raises(DataError, match=why):
        parse_json(text, "r.json", DataError, advice=ADVICE)


def test_files_are_read_up_to_a_limit(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_text('{"a": 1}')
    assert read_json(path, DataError, advice=ADVICE) == {"a": 1}
    monkeypatch.setattr(bounded, "TEXT_BYTES", 4)
    with pytest.raises(DataError, match="larger than"):
        read_json(path, DataError, advice=ADVICE)
    with pytest.raises(DataError, match="No such file"):
        read_json(tmp_path / "none", DataError, advice=ADVICE)
    with pytest.raises(DataError, match="Is a directory"):
        read_bytes(tmp_path, DataError, most=9, advice=ADVICE)


def test_toml_is_refused_in_one_line(tmp_path):
    path = tmp_path / "r.toml"
    for text, why in (("a = ", "not TOML"), ("a = " + "[" * 50_000, "nested|not TOML")):
        path.write_text(text)
        with pytest.raises(DataError, match=why):
            read_toml(path, DataError, advice=ADVICE)
    path.write_text('a = "b"')
    assert read_toml(path, DataError, advice=ADVICE) == {"a": "b"}


def test_other_bytes_than_those_checked_are_refused(tmp_path):
    import hashlib

    path = tmp_path / "model.onnx"
    path.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    assert hashed_bytes(path, digest, BundleError, most=9, advice=ADVICE) == b"one"
    path.write_bytes(b"two")
    with pytest.raises(BundleError, match="has changed since it was checked"):
        hashed_bytes(path, digest, BundleError, most=9, advice=ADVICE)


@pytest.mark.parametrize(
    "text", ['{"a": 1e999}', '{"a": ' + "9" * 30 + "}", '["\\ud800"]', "[" * 101 + "]" * 101]
)
def test_what_nothing_can_use_is_refused(text):
    with pytest.raises(DataError, match=r"r\.json is (not JSON|nested)"):
        parse_json(text, "r.json", DataError, advice=ADVICE)


def test_values_at_the_limits_are_read():
    largest = (1 << 64) - 1
    deep = "[" * 98 + "1" + "]" * 98
    found = parse_json(f'[{largest}, -1.5e308, "é", {deep}]', "r", DataError, advice=ADVICE)
    assert found[:3] == [largest, -1.5e308, "é"]


def test_texts_lose_their_byte_order_mark_and_must_be_utf8(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffé\n".encode())
    assert read_text(path, DataError, advice=ADVICE) == "é\n"
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_text(path, DataError, advice=ADVICE)
    assert read_text(path, DataError, advice=ADVICE, errors="replace") == "\ufffd\n"
