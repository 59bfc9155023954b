"""docs/design.md's "Adding things" followed on a copy: each addition is one module and one line."""

import dataclasses
import difflib
import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg

REPOSITORY = Path(edgeseg.__file__).parent.parent
COPIED = ("edgeseg", "tests", "docs", "calibration", "deploy", ".ci")
if not (REPOSITORY / "docs" / "design.md").is_file():
    pytest.skip("the documents are not installed", allow_module_level=True)


@dataclasses.dataclass(frozen=True)
class Addition:
    """One thing that is added.

    Attributes:
        module: its file.
        text: of the module.
        registry: the file with the list.
        line: what is added to the list.
        seen: a script that fails where the addition cannot be reached as a user would.
    """

    module: str
    text: str
    registry: str
    line: str
    seen: str


ADDITIONS = {
    "backbone": Addition(
        "edgeseg/host/models/backbones/narrow.py",
        '''"""A plain stack of strided convolutions."""

import torch
from torch import nn

from edgeseg.host.models.backbones.base import Backbone
from edgeseg.host.models.blocks import ConvBNReLU


class Narrow(Backbone):
    """Five convolutions."""

    source = "five convolutions"

    def __init__(self, output_stride: int = 16, *, width: float = 1.0) -> None:
        """Build the network."""
        super().__init__()
        self.check_stride(output_stride, (8, 16))
        low, high = max(8, int(64 * width)), max(8, int(128 * width))
        self.low_channels, self.out_channels = low, high
        self.stem = nn.Sequential(ConvBNReLU(3, low, stride=2), ConvBNReLU(low, low, stride=2))
        self.body = nn.Sequential(
            ConvBNReLU(low, high, stride=2),
            ConvBNReLU(high, high, stride=output_stride // 8),
            ConvBNReLU(high, high),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features at stride 4 and at the output stride."""
        low = self.stem(x)
        return low, self.body(low)
''',
        "edgeseg/host/models/__init__.py",
        '        "narrow": f"{_HERE}.backbones.narrow:Narrow",',
        """
from edgeseg.core.spec import ModelSpec
from edgeseg.host.cost import spec_cost
from edgeseg.host.models import MODELS
for head in ("deeplabv3", "deeplabv3plus"):
    assert f"{head}-narrow" in list(MODELS)
    assert spec_cost(ModelSpec(f"{head}-narrow", size_hw=(64, 96))).params > 0
verb("train", "deeplabv3-narrows", "--data", "synthetic:2", fails="did you mean 'deeplabv3-narrow'")
""",
    ),
    "data format": Addition(
        "edgeseg/core/data/formats/beside.py",
        '''"""Pictures NAME.png beside their masks NAME.mask.png in one folder."""

from pathlib import Path

from edgeseg.core.data.formats.base import ReadOptions
from edgeseg.core.data.pairs import PairFolder
from edgeseg.errors import DataError


class Beside:
    """NAME.png beside NAME.mask.png; two classes, black and white."""

    tree = "NAME.png beside NAME.mask.png"

    def recognize(self, root: Path) -> str | None:
        """Tell whether a mask is there."""
        return "*.mask.png" if any(root.glob("*.mask.png")) else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open the folder, whatever the split."""
        masks = sorted(root.glob("*.mask.png"))
        if not masks:
            raise DataError(f"{root}: no NAME.mask.png; expected one beside each NAME.png")
        pairs = tuple((root / m.name.replace(".mask", ""), m) for m in masks)
        return PairFolder(root.name, pairs, ("no", "yes"), ((0, 0, 0), (255, 255, 255)), 255)
''',
        "edgeseg/core/data/open.py",
        '        "beside": "edgeseg.core.data.formats.beside:Beside",',
        """
import pathlib
import numpy as np
from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import write_png
folder = pathlib.Path("flat")
folder.mkdir()
write_png(folder / "a.png", np.full((8, 12, 3), 90, np.uint8))
write_png(folder / "a.mask.png", np.ones((8, 12), np.uint8))
(sample,) = open_dataset("flat", "val")
assert sample.rgb.shape == (8, 12, 3) and sample.labels.min() == 1
pathlib.Path("empty").mkdir()
verb("eval", "segnet-basic-camvid", "--data", "empty", fails="beside: NAME.png beside")
""",
    ),
    "observer": Addition(
        "edgeseg/host/quantization/observers/half.py",
        '''"""The half observer: half of the largest magnitude."""

from edgeseg.host.quantization.observers.max import MaxObserver


class HalfObserver(MaxObserver):
    """Clips all above half of the maximum."""

    def amax(self) -> float:
        """Return half of the maximum."""
        return super().amax() / 2


def half_observer(percentile: float) -> HalfObserver:
    """Take half of the largest magnitude.

    Source: none.
    """
    return HalfObserver()
''',
        "edgeseg/host/quantization/observers/__init__.py",
        '        "half": "edgeseg.host.quantization.observers.half:half_observer",',
        """
from edgeseg.host.quantization.options import QuantizeOptions
assert QuantizeOptions("half").to_step()["observer"] == "half"
for name in ("qat", "export"):
    assert "|half]" in re.sub(r"\\s+", "", verb(name, "--help", "--advanced"))
""",
    ),
    "lint rule": Addition(
        "edgeseg/lint/rules/softmax.py",
        '''"""A lint rule on Softmax."""

from collections.abc import Iterator

from edgeseg.core.graph.view import GraphView
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.tensorrt_versions import Line


@remarks(Remark("softmax", "warning", "labels need the largest score, not the scores' softmax"))
def softmax(view: GraphView, line: Line) -> Iterator[Finding]:
    """Softmax anywhere."""
    for node in view.nodes:
        if node.op_type == "Softmax":
            yield found("softmax", "warning", node, "a softmax costs time", "leave it out")
''',
        "edgeseg/lint/rules/__init__.py",
        '        "softmax": "edgeseg.lint.rules.softmax:softmax",',
        """
import json
import onnx
from onnx import TensorProto, helper
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4])
node = helper.make_node("Softmax", ["x"], ["y"], name="soft", axis=1)
graph = helper.make_graph([node], "g", [value("x")], [value("y")])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), "soft.onnx")
found = json.loads(verb("lint", "soft.onnx", "--json"))["findings"]
warnings = [f for f in found if f["severity"] == "warning"]
assert [(f["rule"], f["node"]) for f in warnings] == [("softmax", "soft")]
""",
    ),
    "source": Addition(
        "edgeseg/runtime/sources/grey.py",
        '''"""Grey frames, each lighter than the one before."""

import numpy as np

from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source, SourceRequest


class GreySource(Source):
    """`grey://?frames=N`."""

    example = "grey://?frames=4&size=48x64"
    ends = True

    def __init__(self, request: SourceRequest) -> None:
        """Keep how many frames are asked for."""
        request.options(("frames", "size"))
        self.uri = request.uri
        self._left = int(request.number("frames", 3.0))
        self._made = 0
        self._size = request.size_hw() or request.spec.size_hw
        self._clock = request.clock

    def read(self, timeout_s: float) -> Frame | Ending:
        """Return the next frame."""
        if not self._left:
            return Outcome.END
        self._left -= 1
        rgb = np.full((*self._size, 3), 10 * self._made, np.uint8)
        self._made += 1
        return Frame(rgb, self._made - 1, self._clock())

    def close(self) -> None:
        """End the frames."""
        self._left = 0
''',
        "edgeseg/runtime/sources/open.py",
        '        "grey": "edgeseg.runtime.sources.grey:GreySource",',
        """
import json
report = json.loads(verb("stream", "segnet-basic-camvid", "grey://?frames=5", "null", "--json"))
assert report["frames"] == 5, report
verb("stream", "segnet-basic-camvid", "greys://", "null", fails="did you mean 'grey'")
""",
    ),
}

