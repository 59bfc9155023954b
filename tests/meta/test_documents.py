"""The documents speak of commands, options and files that exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import edgeseg
from edgeseg.cli import VERBS, edgeseg_command
from edgeseg.cli.board.on import OWN

REPOSITORY = Path(edgeseg.__file__).parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "calibration/*.md", "deploy/*.md")
    for path in REPOSITORY.glob(pattern)
)
if not (REPOSITORY / "README.md").is_file():
    pytest.skip("the documents are not installed", allow_module_level=True)


def commands(text: str) -> list[list[str]]:
    """Every `edgeseg …` line of a shell block, and every inline `edgeseg VERB …`."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        found += [line.strip() for line in lines if re.match(r"\s*(\S*/)?edgeseg\s", line)]
    found += re.findall(r"`(edgeseg [^`]+)`", text)
    return [shlex.split(line, comments=True) for line in found]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_name_verbs_and_options_that_exist(path: Path):
    context = click.Context(edgeseg_command)
    for words in commands(path.read_text()):
        if len(words) < 2 or words[1].startswith("-") or words[1] == "VERB":
            continue
        assert words[1] in VERBS, f"{path.name}: {' '.join(words)}"
        command, rest = edgeseg_command.get_command(context, words[1]), words[2:]
        assert command is not None
        if isinstance(command, click.Group) and rest:
            command, rest = command.get_command(context, rest[0]), rest[1:]
            assert command is not None, f"{path.name}: {' '.join(words)}"
        if words[1] == "on" and len(rest) > 1:
            # The words of the verb that runs on the board.
            if rest[1] not in VERBS:
                assert rest[1] in OWN or rest[1] == "VERB", f"{path.name}: {' '.join(words)}"
                continue
            command, rest = edgeseg_command.get_command(context, rest[1]), rest[2:]
        known = {name for option in command.params for name in option.opts} | {"--help"}
        options = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert options <= known, f"{path.name}: {' '.join(words)}"


def prose(text: str) -> str:
    """Return a text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the names by which links reach a page's headings."""
    found = re.findall(r"^#+ (.+)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_files_exist(path: Path):
    text = path.read_text()
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)) if "://" not in link]
    missing = []
    for link in links:
        name, _, anchor = link.partition("#")
        place = path.parent / name if name else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            missing.append(link)
    assert not missing, f"{path.name}: {missing}"
    roots = r"`((?:edgeseg|tests|docs|deploy|calibration)/[\w./-]+\.(?:py|md|toml|txt|sh))`"
    named = [name for name in re.findall(roots, text) if not (REPOSITORY / name).exists()]
    assert not named, f"{path.name}: {named}"


def test_make_targets_of_the_documents_exist():
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "test-slow", "bench", "check"} <= targets
    for path in DOCUMENTS:
        named = set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", path.read_text(), re.MULTILINE))
        assert named <= targets, f"{path.name}: {sorted(named - targets)}"


def test_the_readme_lists_every_verb():
    table = re.findall(r"^\| `(\w+)` \|", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert table == list(VERBS)


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 120


def test_every_package_folder_is_in_the_designs_tree():
    text = (REPOSITORY / "docs" / "design.md").read_text()
    tree = text.split("### Folders")[1].split("```")[1]
    rooms = {path.name for path in (REPOSITORY / "edgeseg").iterdir() if path.is_dir()}
    assert {name for name in rooms if name != "__pycache__"} <= set(re.findall(r"(\w+)/", tree))


def test_ci_runs_make_test():
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()


@pytest.mark.slow
def test_runnable_blocks_of_the_documents_run(tmp_path: Path):
    blocks = [
        block
        for path in DOCUMENTS
        for block in re.findall(r"<!-- runnable -->\n```sh\n(.*?)```", path.read_text(), re.DOTALL)
    ]
    assert blocks
    script = f'set -e\nedgeseg() {{ "{sys.executable}" -m edgeseg.cli "$@"; }}\n' + "".join(blocks)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 0
    promised = re.search(r"reach an mIoU of (0\.\d+)", (REPOSITORY / "README.md").read_text())
    assert promised
    words = [sys.executable, "-m", "edgeseg.cli", "eval", "model", "--data", "synthetic:48"]
    scored = subprocess.run(
        [*words, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # CPUs round otherwise, and a short training follows each rounding.
    assert json.loads(scored.stdout)["miou"] == pytest.approx(float(promised[1]), abs=0.04)
