"""Every line of TensorRT: build and inference on the real bindings' names and signatures."""

import hashlib
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tinybundle import SIZE_HW, expected_labels, graph, random_frame, spec, tiny_bundle
from trt_lines import LINES, TESTS, run

from edgeseg.core.bundle import Bundle, Golden, write_bundle
from edgeseg.core.graph.float_weights import with_float_weights
from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.strip_quantization import without_quantization
from edgeseg.errors import BackendError
from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.runtime.engine.build import Built
from edgeseg.runtime.engine.cache import EngineOptions, engine_from_bundle, engine_key
from edgeseg.runtime.engine.failure import Failure
from edgeseg.runtime.engine.graph_choice import graph_of
from edgeseg.runtime.engine.layer_report import LayerReport

FLOW = TESTS / "bindings" / "flow.py"


def islands_bundle(path: Path) -> Bundle:
    """The tiny INT8 bundle with a second graph; its hash tells which is built."""
    islands = graph(int8=True)
    islands.doc_string = "islands"
    frame = random_frame(99)[None]
    return write_bundle(
        path,
        graph(int8=True).SerializeToString(),
        Golden(frame, expected_labels(frame)),
        name="tiny-int8",
        spec=spec(SIZE_HW),
        precision="int8",
        opset=18,
        islands=islands.SerializeToString(),
    )


def build(line: str, bundle: Path, cache: Path, *more: str, **environment: str):
    return run(line, "-m", "edgeseg.cli", "build", bundle, "--json", *more,
               EDGESEG_CACHE=str(cache), **environment)  # fmt: skip


def plan_of(row: dict) -> dict:
    return json.loads(Path(row["plan"]).read_bytes()[4:])


@pytest.mark.parametrize("line", LINES)
def test_build_drives_the_whole_flow(line: str, tmp_path: Path):
    bundle = islands_bundle(tmp_path / "b")
    done = build(line, bundle.path, tmp_path / "cache", "--explain", "--workspace", "7")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["runtime"].split()[0] == "tensorrt"
    assert document["runtime"].split()[1].startswith(line)
    assert document["device"] == "Orin"
    int8, fp16 = document["engines"]
    strong = line.startswith("11")
    for row in (int8, fp16):
        assert row["golden_agreement"] == 1.0
        assert row["cuda_graph"] is True
        assert row["built"] is True
        assert row["strongly_typed"] is strong
        assert row["device_memory_bytes"] == 4096
        assert row["reformats"] == 1
        assert row["dla"] == {"cores": 2, "layers": 3, "able": 3}
        plan = plan_of(row)
        assert plan["workspace"] == 7 << 20
        assert plan["cleared"] == []
        assert plan["detailed"] is True
    assert int8["runs_in"] == "int8"
    assert int8["layers"] == {"INT8": 1}
    assert int8["explain"][0]["kind"] == "Reformat"
    # The inspector's own document, whole.
    info = json.loads(Path(int8["layer_info"]).read_text())
    assert set(info) == {"Layers", "Bindings"}
    assert info["Layers"][1]["TacticName"] == "sm80_xmma"
    assert fp16["runs_in"] == "f16"
    # The second build starts from the first one's kernel times.
    assert plan_of(int8)["timing_before"] == ""
    assert plan_of(fp16)["timing_before"] == "TIMES"
    assert "QuantizeLinear" in plan_of(int8)["ops"]
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(plan_of(fp16)["ops"])
    assert plan_of(int8)["builder_flags"] == (
        ["SPARSE_WEIGHTS"] if strong else ["FP16", "INT8", "SPARSE_WEIGHTS"]
    )
    assert plan_of(fp16)["builder_flags"] == (
        ["SPARSE_WEIGHTS"] if strong else ["FP16", "SPARSE_WEIGHTS"]
    )
    wanted = bundle.islands_digest if strong else bundle.digest
    if line.startswith("8"):
        # Below 10 TensorRT takes no INT8 weights: they are floats with a Q/DQ pair there.
        floats = with_float_weights(onnx.load(bundle.onnx_path)).SerializeToString()
        wanted = hashlib.sha256(floats).hexdigest()
        assert wanted != bundle.digest
    assert plan_of(int8)["onnx"] == wanted
    # 8 wants explicit batch; 11 has strong types in its place, and always.
    assert plan_of(int8)["network_flags"] == 1
    assert document["fp16_over_int8"] > 0


