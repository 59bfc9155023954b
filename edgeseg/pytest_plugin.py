"""pytest plugin: accuracy and latency of a bundle as an ordinary test.

    @pytest.mark.edgeseg(bundle="models/road", data="data/road", baseline="baselines")
    def test_road(edgeseg_report):
        edgeseg_report.check()

Nothing heavy is imported before such a test runs: every pytest run of an environment with edgeseg
loads this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.core.report import Report
    from edgeseg.runtime.bench.result import BenchResult
    from edgeseg.runtime.bench.run import BenchOptions
    from edgeseg.runtime.gate.judge import Tolerance
    from edgeseg.runtime.gate.verdict import Verdict

MARKER = (
    "edgeseg(bundle, data, baseline=None, backend=None, reference=None, threads=1, limit=None, "
    "**tolerance): measure a bundle with the edgeseg_report fixture"
)
# Rounds of one measurement, and the most where the machine is too busy for an interval of 8 %.
ROUNDS, MOST_ROUNDS = 30, 120
SETTINGS = ("bundle", "data", "baseline", "backend", "reference", "threads", "limit")
YARDSTICK = "yardstick"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("edgeseg", "edgeseg: accuracy and latency")
    group.addoption(
        "--edgeseg-baseline",
        metavar="PATH",
        help="File or folder of baselines, in place of the markers'.",
    )
    group.addoption(
        "--edgeseg-update",
        metavar="REASON",
        help="Write what is measured as the new baselines, with this reason.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", MARKER)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say for every measured test what was found, and aloud what could not be compared."""
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("edgeseg")
        for line in lines:
            terminalreporter.write_line(line)


LINES: pytest.StashKey[list[str]] = pytest.StashKey()
WRITTEN: pytest.StashKey[dict[Path, str]] = pytest.StashKey()
MEASURED: pytest.StashKey[dict[tuple[Any, ...], Any]] = pytest.StashKey()


@dataclasses.dataclass(frozen=True)
class Measured:
    """What `edgeseg_report` gives a test.

    Attributes:
        report: accuracy, latency, memory and sizes of the bundle.
        bench: the whole run, with the yardstick's row.
        verdict: against the baseline; None where the marker has none or it was just written.
        baseline: the file it was judged against or written to.
    """

    report: Report
    bench: BenchResult
    verdict: Verdict | None = None
    baseline: Path | None = None

    def check(self) -> None:
        """Fail the test where a figure is worse than the baseline's; skip it where none compares.

        On another machine than the baseline's, accuracy and sizes are still judged, and a pass of
        those is reported as a skip that says what was not compared.
        """
        __tracebackhide__ = True
        if self.verdict is None or self.verdict.verdict == "pass":
            return
        if self.verdict.verdict == "not_comparable":
            pytest.skip(f"not_comparable with {self.baseline}: {self.verdict.reasons()}")
        pytest.fail(f"worse than {self.baseline}: {self.verdict.reasons()}", pytrace=False)


@contextlib.contextmanager
def _told(root: Path) -> Iterator[None]:
    """Turn what the user can mend into one line instead of a traceback."""
    from edgeseg.errors import EdgesegError

    __tracebackhide__ = True
    try:
        yield
    except EdgesegError as error:
        pytest.fail(f"{error} (paths of the marker are relative to {root})", pytrace=False)


@pytest.fixture
def edgeseg_bundle(request: pytest.FixtureRequest) -> Bundle:
    """The bundle that the test's marker names, a folder or a zoo name."""
    __tracebackhide__ = True
    root = request.config.rootpath
    settings = _settings(request)
    with _told(root):
        return _bundle(settings["bundle"], root)


@pytest.fixture
def edgeseg_bench_options() -> BenchOptions:
    """How edgeseg_report measures; override it in a conftest.py to measure longer or otherwise."""
    from edgeseg.runtime.bench.run import BenchOptions

    return BenchOptions(rounds=ROUNDS, most_rounds=MOST_ROUNDS)


@pytest.fixture
def edgeseg_report(
    request: pytest.FixtureRequest, edgeseg_bundle: Bundle, edgeseg_bench_options: BenchOptions
) -> Measured:
    """Measure the marker's bundle beside a yardstick, and judge it against the marker's baseline.

    Tests with the same marker share one measurement.
    """
    __tracebackhide__ = True
    settings = _settings(request)
    # Before minutes are spent, and before a first baseline is written with a setting unheard of.
    _tolerance(settings)
    config = request.config
    measured = config.stash.setdefault(MEASURED, {})
    asked = [str(settings.get(name)) for name in SETTINGS if name != "baseline"]
    key = (edgeseg_bench_options, *asked)
    with _told(config.rootpath):
        if key not in measured:
            measured[key] = _measure(
                settings, edgeseg_bundle, edgeseg_bench_options, config.rootpath
            )
        bench = measured[key]
        report = next(row for row in bench.rows if row.run["name"] != YARDSTICK)
        found = _judged(settings, config, report, bench, request.node)
    config.stash.setdefault(LINES, []).append(_line(request.node.nodeid, found))
    return found


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("edgeseg")
    if marker is None or not {"bundle", "data"} <= set(marker.kwargs) or marker.args:
        pytest.fail(
            f"{request.node.nodeid} needs @pytest.mark.edgeseg(bundle=..., data=...), by keyword",
            pytrace=False,
        )
    return dict(marker.kwargs)


