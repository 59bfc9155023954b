"""A function of the user's as a sink."""

import sys

import numpy as np
import pytest
from tinybundle import expected_labels, random_frame, spec

from edgeseg.errors import SinkError, UsageError
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.open import open_sink
from edgeseg.runtime.sources.base import Frame

OWN = """
SEEN = []

def on_frame(result):
    SEEN.append(result)

class Counter:
    closed = 0

    def __call__(self, result):
        SEEN.append(result.shares)

    def close(self):
        Counter.closed += 1

def bad(result):
    raise ValueError("no such door")

NUMBER = 7
"""


def prediction(index: int = 0) -> Prediction:
    rgb = random_frame(index)
    frame = Frame(rgb, index, 0, name="a.png", media_s=0.5)
    return Prediction(frame, expected_labels(rgb), 0, 2_000_000, 3_000_000)


@pytest.fixture
def own(tmp_path, monkeypatch):
    path = tmp_path / "users_own_sink.py"
    path.write_text(OWN)
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    yield path
    sys.modules.pop(path.stem, None)


def test_a_function_gets_every_result(own):
    with open_sink(f"python:{own}:on_frame", spec()) as sink:
        for index in range(3):
            sink.write(prediction(index))
    seen = sys.modules["users_own_sink"].SEEN
    assert [result.index for result in seen] == [0, 1, 2]
    assert np.array_equal(seen[1].labels, expected_labels(random_frame(1)))
    assert seen[1].names == spec().class_names
    assert (seen[1].media_s, seen[1].latency_ms["infer"]) == (0.5, 2.0)
    assert seen[1].overlay(legend=True).shape == (48, 64, 3)


def test_a_class_is_made_once_and_closed(own, monkeypatch):
    monkeypatch.syspath_prepend(str(own.parent))
    with open_sink("python:users_own_sink:Counter", spec()) as sink:
        sink.write(prediction())
        sink.write(prediction())
    module = sys.modules["users_own_sink"]
    assert (module.Counter.closed, len(module.SEEN)) == (1, 2)
    assert sum(module.SEEN[0].values()) == pytest.approx(1)


def test_what_it_raises_is_named(own):
    sink = open_sink(f"python:{own}:bad", spec())
    with pytest.raises(SinkError, match="raised ValueError: no such door"):
        sink.write(prediction())


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("on_frame", "expected python:my_module"),
        ("nowhere_at_all:f", r"no module nowhere_at_all is installed.*\./nowhere_at_all\.py"),
        ("./nowhere.py:f", "does not exist"),
        ("{own}:missing", "has no missing"),
        ("{own}:NUMBER", "cannot be called"),
    ],
)
def test_what_is_no_function_is_answered(own, rest, said):
    with pytest.raises(UsageError, match=said):
        open_sink(f"python:{rest.format(own=own)}", spec())


def test_a_file_with_an_error_in_it_is_named(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(SinkError, match="cannot be loaded: ModuleNotFoundError"):
        open_sink(f"python:{tmp_path}/broken.py:f", spec())