def test_a_bundle_without_fp16_islands_gets_them_where_types_are_strong(tmp_path: Path):
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    done = build("11.4.0", bundle.path, tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    halved = with_fp16_islands(graph(int8=True)).SerializeToString()
    int8, fp16 = document["engines"]
    assert plan_of(int8)["onnx"] == hashlib.sha256(halved).hexdigest()
    assert plan_of(fp16)["onnx"] == hashlib.sha256(without_quantization(halved)).hexdigest()
    for row in (int8, fp16):
        assert "edgeseg export b --int8" in row["note"]
    assert any("edgeseg export b --int8" in line for line in document["warnings"])
    # Weakly typed builders take the file as it is and say nothing.
    done = build("10.3.0", bundle.path, tmp_path / "cache", "--int8")
    row = json.loads(done.stdout)["engines"][0]
    assert plan_of(row)["onnx"] == bundle.digest
    assert row["note"] == ""


def test_floats_beyond_fp16_stay_fp32_and_the_note_says_so(tmp_path: Path):
    model = graph(int8=True)
    for tensor in model.graph.initializer:
        if tensor.name == "bias":
            tensor.CopyFrom(numpy_helper.from_array(np.full(3, 1e6, np.float32), "bias"))
    frame = random_frame(99)[None]
    write_bundle(
        tmp_path / "b", model.SerializeToString(), Golden(frame, expected_labels(frame)),
        name="large", spec=spec(SIZE_HW), precision="int8", opset=18,
    )  # fmt: skip
    done = build("11.4.0", tmp_path / "b", tmp_path / "cache", "--int8")
    assert done.returncode == 0, done.stderr
    note = json.loads(done.stdout)["engines"][0]["note"]
    assert note.startswith("float layers run in FP32: constant 'bias' reaches 1e+06")
    done = build("11.4.0", tmp_path / "b", tmp_path / "cache", "--fp16")
    assert done.returncode == 1
    assert "gives no FP16 graph: constant 'bias'" in done.stderr
    # Without a wish the INT8 engine is what counts, and its baseline is left out with the reason.
    done = build("11.4.0", tmp_path / "b", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["precision"] for row in document["engines"]] == ["int8"]
    assert any("gives no FP16 graph" in warning for warning in document["warnings"])


@pytest.mark.parametrize(
    "line", ["10.3.0", *(pytest.param(x, marks=pytest.mark.slow) for x in LINES if x != "10.3.0")]
)
def test_inference_pipelines_records_and_frees(line: str, tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    done = run(line, FLOW, tmp_path / "b", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["single"] == [True] * 5
    assert found["piped"] == [True] * 5
    assert found["held"] == {
        "device": 4, "pinned": 4, "stream": 3, "event": 6, "recorded": 0, "graph": 2,
    }  # fmt: skip
    assert set(found["left"].values()) == {0}
    assert found["launches"] == 10
    assert found["graph_note"] == ""
    assert found["io"]["frame_shape"] == [1, *SIZE_HW, 3]
    # What the doubles' engine says of its scratch memory.
    assert found["memory"] == {"engine_file_bytes": found["plan_bytes"],
                               "engine_device_bytes": 4096}  # fmt: skip
    assert "closed" in found["closed"]
    assert found["second_reason"] == ""


def test_a_network_that_cannot_be_recorded_runs_without_a_graph(tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    done = run("10.3.0", FLOW, tmp_path / "b", tmp_path / "c", EDGESEG_DOUBLE_FAULT="capture")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["single"] == found["piped"] == [True] * 5
    assert found["launches"] == 0
    assert "failed while running" in found["graph_note"]
    assert set(found["left"].values()) == {0}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("oom", "ran out of memory while building"),
        ("none", "Could not find any implementation for node conv1"),
        ("parse", "Assertion failed: unsupported line 2 at conv1"),
        ("segfault", "ended by SIGSEGV inside a native library"),
        ("kill", "ended by SIGKILL, most likely for want of memory"),
    ],
)
def test_a_build_that_fails_is_one_line_and_exit_1(fault: str, said: str, tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    done = build("10.3.0", tmp_path / "b", tmp_path / "c", EDGESEG_DOUBLE_FAULT=fault)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if "edgeseg: error:" in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "c").rglob("*.plan"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"EDGESEG_DOUBLE_CUINIT": "100"}, "cuInit gives error 100"),
        ({"EDGESEG_DOUBLE_GPUS": "0"}, "knows no GPU"),
        ({"LD_LIBRARY_PATH": ""}, "libcuda.so.1 cannot be loaded"),
    ],
)
def test_no_driver_or_no_gpu_is_exit_5_before_tensorrt_is_touched(setting, said, tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    done = build("10.3.0", tmp_path / "b", tmp_path / "c", **setting)
    assert done.returncode == 5, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_layer_without_an_int8_kernel_is_built_in_float(tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    done = build("10.3.0", tmp_path / "b", tmp_path / "c", EDGESEG_DOUBLE_FAULT="no-kernel")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    int8, fp16 = document["engines"]
    assert int8["float_convolutions"] == ["node_of_conv1"]
    assert fp16["float_convolutions"] == []
    assert "QuantizeLinear" in plan_of(int8)["ops"]
    assert "no INT8 kernel for node_of_conv1: built in float" in done.stderr
    assert any("no INT8 kernel" in warning for warning in document["warnings"])


def test_one_engine_is_enough_and_the_others_failure_is_remembered(tmp_path: Path):
    bundle, cache = tiny_bundle(tmp_path / "b", precision="int8"), tmp_path / "c"
    done = build("10.3.0", bundle.path, cache, EDGESEG_DOUBLE_FAULT="no-int8")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["precision"] for row in document["engines"]] == ["fp16"]
    assert document["fastest"] == {"precision": "fp16", "edits": []}
    assert "Could not find any implementation" in document["failed"]["int8"]
    assert any("no int8 engine: TensorRT 10.3.0 cannot" in line for line in document["warnings"])
    # The verbs that run it take what was built, and build nothing again.
    done = run("10.3.0", "-m", "edgeseg.cli", "verify", bundle.path, "--backend", "tensorrt",
               "--json", EDGESEG_CACHE=str(cache))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["precision"] == "f16"
    assert "building" not in done.stderr
    # Named, the failed one is refused from memory: no build, though it would succeed now.
    asked = {"EDGESEG_CACHE": str(cache), "EDGESEG_PRECISION": "int8"}
    verb = ("-m", "edgeseg.cli", "verify", bundle.path, "--backend", "tensorrt")
    done = run("10.3.0", *verb, **asked)
    assert done.returncode == 1, done.stderr
    assert "could not be built here before: TensorRT 10.3.0 cannot build" in done.stderr
    assert "building" not in done.stderr


@pytest.mark.slow
def test_stream_takes_fp16_and_then_another_backend_and_says_so(tmp_path: Path):
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    verb = ("-m", "edgeseg.cli", "stream", bundle.path, "synthetic://?frames=3", "null", "--json")

    def stream(cache: str, fault: str, *more: str):
        return run("10.3.0", *verb, *more, EDGESEG_CACHE=str(tmp_path / cache),
                   EDGESEG_DOUBLE_FAULT=fault)  # fmt: skip

    done = stream("a", "no-int8")
    assert done.returncode == 0, done.stderr
    assert "going on with the fp16 engine of b" in done.stderr
    assert json.loads(done.stdout)["backend"]["precision"] == "f16"
    done = stream("b", "none")
    assert done.returncode == 0, done.stderr
    assert "warning: TensorRT 10.3.0 cannot build" in done.stderr
    assert "going on with onnxruntime" in done.stderr
    assert json.loads(done.stdout)["backend"]["runtime"].startswith("onnxruntime")
    # A service that starts again builds nothing again.
    done = stream("b", "none")
    assert "building the" not in done.stderr
    assert "going on with onnxruntime" in done.stderr
    done = stream("b", "none", "--backend", "tensorrt")
    assert done.returncode == 1
    assert "could not be built here before" in done.stderr


@pytest.mark.slow
def test_a_race_builds_edited_graphs_and_records_the_fastest(tmp_path: Path):
    bundle, cache = tiny_bundle(tmp_path / "b", precision="int8"), tmp_path / "c"
    done = build("10.3.0", bundle.path, cache, "--race", EDGESEG_DOUBLE_FAULT="slow-int8")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    rows = {" ".join((r["precision"], *r["edits"])): r for r in document["engines"]}
    assert list(rows) == ["int8", "fp16", "int8 label-codes", "fp16 label-codes"]
    assert "no INT8 convolution is depthwise" in document["failed"]["int8 float-depthwise"]
    assert "ArgMax" in plan_of(rows["int8"])["ops"]
    assert {"ReduceMax", "Equal", "Where"} <= set(plan_of(rows["fp16 label-codes"])["ops"])
    assert "ArgMax" not in plan_of(rows["fp16 label-codes"])["ops"]
    assert document["fastest"]["precision"] == "fp16"
    record = json.loads((cache / "b" / "fastest.json").read_text())
    assert record["precision"] == "fp16"


def test_int8_that_is_no_faster_is_warned_of(tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    done = build("10.3.0", tmp_path / "b", tmp_path / "c", EDGESEG_DOUBLE_FAULT="slow-int8")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["fp16_over_int8"] < 1
    assert any("INT8 is not faster than FP16" in line for line in document["warnings"])
    assert "INT8 is not faster than FP16" in done.stderr


def test_a_changed_byte_in_the_bundle_is_found_before_any_build(tmp_path: Path):
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    data = bytearray(bundle.onnx_path.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.onnx_path.write_bytes(bytes(data))
    done = build("10.3.0", bundle.path, tmp_path / "c")
    assert done.returncode == 1
    assert "model.onnx has sha256" in done.stderr
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_a_plan_that_no_longer_fits_is_built_again_with_the_reason(tmp_path: Path):
    bundle, cache = tiny_bundle(tmp_path / "b", precision="int8"), tmp_path / "c"

    def row(line: str, *more: str, **environment: str) -> dict:
        done = build(line, bundle.path, cache, "--int8", *more, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["engines"][0]

    first = row("10.3.0")
    assert first["reason"] == "no engine yet"
    assert row("10.3.0")["reason"] == ""
    assert row("10.13.3")["reason"].startswith("tensorrt was 10.3.0, is 10.13.3")
    assert row("10.3.0", EDGESEG_DOUBLE_GPU="Thor")["reason"] == "gpu was Orin, is Thor"
    assert row("10.3.0", "--rebuild")["reason"] == "asked for with --rebuild"
    plan = Path(first["plan"])
    data = plan.read_bytes()
    plan.write_bytes(data[:-1])
    assert "is damaged" in row("10.3.0")["reason"]
    plan.with_suffix(".json").write_text("{")
    assert "missing or damaged" in row("10.3.0")["reason"]
    # A plan of another TensorRT under this one's key, vouched for by its sidecar.
    other = data.replace(b'"tensorrt": "10.3.0"', b'"tensorrt": "10.2.0"')
    assert other != data
    for vouched, said in (
        (other, "of another TensorRT than 10.3.0"),
        (b"no plan at all", "the plan is damaged"),
    ):
        plan.write_bytes(vouched)
        sidecar = json.loads(plan.with_suffix(".json").read_text())
        sidecar["sha256"] = hashlib.sha256(vouched).hexdigest()
        plan.with_suffix(".json").write_text(json.dumps(sidecar))
        assert said in row("10.3.0")["reason"]
    assert row("10.3.0")["reason"] == ""
    shutil.rmtree(cache)


def test_an_engine_that_finds_no_room_is_kept(tmp_path: Path):
    bundle, cache = tiny_bundle(tmp_path / "b", precision="int8"), tmp_path / "c"
    assert build("10.3.0", bundle.path, cache, "--int8").returncode == 0
    (plan,) = cache.glob("*/*.plan")
    before = plan.stat()
    done = build("10.3.0", bundle.path, cache, "--int8", EDGESEG_DOUBLE_FAULT="load-oom")
    assert done.returncode == 1
    assert "no memory for the engine" in done.stderr
    assert "building the int8 engine" not in done.stderr
    assert plan.stat() == before


def test_one_engine_is_built_once_for_all_who_want_it(tmp_path: Path):
    """As the shadows of several cameras do, on threads of one process."""
    bundle, builds = tiny_bundle(tmp_path / "b"), []

    def build(request, progress):
        builds.append(request)
        time.sleep(0.3)
        return Built(b"plan", b"", LayerReport(()), {})

    def want(_):
        return engine_from_bundle(
            bundle, EngineOptions(), Gpu("Orin", "8.7", "12.6"), tmp_path / "c",
            version="10.3", strongly_typed=False, build=build,
        )  # fmt: skip

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(want, range(3)))
    assert len(builds) == 1
    assert sorted(bool(engine.reason) for engine in found) == [False, False, True]


def test_a_failed_build_is_not_tried_again_until_something_changes(tmp_path: Path):
    bundle, tries = tiny_bundle(tmp_path / "b"), []

    def want(version: str = "10.3", **more: object):
        return engine_from_bundle(
            bundle, EngineOptions(), Gpu("Orin", "8.7", "12.6"), tmp_path / "c",
            version=version, strongly_typed=False, build=build, **more,
        )  # fmt: skip

    def build(request, progress):
        tries.append(request)
        raise errors.pop(0)

    errors: list[BaseException] = [BackendError("no kernel"), BackendError("none again")]
    with pytest.raises(BackendError, match="no kernel"):
        want()
    with pytest.raises(BackendError, match="could not be built here before: no kernel; edgeseg"):
        want()
    assert len(tries) == 1
    # Asked for, it is tried, and the newer reason is kept.
    with pytest.raises(BackendError, match=r"^none again"):
        want(retry=True)
    with pytest.raises(BackendError, match="before: none again"):
        want()
    # An interrupt says nothing of the engine; another TensorRT is another one.
    errors = [KeyboardInterrupt(), BackendError("here too")]
    with pytest.raises(KeyboardInterrupt):
        want(retry=True)
    with pytest.raises(BackendError, match=r"^here too"):
        want(version="10.7")
    assert len(tries) == 4
    (folder,) = (path for path in (tmp_path / "c").iterdir() if path.is_dir())
    assert len(list(folder.glob("*.failed"))) == 1


def test_a_build_that_ends_its_process_is_tried_three_times(tmp_path: Path):
    path = tmp_path / "engine.failed"
    for _ in range(3):
        failure = Failure(path)
        failure.refuse("int8", "tiny")
        with failure.kept():
            left = path.read_text()
        assert not path.exists()
        # As it lies there where the process did not live to take it away.
        path.write_text(left)
    with pytest.raises(BackendError, match="it was cut off before it ended; edgeseg build tiny"):
        Failure(path).refuse("int8", "tiny")


def test_a_cache_that_cannot_be_written_is_found_out_before_building(tmp_path: Path):
    bundle = tiny_bundle(tmp_path / "b")
    (tmp_path / "c").write_text("a file where the folder should be")
    with pytest.raises(BackendError, match="set EDGESEG_CACHE to a folder"):
        engine_from_bundle(
            bundle, EngineOptions(), Gpu("Orin", "8.7", "12.6"), tmp_path / "c", version="10.3",
            strongly_typed=False, build=lambda *_, **__: pytest.fail("it built first"),
        )  # fmt: skip


def test_boards_of_one_chip_have_engines_of_their_own(tmp_path: Path):
    bundle, gpu = tiny_bundle(tmp_path / "b"), Gpu("Orin", "8.7", "12.6")
    graph = graph_of(bundle, "fp32", strongly_typed=False)
    keys = []
    for board in ("NVIDIA Jetson AGX Orin", "NVIDIA Jetson Orin Nano"):
        model = tmp_path / board / "proc/device-tree/model"
        model.parent.mkdir(parents=True)
        model.write_text(board + "\0")
        root = tmp_path / board
        keys.append(engine_key(graph, EngineOptions(), gpu, version="10.3", root=root))
    assert [key["board"] for key in keys] == ["NVIDIA Jetson AGX Orin", "NVIDIA Jetson Orin Nano"]


def test_the_fp32_baseline_is_true_fp32(tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    done = build("10.3.0", tmp_path / "b", tmp_path / "c", "--fp32", "--level", "2")
    assert done.returncode == 0, done.stderr
    plan = plan_of(json.loads(done.stdout)["engines"][0])
    assert plan["builder_flags"] == []
    assert plan["cleared"] == ["TF32"]
    assert plan["level"] == 2
    assert "QuantizeLinear" not in plan["ops"]


def test_a_plugin_library_that_does_not_load_is_named(tmp_path: Path):
    tiny_bundle(tmp_path / "b", precision="int8")
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"")
    done = build("10.3.0", tmp_path / "b", tmp_path / "c", "--plugin", str(broken))
    assert done.returncode == 1
    assert "broken.so cannot be loaded" in done.stderr
    done = build("10.3.0", tmp_path / "b", tmp_path / "c", "--plugin", "nowhere.so")
    assert done.returncode == 2
    assert "nowhere.so cannot be read" in done.stderr
