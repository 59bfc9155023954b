"""What every test shares: one thread, the CamVid folder, and a bundle small enough to make here."""

import os

# Two OpenMP pools on two cores slow each other tenfold. Set before torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import copy
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import edgeseg.core.text.redact
from edgeseg.core.bundle import Bundle, Golden, write_bundle
from edgeseg.core.spec import ModelSpec

# No deadline: a busy machine is no failure. Derandomized: a red run is red again.
settings.register_profile("edgeseg", deadline=None, derandomize=True)
settings.load_profile("edgeseg")


@pytest.fixture(scope="session", autouse=True)
def own_facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the command line learns of data sets out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("facts")
        patch.setattr("edgeseg.cli.data_cache", lambda: place)
        yield


@pytest.fixture(autouse=True)
def no_secret_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the passwords that addresses of an earlier test had: messages would lack them."""
    monkeypatch.setattr(edgeseg.core.text.redact, "_REMEMBERED", set())


@pytest.fixture(autouse=True)
def torchlib_read_once() -> None:
    """Let torch.onnx build its table of operators once for a worker: a second for each export."""
    registration = sys.modules.get("torch.onnx._internal.exporter._registration")
    registry = getattr(registration, "ONNXRegistry", None)
    read = getattr(registry, "from_torchlib", None)
    if registry is None or read is None or hasattr(registry, "read_once"):
        return
    first = functools.cache(read)

    def from_torchlib(*args: int, **kwargs: int) -> object:
        made = first(*args, **kwargs)
        new = copy.copy(made)
        # An export adds operators of its own to its table.
        new.functions = {name: list(metas) for name, metas in made.functions.items()}
        return new

    registry.read_once = True
    registry.from_torchlib = staticmethod(from_torchlib)


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The CamVid folder, where EDGESEG_CAMVID names one."""
    root = os.environ.get("EDGESEG_CAMVID")
    if not root:
        pytest.skip("EDGESEG_CAMVID names no CamVid folder")
    path = Path(root)
    if not (path / "val.txt").is_file():
        pytest.fail(f"EDGESEG_CAMVID is {path}, which has no val.txt")
    return path


@pytest.fixture(scope="session")
def colour_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of one 1x1 convolution that labels each pixel by its nearest palette colour."""
    return make_colour_bundle(tmp_path_factory.mktemp("bundle") / "colour", (64, 96))


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[[str, tuple[int, int]], Bundle]:
    """A function that writes the colour bundle into this test's own folder."""
    return lambda name, size_hw: make_colour_bundle(tmp_path / name, size_hw)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float SegNet-Basic of 8 channels at 64x96, trained for a moment."""
    from trained_nets import spec_of, trained

    from edgeseg.core.recipe import StepDone
    from edgeseg.host.checkpoint import Checkpoint, save_checkpoint

    spec = spec_of("segnet-basic", (64, 96))
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    weights = trained(spec).state_dict()
    save_checkpoint(path, Checkpoint(spec, (StepDone("train"),), weights))
    return path


def make_colour_bundle(path: Path, size_hw: tuple[int, int]) -> Bundle:
    """Write the bundle of the colour_bundle fixture at any size."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    spec = ModelSpec("segnet-basic", size_hw=size_hw)
    height, width = size_hw
    palette = np.array(spec.palette, np.float32)
    # argmin |x - c|^2 = argmax 2 x.c - |c|^2
    weight = (2 * palette).reshape(spec.n_classes, 3, 1, 1)
    bias = -(palette**2).sum(1)
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    uint8 = onnx.TensorProto.UINT8
    graph = onnx.helper.make_graph(
        [
            make("Transpose", ["frame"], ["planes"], perm=[0, 3, 1, 2]),
            make("Cast", ["planes"], ["float"], to=onnx.TensorProto.FLOAT),
            make("Conv", ["float", "weight", "bias"], ["logits"]),
            make("ArgMax", ["logits"], ["best"], axis=1, keepdims=0),
            make("Cast", ["best"], ["labels"], to=uint8),
        ],
        "colour",
        [value("frame", uint8, [1, height, width, 3])],
        [value("labels", uint8, [1, height, width])],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(bias, "bias"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    labels = np.random.default_rng(0).integers(0, spec.n_classes, (1, *size_hw)).astype(np.uint8)
    frame = np.array(spec.palette, np.uint8)[labels]
    return write_bundle(
        path,
        model.SerializeToString(),
        Golden(frame, labels),
        name="colour",
        spec=spec,
        precision="fp32",
        opset=18,
    )


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """The test ends with as many threads as it began with."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regen",
        action="store_true",
        help="rewrite golden texts, and tables of the documents, from what the code says now",
    )


@pytest.fixture
def regen(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regen"))
