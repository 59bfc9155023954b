"""Run keys: what decides a run, when two are the same, and how a difference is told."""

import dataclasses
import json

import numpy as np
import pytest

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.run_key import changes, is_same, key_digest, run_key


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set of flat pictures."""

    name: str
    values: tuple[int, ...]
    class_names, palette, ignore_index = ("a", "b"), ((0, 0, 0), (9, 9, 9)), 255
    fingerprint = digest_of_samples

    @property
    def names(self):
        return tuple(map(str, self.values))

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return Sample(self.names[index], np.full((4, 6, 3), self.values[index], np.uint8), None)


@dataclasses.dataclass(frozen=True)
class Training:
    lr: float
    workers: int

    def deciding(self):
        return {"lr": self.lr}


@dataclasses.dataclass(frozen=True)
class Choice:
    ratio: float
    layers: tuple[str, ...] = ()


def test_two_data_sets_of_one_name_never_share_a_key():
    one, other = run_key(data=Data("mine", (1, 2))), run_key(data=Data("mine", (1, 3)))
    assert not is_same(one, other)
    assert changes(one, other) == ["data 'mine' with other content than now"]
    assert key_digest(one) != key_digest(other)


def test_data_may_be_moved_and_renamed():
    one, other = run_key(data=Data("mine", (1, 2))), run_key(data=Data("moved", (1, 2)))
    assert is_same(one, other)
    assert key_digest(one) == key_digest(other)
    assert changes(one, run_key(data=Data("moved", (1,)))) == ["data 'mine', now 'moved'"]


def test_data_counts_wherever_it_stands():
    keys = [run_key(mix=[(Data("x", values), 0.5)]) for values in ((1,), (2,))]
    assert not is_same(*keys)
    assert key_digest(keys[0]) != key_digest(keys[1])


def test_options_count_as_far_as_they_decide():
    assert is_same(run_key(train=Training(0.1, 1)), run_key(train=Training(0.1, 8)))
    assert changes(run_key(**Training(0.1, 1).deciding()), run_key(lr=0.2)) == ["lr 0.1, now 0.2"]
    assert not is_same(run_key(plan=Choice(0.5)), run_key(plan=Choice(0.5, ("a",))))


def test_a_key_is_what_its_file_gives_back(tmp_path):
    key = run_key(plan=Choice(0.5, ("a", "b")), data=Data("d", (1,)), size_hw=(2, 3))
    assert json.loads(json.dumps(key)) == key
    assert is_same(json.loads(json.dumps(key)), key)


def test_a_file_counts_by_its_bytes(tmp_path):
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    a, b, c, absent = (run_key(start=tmp_path / name) for name in ("a", "b", "c", "d"))
    assert is_same(a, b)
    assert not is_same(a, c)
    assert absent == {"start": None}


def test_an_older_key_resumes_but_is_no_cached_result():
    older = {"lr": 0.1, "data": "mine"}
    now = run_key(lr=0.1, data=Data("mine", (1,)), images=3)
    assert changes(older, now) == []
    assert not is_same(older, now)
    mixed = run_key(mix=[(Data("x", (1,)), 0.5)])
    assert changes({"mix": [["x", 0.5]]}, mixed) == []
    assert len(changes({"mix": [["x", 0.25]]}, mixed)) == 1
    assert changes({**older, "data": "other"}, now) == ["data 'other', now 'mine'"]


def test_what_has_no_json_form_is_refused():
    with pytest.raises(TypeError):
        run_key(function=len)
