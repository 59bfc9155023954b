"""docs/python.md says what runs: every block of a section, in order, in an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg
from edgeseg.core.images.io import write_png
from edgeseg.core.synthetic.drive import SyntheticDrive

PAGE = Path(edgeseg.__file__).parent.parent / "docs" / "python.md"
if not PAGE.is_file():
    pytest.skip("the documents are not installed", allow_module_level=True)
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S))
BLOCK = re.compile(r"```python\n(.*?)```", re.S)
LONG = ("Measure", "Train, prune, quantize, export", "A network of your own, in memory")


def run(text: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in SECTIONS],
)
def test_the_blocks_of_a_section_run(name: str, tmp_path: Path):
    blocks = BLOCK.findall(SECTIONS[name])
    assert blocks
    write_png(tmp_path / "street.png", SyntheticDrive((96, 128), seed=1, n=1).frame(0)[0])
    # A picture is read by what it holds, not by its name's ending.
    (tmp_path / "street.png").rename(tmp_path / "street.jpg")
    text = "".join(blocks)
    run(text if "import edgeseg" in text else f"import edgeseg\n{text}", tmp_path)


def test_importing_edgeseg_loads_neither_torch_nor_a_runtime_nor_numpy():
    told = run("import sys, edgeseg\nprint(len(sys.modules), *sys.modules)", Path.cwd())
    bare = run("import sys\nprint(len(sys.modules))", Path.cwd())
    count, *names = told.split()
    assert not {"torch", "numpy", "cv2", "onnx", "onnxruntime", "openvino", "click"} & set(names)
    # Its own module, and the few of the standard library that it names.
    assert int(count) - int(bare) < 40
