"""A long run takes no more memory, threads or files at its end than at its beginning."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FRAMES = 20_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["file", "camera"])
def test_twenty_thousand_frames_leave_no_trace(tmp_path, kind):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    script = Path(__file__).parents[1] / "soak_run.py"
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(FRAMES), kind],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    memory, threads, files, whole = zip(*found["readings"], strict=True)
    for name, series in (("anonymous PSS", memory), ("PSS", whole)):
        print(f"{kind}: {name} {series[0] / 2**20:.2f} MiB -> {series[-1] / 2**20:.2f} MiB")
    assert found["frames"] > (FRAMES - 1 if kind == "file" else FRAMES // 2)
    assert len(memory) >= 8
    assert memory[-1] < 1.01 * memory[0]
    assert len(set(threads)) == 1
    # The telemetry's thread may have one of /proc's open at the moment of looking.
    assert min(files[:4]) == min(files[-4:])
    assert max(files) - min(files) <= 1