# Written by the command that docs/design.md gives.
REGEN = ("tests/golden/test_qdq_placement.py", "tests/meta/test_generated.py", "--regen")
REWRITTEN = {
    "docs/models.md", "docs/quantization.md", "docs/tensorrt.md",
    "tests/golden/qdq_deeplabv3-narrow.txt", "tests/golden/qdq_deeplabv3plus-narrow.txt",
}  # fmt: skip
PRELUDE = """
import contextlib, io, os, re
import edgeseg
from edgeseg.cli import run
assert edgeseg.__file__.startswith(os.environ["PYTHONPATH"])
def verb(*words, fails=None):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    assert (code != 0) == (fails is not None), err.getvalue()
    assert (fails or "") in err.getvalue(), err.getvalue()
    return out.getvalue()
"""


def run(copy: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python where the package is the copy."""
    place = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd or copy, env=place,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def pytest_on(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(copy, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-x", *words)


def add_line(text: str, line: str) -> str:
    """Put a line behind the last entry of the first registry that the line's module fits."""
    prefix = line.split('": ')[1].rsplit(".", 1)[0]
    entries = [m.end() for m in re.finditer(rf"(?m)^ +\"[\w-]+\": {re.escape(prefix)}.*,\n", text)]
    assert entries, f"no line like {line!r}"
    return text[: entries[-1]] + line + "\n" + text[entries[-1] :]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with all additions."""
    root = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "zoo", "*.pyc")
    for name in COPIED:
        shutil.copytree(REPOSITORY / name, root / name, ignore=ignored)
    for path in REPOSITORY.iterdir():
        if path.is_file():
            shutil.copyfile(path, root / path.name)
    (root / "edgeseg" / "zoo").symlink_to(REPOSITORY / "edgeseg" / "zoo")
    for addition in ADDITIONS.values():
        (root / addition.module).write_text(addition.text)
        registry = root / addition.registry
        registry.write_text(add_line(registry.read_text(), addition.line))
    return root


@pytest.mark.parametrize("kind", ADDITIONS)
def test_an_addition_is_a_module_and_a_line(kind: str, copy: Path) -> None:
    addition = ADDITIONS[kind]
    assert not (REPOSITORY / addition.module).exists()
    before = (REPOSITORY / addition.registry).read_text().splitlines()
    after = (copy / addition.registry).read_text().splitlines()
    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert changes == [f"+ {addition.line}"]


def test_nothing_else_changes_but_what_the_documented_command_writes(copy: Path) -> None:
    # Those of the whole command's tests that an addition has to do with, for time.
    done = pytest_on(copy, *REGEN, "-k", "narrow or table")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    touched = {path for a in ADDITIONS.values() for path in (a.module, a.registry)}
    assert changed(copy) == touched | REWRITTEN


def changed(copy: Path) -> set[str]:
    """Files of the copy that differ from the repository's, or are not there."""
    found = set()
    for path in copy.rglob("*"):
        name = path.relative_to(copy).as_posix()
        if path.is_file() and "__pycache__" not in name and "/zoo/" not in name:
            own = REPOSITORY / name
            if not own.is_file() or not filecmp.cmp(own, path, shallow=False):
                found.add(name)
    return found


@pytest.mark.parametrize("kind", ADDITIONS)
def test_an_addition_is_reached_as_a_user_would(kind: str, copy: Path, tmp_path: Path) -> None:
    done = run(copy, "-c", PRELUDE + ADDITIONS[kind].seen, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_contracts_hold_the_additions(copy: Path) -> None:
    # One test of each registry's suite, for time; the slow test runs all.
    chosen = (
        "test_the_state_dict_round_trips and narrow"
        " or test_pruned_equals_masked and narrow"
        " or test_a_large_frame_is_counted_like_a_small_one and half"
        " or test_a_rule_declares_what_it_finds and softmax"
        " or test_frames_come_in_order and grey"
        " or test_an_empty_folder_has_no_format and beside"
    )
    done = pytest_on(copy, "tests/contract", "-k", chosen)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    (count,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(count) == 2 + 2 + 1 + 1 + 2 + 1, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_suite_is_green_with_the_additions(copy: Path) -> None:
    assert pytest_on(copy, *REGEN).returncode == 0
    own = ("--ignore", "tests/meta/test_additions.py", "-m", "not slow")
    done = pytest_on(copy, "tests", *own)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
