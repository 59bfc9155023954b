"""The plugin, by running pytest inside pytest."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tinybundle import tiny_bundle

# Loaded here, since pytester forgets what its runs import: loaded twice, a class is two classes.
import edgeseg.core.images.fit
import edgeseg.runtime.bench.run
import edgeseg.runtime.evaluation.evaluate  # noqa: F401
from edgeseg.core.data import open as opening
from edgeseg.runtime.backends import BACKENDS

pytest_plugins = ["pytester"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "regression-tests.md"
# Each backend "simN" is one run of a machine that wanders by 30 %; the bundle's name says what is
# wrong with it.
CONFTEST = """
import sys
sys.path.insert(0, {helpers!r})
import dataclasses
import pytest
from simulated import Frames, Machine, SimulatedBackend
from edgeseg.core.data import open as opening
from edgeseg.runtime.backends import BACKENDS
from edgeseg.runtime.bench.run import BenchOptions

machine = Machine(0)
class Simulated(SimulatedBackend):
    seed = 0
    def __init__(self, bundle, *, threads=None):
        global machine
        if bundle.name != "yardstick":
            machine = Machine(self.seed)
        ms = {{"yardstick": 20.0, "slow": 13.0}}.get(bundle.name, 10.0)
        super().__init__(machine, ms, wrong=0.02 if bundle.name == "inaccurate" else 0.0)
for seed in range(51):
    made = type(f"Simulated{{seed}}", (Simulated,), {{"seed": seed}})
    setattr(sys.modules[__name__], made.__name__, made)
# The project below lists them as entry points; the registry has read those already.
BACKENDS.reload()
opening.open_dataset = lambda *args, **kwargs: Frames(8)

@pytest.fixture
def edgeseg_bench_options(tmp_path):
    clock = lambda: machine.clock()
    return BenchOptions(rounds=30, most_rounds=120, openings=1, clock=clock, root=tmp_path)
"""
TEST = """
import pytest

@pytest.mark.parametrize("n", [
    pytest.param(seed, marks=pytest.mark.edgeseg(
        bundle={bundle!r}, data="frames", backend=f"sim{{seed}}", reference="yardstick",
        baseline="base.json"))
    for seed in range({first}, {last})
])
def test_model(edgeseg_report, n):
    edgeseg_report.check()
"""
OPTIONS = ("-p", "no:xdist", "-p", "no:cacheprovider", "-q")


@pytest.fixture
def project(pytester, monkeypatch):
    """A user's repository with three bundles and a baseline of the first."""
    # Its conftest runs in this process; what that replaces comes back with the test's end.
    monkeypatch.setattr(opening, "open_dataset", opening.open_dataset)
    pytester.makeconftest(CONFTEST.format(helpers=str(Path(__file__).parents[1])))
    facts = pytester.path / "simulated-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: simulated\nVersion: 1.0\n")
    lines = [f"sim{seed} = conftest:Simulated{seed}" for seed in range(51)]
    (facts / "entry_points.txt").write_text("\n".join(["[edgeseg.backends]", *lines]))
    for name in ("yardstick", "model", "slow", "inaccurate"):
        bundle = tiny_bundle(pytester.path / name)
        manifest = bundle.path / "manifest.json"
        manifest.write_text(manifest.read_text().replace("tiny-fp32", name))
        if name == "yardstick":
            # Another digest, so that it is another network to the plugin.
            import hashlib

            old = bundle.onnx_path.read_bytes()
            new = old + b"\x7a\x00"
            bundle.onnx_path.write_bytes(new)
            digests = [hashlib.sha256(data).hexdigest() for data in (old, new)]
            text = manifest.read_text().replace(*digests)
            manifest.write_text(text.replace(f'"bytes": {len(old)}', f'"bytes": {len(new)}'))
    measured = run(pytester, "model", 0, 1, "--edgeseg-update=first")
    measured.assert_outcomes(passed=1)
    assert "baseline written" in measured.stdout.str()
    yield pytester
    BACKENDS.reload()


def run(pytester, bundle: str, first: int, last: int, *options: str):
    pytester.makepyfile(test_it=TEST.format(bundle=bundle, first=first, last=last))
    return pytester.runpytest_inprocess(*OPTIONS, *options)


@pytest.mark.slow
def test_an_unchanged_network_passes_fifty_noisy_runs_of_fifty(project):
    run(project, "model", 1, 51).assert_outcomes(passed=50)


def test_a_planted_slowdown_fails(project):
    result = run(project, "slow", 1, 4)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*time_ratio_against_baseline: 0.6*, expected at most 0.5*"])


def test_a_planted_accuracy_loss_fails(project):
    result = run(project, "inaccurate", 1, 2)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*miou_against_baseline: 0.9*expected at least 0.995*"])


