"""A camera session from Python, without the command line."""

import threading

import pytest
from tinybundle import random_frame, tiny_bundle

from edgeseg.core.images.io import write_png
from edgeseg.errors import UsageError
from edgeseg.runtime.streaming.session import StreamOptions, open_session, stream


@pytest.fixture
def bundle(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    tiny_bundle(tmp_path / "tiny")
    return str(tmp_path / "tiny")


@pytest.fixture
def images(tmp_path):
    for number in range(4):
        write_png(tmp_path / "images" / f"{number}.png", random_frame(number))
    return str(tmp_path / "images")


def test_a_session_runs_to_the_end_and_tells_its_progress(bundle, images, tmp_path):
    told, lines = [], []
    options = StreamOptions(
        bundle=bundle,
        sources=(images, images),
        sinks=(f"{tmp_path}/out-{{n}}.jsonl",),
        backend="onnxruntime",
        threads=1,
        warmup=0,
        dashboard="127.0.0.1:0",
    )
    threads = threading.active_count()
    results = stream(
        options, progress=lambda done, total: told.append((done, total)), tell=lines.append
    )
    assert [result.report.frames for result in results] == [4, 4]
    assert [result.error for result in results] == [None, None]
    assert max(told) == (8, 8)
    assert [line for line in lines if line.startswith("dashboard: http://127.0.0.1:")] == lines
    assert len((tmp_path / "out-1.jsonl").read_text().splitlines()) == 4
    assert threading.active_count() == threads


def test_stop_ends_an_open_session(bundle, images):
    options = StreamOptions(bundle=bundle, sources=(images,), backend="onnxruntime", threads=1)
    with open_session(options) as session:
        session.stop.set()
        (result,) = session.run()
    assert result.report.run["ended_by"] == "stop"
    assert result.report.frames == 0


def test_every_contradiction_of_the_options_is_in_one_message():
    with pytest.raises(UsageError) as caught:
        StreamOptions(bundle="b", sources=("a", "c"), sinks=("out.mp4",), batch=3, sustain=0.0)
    for part in ("--sustain is 0", "--batch 3 with 2 SOURCE", "put {n} into it"):
        assert part in str(caught.value)


def test_a_token_is_not_shown_with_the_options():
    assert "hidden" not in repr(StreamOptions(bundle="b", sources=("a",), token="hidden"))
