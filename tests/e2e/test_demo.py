"""The demo at its smallest: every stage runs and the page holds what they gave."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseg.core.bundle import read_bundle
from edgeseg.core.report import Report

RUNS = ("onnxruntime fp32", "onnxruntime int8", "openvino fp32", "openvino int8")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "edgeseg.cli", "demo", "--json", "-o", str(out)]
    small = ["--epochs", "1", "--images", "16", "--frames", "6"]
    done = subprocess.run(command + small, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


@pytest.mark.slow
def test_every_runtime_streams_both_precisions(demo):
    out, document = demo
    assert tuple(run["name"] for run in document["runs"]) == RUNS
    for run in document["runs"]:
        report = Report.from_json(run["report"])
        assert (report.frames, report.dropped) == (6, 0)
        assert report.accuracy is not None
        assert report.accuracy.n == 6
    sizes = [read_bundle(out / name).onnx_path.stat().st_size for name in ("int8", "fp32")]
    assert sizes[0] < sizes[1] / 2


@pytest.mark.slow
def test_the_page_stands_alone_and_holds_every_run(demo):
    out, document = demo
    html = (out / "index.html").read_text()
    assert document["page"] == str(out / "index.html")
    assert all(html.count(name) >= 2 for name in RUNS)  # the table and the bars
    assert html.count("data:image/png;base64,") == 15 + 4
    assert (out / "shipped.mp4").stat().st_size > 10_000
    for run in document["shipped"]:
        assert f"{run['report']['accuracy']['miou']:.4f}" in html
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    for run in document["runs"]:
        assert f"{run['report']['accuracy']['miou']:.4f}" in html


@pytest.mark.slow
def test_each_run_has_its_own_memory(demo):
    # torch alone is larger than this; a run that shared its process would carry it.
    _, document = demo
    assert all(run["report"]["memory"]["peak_bytes"] < 400e6 for run in document["runs"])
