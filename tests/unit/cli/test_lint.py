import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from draft_graph import clean

from edgeseg.cli import run
from edgeseg.core.zoo import DEFAULT


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(clean().model(), path)
    return path


def document(capsys, *arguments: object) -> tuple[int, dict]:
    code = run(["lint", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_clean_graph_exits_with_0_and_the_stable_keys(graph, capsys):
    code, found = document(capsys, graph, "--target", "trt10.3")
    assert code == 0
    assert found["ok"] is True
    assert set(found["findings"][0]) >= {"rule", "severity", "node", "message", "cure", "targets"}
    assert found["summary"]["convs"] == 5
    assert found["summary"]["convs_int8"] == 4
    assert [island["head"] for island in found["summary"]["float_islands"]] == [False, True]
    assert list(found["engine"]) == ["trt10.3"]


def test_errors_exit_with_1_and_still_give_the_document(tmp_path, capsys):
    draft = clean()
    draft.nodes["pooled"].output.append("where")
    onnx.save(draft.model(), tmp_path / "bad.onnx")
    code, found = document(capsys, tmp_path / "bad.onnx")
    assert code == 1
    assert found["ok"] is False
    assert found["findings"][0]["rule"] == "pool-indices"


def test_the_terminal_names_node_reason_and_cure(tmp_path, capsys):
    draft = clean()
    draft.constant("up.scale", 0.4)
    onnx.save(draft.model(), tmp_path / "slow.onnx")
    assert run(["lint", str(tmp_path / "slow.onnx"), "--quiet", "--layers"]) == 0
    out = capsys.readouterr().out
    assert "warning  concat-scale  both" in out
    assert "2 different scales meet here" in out
    assert "cure: let its inputs and its result share one scale" in out
    assert "float-head" not in out
    assert "Layers that trt8.6 will probably build" in out


def test_the_verdict_is_of_each_line(tmp_path, capsys):
    draft = clean()
    draft.constant("axes", [2, 3], np.int64)
    for name in ("x", "act"):
        draft.before(f"{name}.q", "ReduceMean", [name, "axes"], f"{name}.mean")
        draft.before(f"{name}.q", "Sub", [name, f"{name}.mean"], f"{name}.centred")
        draft.nodes[f"{name}.q"].input[0] = f"{name}.centred"
    onnx.save(draft.model(), tmp_path / "new.onnx")
    assert run(["lint", str(tmp_path / "new.onnx")]) == 1
    told = capsys.readouterr()
    out = " ".join(told.out.split())
    assert "on trt8.6 (2); no errors on trt10.3, trt10.16, trt11.4" in out
    assert "2 of this kind, also act.mean" in out
    assert "2 errors for trt8.6 and none for trt10.3, trt10.16, trt11.4" in told.err
    assert run(["lint", str(tmp_path / "new.onnx"), "--target", "trt10.3"]) == 0


def test_a_board_adds_a_floor_that_says_what_it_is(graph, capsys):
    code, found = document(capsys, graph, "--board", "orin-nano")
    assert code == 0
    assert "never a measurement" in found["roofline"]["note"]
    assert found["roofline"]["floor_ms"] > 0
    assert run(["lint", str(graph), "--board", "orin-nano"]) == 0
    out = capsys.readouterr().out
    assert "a floor, never a measurement\nfigures: " in out
    assert "https://" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--target", "trt9"], 2, "unknown TensorRT line 'trt9'"),
        (["--board", "orin"], 2, "did you mean 'orin-n"),
    ],
)
def test_wrong_names_are_usage_errors(graph, capsys, arguments, code, message):
    assert run(["lint", str(graph), *arguments]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x00" * 64])
def test_a_file_that_is_no_graph_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert run(["lint", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("edgeseg: error:")
    assert err.count("\n") == 1
    assert "give a bundle or an ONNX file" in err


def test_it_needs_no_torch():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from edgeseg.cli import run\n"
        f"sys.exit(run(['lint', {DEFAULT!r}, '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["convs_int8"] == 65