def test_another_machines_baseline_is_said_aloud(project):
    base = project.path / "base.json"
    text = base.read_text()
    assert '"cores": ' in text
    base.write_text(re.sub(r'"cores": \d+', '"cores": 4096', text))
    result = run(project, "model", 1, 2, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*not_comparable*the baseline's 4096*"])
    run(project, "inaccurate", 1, 2).assert_outcomes(failed=1)


def test_a_missing_baseline_says_how_to_write_one(project):
    result = run(project, "model", 1, 2, "--edgeseg-baseline=elsewhere")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*elsewhere*write one with*--edgeseg-update*"])
    updated = run(project, "model", 1, 2, "--edgeseg-baseline=elsewhere", "--edgeseg-update=x")
    updated.assert_outcomes(passed=1)
    (found,) = (project.path / "elsewhere").glob("*/*.json")
    assert found.name == "test_it.py-test_model-1.json"
    again = run(project, "model", 1, 2, "--edgeseg-baseline=elsewhere")
    again.assert_outcomes(passed=1)


def test_a_marker_that_cannot_work_is_named(pytester):
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.edgeseg(bundle="x")
        def test_no_data(edgeseg_report): pass
        def test_no_marker(edgeseg_bundle): pass
        """
    )
    result = pytester.runpytest_inprocess(*OPTIONS)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*needs @pytest.mark.edgeseg(bundle=..., data=...)*"])


def test_a_wrong_setting_or_bundle_is_one_line_before_anything_is_measured(pytester):
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.edgeseg(bundle="models/road", data="synthetic:2")
        def test_nowhere(edgeseg_report): pass
        @pytest.mark.edgeseg(
            bundle="deeplabv3plus-mobilenetv2-camvid", data="synthetic:2", miou_dropp=1)
        def test_misspelt(edgeseg_report): pass
        """
    )
    result = pytester.runpytest_inprocess(*OPTIONS, "--edgeseg-update=first")
    result.assert_outcomes(errors=2)
    printed = result.stdout.str()
    assert "models/road does not exist" in printed
    assert f"relative to {pytester.path}" in printed
    assert "has no setting miou_dropp" in printed
    assert "edgeseg/pytest_plugin.py:" not in printed


def test_the_zoos_own_network_has_another_one_for_its_yardstick():
    from edgeseg.core.zoo import default_bundle, find_bundle, zoo_names
    from edgeseg.pytest_plugin import _other_than

    default = default_bundle()
    assert _other_than(default).digest != default.digest
    slim = find_bundle(next(n for n in zoo_names() if find_bundle(n).digest != default.digest))
    assert _other_than(slim).digest == default.digest


@pytest.mark.slow
def test_the_five_lines_of_the_document_run_as_they_stand(pytester, make_bundle):
    pytest.importorskip("onnxruntime")
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 5
    bundle = make_bundle("road", (64, 96))
    (pytester.path / "models").mkdir()
    bundle.path.rename(pytester.path / "models" / "road")
    pytester.makepyfile(test_road=block)
    first = pytester.runpytest_subprocess(*OPTIONS, "--edgeseg-update=first")
    first.assert_outcomes(passed=1)
    assert len(list((pytester.path / "baselines").glob("*/*.json"))) == 1


def test_pytest_starts_without_loading_anything_heavy():
    script = (
        "import sys, edgeseg.pytest_plugin\n"
        "heavy = {'numpy', 'cv2', 'torch', 'onnx', 'onnxruntime', 'jaxtyping', 'rich', 'click'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_tests_of_one_name_in_two_files_have_a_baseline_each(project):
    # What updates last has the wrong labels: sharing its baseline, no loss would be found.
    texts = {
        f"test_{bundle}": TEST.format(bundle=bundle, first=1, last=2)
        for bundle in ("model", "inaccurate")
    }
    folder = ("test_model.py", "test_inaccurate.py", "--edgeseg-baseline=many")
    project.makepyfile(**texts)
    project.runpytest_inprocess(*OPTIONS, *folder, "--edgeseg-update=x").assert_outcomes(passed=2)
    names = {path.name for path in (project.path / "many").glob("*/*.json")}
    assert names == {"test_model.py-test_model-1.json", "test_inaccurate.py-test_model-1.json"}
    project.makepyfile(test_model=texts["test_inaccurate"])
    project.runpytest_inprocess(*OPTIONS, *folder).assert_outcomes(failed=1, passed=1)


def test_a_baseline_named_by_the_function_alone_is_still_read(project):
    options = ("model", 1, 2, "--edgeseg-baseline=elsewhere")
    run(project, *options, "--edgeseg-update=x").assert_outcomes(passed=1)
    (new,) = (project.path / "elsewhere").glob("*/*.json")
    old = new.rename(new.with_name("test_model-1.json"))
    run(project, *options).assert_outcomes(passed=1)
    assert [path.name for path in old.parent.iterdir()] == [old.name]
    run(project, "inaccurate", *options[1:]).assert_outcomes(failed=1)
