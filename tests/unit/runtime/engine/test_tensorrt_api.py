"""Every name of TensorRT that our code writes down exists in every line it may meet."""

import ast
import json
from pathlib import Path

import pytest
from trt_lines import LINES, run

import edgeseg

TARGET = Path(edgeseg.__file__).parent / "runtime"
# Names behind a probe: the lines that lack them, and the probe that our code makes.
PROBED = {"IProgressMonitor": {"8.6.1"}}
FLAGS = {"BuilderFlag.INT8": {"11.4.0"}, "BuilderFlag.FP16": {"11.4.0"},
         "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": {"11.4.0"},
         "NetworkDefinitionCreationFlag.STRONGLY_TYPED": {"8.6.1"}}  # fmt: skip
LOOK = """
import json, sys
import tensorrt_bindings as trt
missing = []
for name in json.loads(sys.argv[1]):
    value = trt
    for part in name.split("."):
        value = getattr(value, part, None)
    if value is None:
        missing.append(name)
print(json.dumps(missing))
"""


def written_names() -> set[str]:
    """Every chain `trt.A.B` in the target's code, as "A.B"."""
    names = set()
    for path in TARGET.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Attribute):
                text = ast.unparse(node)
                if text.startswith("trt.") and "(" not in text:
                    names.add(text.removeprefix("trt."))
    return names


@pytest.mark.parametrize("line", LINES)
def test_every_written_name_exists_or_is_probed_for(line: str):
    names = written_names()
    assert {"BuilderFlag.TF32", "OnnxParser", "DataType.UINT8", "IProgressMonitor"} <= names
    done = run(line, "-c", LOOK, json.dumps(sorted(names | set(FLAGS))))
    assert done.returncode == 0, done.stderr
    lacking = {name for name, lines in {**PROBED, **FLAGS}.items() if line in lines}
    assert set(json.loads(done.stdout)) == lacking
    # What one line lacks must never be written down as a plain attribute.
    assert not names & set(FLAGS)
