"""The driver's API by ctypes, over a driver in main memory; and what doctor says of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trt_lines import TESTS

import edgeseg

FLOW = """
import ctypes, json, sys, threading
import numpy as np
from edgeseg.errors import BackendError, BackendUnavailable
from edgeseg.runtime.cuda.driver import CudaDriver, check_memory
from edgeseg.runtime.cuda.gpu import Cuda, find_gpu, open_cuda
from edgeseg.runtime.doctor.checks import _gpu_memory

library = sys.argv[1]
counts = ctypes.CDLL(library)
KINDS = ("device", "pinned", "stream", "event", "recorded", "graph")


def alive():
    return {kind: counts.double_alive(i) for i, kind in enumerate(KINDS)}


def refused(call):
    try:
        call()
    except (BackendError, BackendUnavailable) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def round_trip(cuda, recorded):
    given = np.random.default_rng(1).integers(0, 256, (2, 3, 5), np.uint8)
    frame, labels = cuda.allocate_pinned(given.shape), cuda.allocate_pinned(given.shape)
    stream, event, address = cuda.create_stream(), cuda.create_event(), cuda.allocate(given.nbytes)
    labels[...] = 0
    graph = None
    if recorded:
        cuda.begin_capture(stream)
    frame[...] = given
    cuda.copy_in(address, frame, stream)
    cuda.copy_out(labels, address, stream)
    if recorded:
        graph = cuda.end_capture(stream)
        assert not labels.any()
        cuda.launch(graph, stream)
    cuda.record(event, stream)
    cuda.wait(stream, event)
    cuda.wait_for(event)
    cuda.synchronize(stream)
    same = bool(np.array_equal(labels, given))
    held = alive()
    if recorded:
        cuda.destroy_graph(graph)
    cuda.free(address)
    cuda.free_pinned(frame)
    cuda.free_pinned(labels)
    cuda.destroy_event(event)
    cuda.destroy_stream(stream)
    return same, held


gpu = find_gpu(library)
cuda = CudaDriver(library)
found = {"name": cuda.name, "is_cuda": isinstance(cuda, Cuda)}
found["plain"], found["recorded"] = round_trip(cuda, False), round_trip(cuda, True)
thread = threading.Thread(target=lambda: found.update(thread=round_trip(cuda, False)))
thread.start()
thread.join()
check_memory(cuda)
found["left"] = alive()
found["no_memory"] = refused(lambda: cuda.allocate(1 << 41))
found["no_driver"] = refused(lambda: CudaDriver("libnothing.so"))
found["doctor"] = [vars(finding) for finding in _gpu_memory(library)]
found["no_gpu"] = list(_gpu_memory("libnothing.so"))
found["opened"] = open_cuda().name
found["after"] = alive()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    sources = [TESTS / "bindings" / name for name in ("driver.c", "driver_memory.c")]
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", *sources, "-o", library]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no C compiler here")
    return library


def test_frames_come_back_graphs_replay_and_nothing_is_left(driver: Path):
    done = subprocess.run(
        [sys.executable, "-c", FLOW, driver],
        env={**os.environ, "PYTHONPATH": str(Path(edgeseg.__file__).parent.parent),
             "LD_LIBRARY_PATH": str(driver.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["name"] == found["opened"] == "CUDA driver 12.6"
    assert found["is_cuda"]
    one = {"device": 1, "pinned": 2, "stream": 1, "event": 1, "recorded": 0, "graph": 0}
    assert found["plain"] == found["thread"] == [True, one]
    assert found["recorded"] == [True, one | {"graph": 1}]
    assert set(found["left"].values()) == set(found["after"].values()) == {0}
    assert found["no_memory"] == (
        "BackendError: cuMemAlloc_v2 failed: error 2, out of memory; close other programs that "
        "use the GPU"
    )
    assert found["no_driver"].startswith("BackendUnavailable: the CUDA driver libnothing.so cannot")
    (finding,) = found["doctor"]
    assert finding["status"] == "ok"
    assert finding["found"] == "Orin, CUDA 12.6: allocated, copied and freed"
    assert found["no_gpu"] == []