def _bundle(text: str, root: Path) -> Bundle:
    from edgeseg.core.zoo import find_bundle

    path = root / text
    return find_bundle(str(path) if path.exists() else text)


def _measure(
    settings: Mapping[str, Any], bundle: Bundle, options: BenchOptions, root: Path
) -> BenchResult:
    from edgeseg.core.data.open import open_dataset
    from edgeseg.runtime.backends.choose import installed_backends
    from edgeseg.runtime.bench.row import Entry
    from edgeseg.runtime.bench.run import bench

    backend = settings.get("backend")
    if backend is None:
        installed = installed_backends()
        if not installed:
            pytest.skip("no runtime can be used here; pip install 'edgeseg[onnxruntime]'")
        backend = installed[0]
    text = str(settings["data"])
    data = open_dataset(
        str(root / text) if (root / text).exists() else text,
        "val",
        size_hw=bundle.spec.size_hw,
        limit=settings.get("limit"),
    )
    threads = settings.get("threads", 1)
    given = {"threads": threads}
    entries = [Entry(bundle.name, bundle, backend, given)]
    named = settings.get("reference")
    yardstick = _bundle(named, root) if named else _other_than(bundle)
    # A network cannot be its own yardstick: its ratio to itself is 1 however slow it grows.
    if yardstick is not None and yardstick.digest != bundle.digest:
        entries.append(Entry(YARDSTICK, yardstick, backend, given, scored=False, reference=True))
    return bench(entries, data, options, threads=threads)


def _other_than(bundle: Bundle) -> Bundle | None:
    """Return the first of the zoo's bundles that is another network."""
    from edgeseg.core.zoo import default_bundle, find_bundle, zoo_names

    first = default_bundle()
    if first.digest != bundle.digest:
        return first
    others = (find_bundle(name) for name in zoo_names())
    return next((other for other in others if other.digest != bundle.digest), None)


def _judged(
    settings: Mapping[str, Any],
    config: pytest.Config,
    report: Report,
    bench: BenchResult,
    test: pytest.Item,
) -> Measured:
    from edgeseg.runtime.gate.baselines import (
        accept_document,
        baseline_file,
        find_baseline,
        read_rows,
    )
    from edgeseg.runtime.gate.judge import judge

    given = config.getoption("--edgeseg-baseline") or settings.get("baseline")
    if given is None:
        return Measured(report, bench)
    folder = config.rootpath / given
    # The whole id: a function's name may occur in several files.
    name = test.nodeid
    reason = config.getoption("--edgeseg-update")
    if reason is not None:
        path = baseline_file(folder, report.machine, name)
        other = config.stash.setdefault(WRITTEN, {}).setdefault(path, name)
        if other != name:
            pytest.fail(
                f"{path} is the baseline of {other} too; give each test a folder or file of its "
                "own, or ids that differ in more than signs",
                pytrace=False,
            )
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        accept_document(report.to_json(), path, reason, now)
        return Measured(report, bench, baseline=path)
    found = find_baseline(folder, report.machine, name, former=test.name)
    if found is None:
        pytest.fail(
            f"no baseline at {baseline_file(folder, report.machine, name)}; write one with "
            "pytest --edgeseg-update='first baseline' and commit it",
            pytrace=False,
        )
    before = next(iter(read_rows(found).values()))
    verdict = judge(report, baseline=before, tolerance=_tolerance(settings))
    return Measured(report, bench, verdict, found)


def _tolerance(settings: Mapping[str, Any]) -> Tolerance:
    from edgeseg.runtime.gate.judge import Tolerance

    given = {key: value for key, value in settings.items() if key not in SETTINGS}
    known = [field.name for field in dataclasses.fields(Tolerance)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        pytest.fail(
            f"@pytest.mark.edgeseg has no setting {', '.join(unknown)}; it has "
            f"{', '.join((*SETTINGS, *known))}",
            pytrace=False,
        )
    return Tolerance(**given)


def _line(test: str, measured: Measured) -> str:
    report, verdict = measured.report, measured.verdict
    parts = [f"{test}: {report.latency_ms['infer'].p50:.2f} ms"]
    if report.accuracy is not None:
        parts.append(f"mIoU {report.accuracy.miou:.4f}")
    if report.reference is not None:
        parts.append(f"{report.reference.time_ratio:.3f} of the yardstick's time")
    if verdict is not None:
        parts.append(verdict.verdict)
        if verdict.verdict == "not_comparable":
            parts.append(verdict.reasons())
    elif measured.baseline is not None:
        parts.append(f"baseline written: {measured.baseline}")
    return ", ".join(parts)
