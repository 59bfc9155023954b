"""`make release-check` finds what must not be released; the habits' YAML parses and calls make."""

import re
import zipfile
from pathlib import Path

import pytest
import release_check
import yaml

REPOSITORY = release_check.REPOSITORY
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
GITHUB = REPOSITORY / ".github"
if not GITHUB.is_dir():
    pytest.skip("not a checkout", allow_module_level=True)
YAML = sorted([*GITHUB.rglob("*.yml"), REPOSITORY / ".pre-commit-config.yaml"])


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_yaml_parses_and_calls_targets_that_exist(path: Path):
    document = yaml.safe_load(path.read_text())
    if path.parent.name == "ISSUE_TEMPLATE":
        assert document["name"]
        assert document["description"]
        assert all(item["type"] in ("textarea", "input", "checkboxes") for item in document["body"])
        return
    called = {
        word
        for line in re.findall(r"(?:run|entry): (make .+)", path.read_text())
        for word in re.findall(r"make ([\w-]+)", line)
    }
    assert called
    assert called <= TARGETS


def test_tests_run_on_every_python_the_package_claims_and_on_both_machines():
    jobs = yaml.safe_load((GITHUB / "workflows" / "test.yml").read_text())["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    floor = release_check.project(REPOSITORY)["requires-python"]
    assert floor == f">={matrix['python'][0]}"
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert [name.endswith("-arm") for name in matrix["machine"]] == [False, True]


def test_the_shipped_weights_have_terms():
    assert [c for c in release_check.weights(REPOSITORY) if c.problem] == []


def test_versions_agree():
    problems = {c.name: c.problem for c in release_check.versions(REPOSITORY)}
    assert not problems["version in edgeseg/__init__.py"]
    assert not problems["version in CITATION.cff"]
    assert not problems["version in packaging/zoo/pyproject.toml"]
    assert not problems["version in the extra zoo"]


def test_every_installed_dependency_has_an_open_licence():
    checks = list(release_check.licences(REPOSITORY))
    assert {"licence of click", "licence of torch"} <= {c.name for c in checks}
    assert [(c.name, c.problem) for c in checks if c.problem] == []


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("MIT", True),
        ("GPL-2.0 OR BSD-3-Clause", True),
        ("LGPL-2.1", False),
        ("MIT AND GPL-3.0", False),
        ("GNU Affero General Public License v3 (AGPL)", False),
        ("NVIDIA Proprietary Software", False),
        ("", False),
    ],
)
def test_a_licence_passes_or_not(said: str, passes: bool):
    assert (release_check.licence_problem(said) == "") is passes


def test_a_wheel_with_an_engine_or_a_stray_folder_fails(tmp_path: Path):
    path = tmp_path / "edgeseg-9.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("edgeseg/a.py", "edgeseg/net.engine", "tests/x.py",
                     "edgeseg-9.0.dist-info/METADATA"):  # fmt: skip
            archive.writestr(name, "")
    problems = {c.name.partition(": ")[2]: c.problem for c in release_check.wheel(path)}
    assert problems["nothing beside the package"] == "tests"
    assert problems["no built or secret files"] == "edgeseg/net.engine"
    assert problems["metadata and licence"] == "no edgeseg-9.0.dist-info/licenses/LICENSE"
    assert problems["size"] == ""


def test_a_version_that_differs_or_waiting_changes_fail(tmp_path: Path):
    (tmp_path / "edgeseg").mkdir()
    (tmp_path / "packaging" / "zoo").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nversion = "2.0"\n[project.optional-dependencies]\nzoo = ["edgeseg-zoo==2.0"]\n'
    )
    (tmp_path / "packaging" / "zoo" / "pyproject.toml").write_text('[project]\nversion = "1.9"\n')
    (tmp_path / "edgeseg" / "__init__.py").write_text('__version__ = "1.9"\n')
    (tmp_path / "CITATION.cff").write_text("version: 2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("# C\n\n## Unreleased\n\n- new\n\n## 1.9\n\n- old\n")
    problems = [c.problem for c in release_check.versions(tmp_path)]
    assert problems == [
        "says 1.9, pyproject.toml 2.0",
        "says 1.9, pyproject.toml 2.0",
        "",
        "",
        "CHANGELOG.md has no '## 2.0'; name the release and its date",
        "1 changes still stand under Unreleased",
    ]
