"""What a release must hold: `make release-check`.

Checks the built wheels (contents and sizes), that all places name one version, the licences of
every dependency that is installed, and that the terms of all shipped weights are written down.
Prints a line for each check and exits with 1 where one failed.

    python tools/release_check.py [DIST]
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parent.parent
# Bytes of each wheel, by the name of its distribution.
LIMITS = {"edgeseg": 18e6, "edgeseg-zoo": 32e6}
LARGEST_FILE = 10e6
# Built things, caches and secrets never ship.
FOREIGN = (".pyc", ".plan", ".engine", ".timingcache", ".pt", ".pth", ".pkl", ".env", ".pem")
# A licence passes where one of these is in what the package says of itself.
OPEN = ("apache", "mit", "bsd", "isc", "psf", "python software foundation", "mpl", "mozilla public",
        "zlib", "unlicense", "cc0", "bsl-1.0")  # fmt: skip
CLOSED = ("gpl", "agpl", "commercial", "proprietary")
# Not open source. Nothing of them ships here; they come from NVIDIA, on the user's own install.
NAMED = {"tensorrt": "NVIDIA", "cuda-python": "NVIDIA"}


@dataclass(frozen=True)
class Check:
    """One line of the result.

    Attributes:
        name: what was looked at.
        problem: what is wrong and what to do; empty where all is well.
        note: what was seen, or why nothing could be.
    """

    name: str
    problem: str = ""
    note: str = ""


def project(root: Path) -> dict[str, Any]:
    """Return the `project` table of pyproject.toml."""
    with (root / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
        return table


def versions(root: Path) -> Iterator[Check]:
    """Hold that pyproject, package, citation and changelog name one version."""
    wanted = project(root)["version"]
    text = (root / "edgeseg" / "__init__.py").read_text()
    cited = yaml.safe_load((root / "CITATION.cff").read_text())
    changes = (root / "CHANGELOG.md").read_text()
    found = re.findall(r'^__version__ = "(.+)"', text, re.MULTILINE)
    with (root / "packaging" / "zoo" / "pyproject.toml").open("rb") as file:
        zoo = tomllib.load(file)["project"]["version"]
    extra = project(root)["optional-dependencies"]["zoo"]
    for where, said in (
        ("edgeseg/__init__.py", found[0] if found else None),
        ("packaging/zoo/pyproject.toml", zoo),
        ("the extra zoo", extra[0].partition("==")[2]),
        ("CITATION.cff", str(cited["version"])),
    ):
        problem = "" if said == wanted else f"says {said}, pyproject.toml {wanted}"
        yield Check(f"version in {where}", problem, wanted)
    headings = re.findall(r"^## (.+)$", changes, re.MULTILINE)
    released = [line for line in headings if line.split()[0].strip("[]") == wanted]
    problem = (
        "" if released else f"CHANGELOG.md has no '## {wanted}'; name the release and its date"
    )
    yield Check("changelog", problem, "".join(released))
    held = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changes, re.MULTILINE | re.DOTALL)
    waiting = held[1].count("\n- ") + held[1].startswith("- ") if held else 0
    problem = f"{waiting} changes still stand under Unreleased" if waiting else ""
    yield Check("changelog, Unreleased", problem, "empty")


def licence_of(distribution: importlib.metadata.Distribution) -> str:
    """Return what a package says of its licence: expression, classifiers, or its field's start."""
    about = distribution.metadata
    parts = [about.get("License-Expression") or ""]
    parts += [
        line.rpartition("::")[2].strip()
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: OSI Approved")
    ]
    if not any(parts):
        parts.append((about.get("License") or "").strip()[:80])
    return "; ".join(part for part in parts if part)


def licence_problem(said: str) -> str:
    """Return why a licence does not pass; empty where it does.

    Of "A OR B" one must pass, of "A AND B" each.
    """
    low = said.lower()
    if not low:
        return "says nothing of its licence; read its files, then name it in NAMED"
    for part in re.split(r"\band\b|;", low):
        if not any(is_open(choice) for choice in re.split(r"\bor\b", part)):
            return f"{said!r} is none of {', '.join(OPEN)}"
    return ""


def is_open(name: str) -> bool:
    """Tell whether one licence is open and not reciprocal on what uses it."""
    return any(word in name for word in OPEN) and not any(word in name for word in CLOSED)


def required(root: Path) -> list[str]:
    """Return the names of all requirements, those of the extras included."""
    about = project(root)
    lines = [
        *about["dependencies"],
        *(x for e in about["optional-dependencies"].values() for x in e),
    ]
    return sorted({normal(line) for line in lines} - {"edgeseg", "edgeseg-zoo"})


def normal(line: str) -> str:
    """Return the normalized name of a requirement."""
    match = re.match(r"[\w.-]+", line)
    return re.sub(r"[-_.]+", "-", match[0] if match else line).lower()


def licences(root: Path) -> Iterator[Check]:
    """Check the licence of each requirement and of what they require, where it is installed."""
    waiting, seen = required(root), set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name in NAMED:
            yield Check(f"licence of {name}", note=f"{NAMED[name]}'s own; not shipped")
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(f"licence of {name}", note="not installed here, not checked")
            continue
        said = licence_of(found)
        yield Check(f"licence of {name}", licence_problem(said), said)
        waiting += [normal(line) for line in found.requires or [] if "extra ==" not in line]


def weights(root: Path) -> Iterator[Check]:
    """Check that zoo.toml tells the licence of each shipped model, and of what it learnt from."""
    zoo = root / "edgeseg" / "zoo"
    with (zoo / "zoo.toml").open("rb") as file:
        told = tomllib.load(file)
    shipped = sorted(path.parent.name for path in zoo.glob("*/manifest.json"))
    for name in sorted({*shipped, *told["models"]}):
        entry = told["models"].get(name)
        if entry is None or name not in shipped:
            where = "zoo.toml does not name it" if entry is None else "zoo.toml names it, no folder"
            yield Check(f"weights of {name}", where)
            continue
        unknown = [one for one in entry["terms"] if one not in told["terms"]]
        problem = f"zoo.toml has no terms {', '.join(unknown)}" if unknown else ""
        if not entry["terms"] or licence_problem(entry["licence"]):
            problem = problem or f"licence {entry['licence']!r}, terms {entry['terms']}"
        yield Check(
            f"weights of {name}", problem, f"{entry['licence']}, {', '.join(entry['terms'])}"
        )


def wheel(path: Path) -> Iterator[Check]:
    """Check names, sizes and metadata of one wheel."""
    name, version = path.name.split("-")[:2]
    limit = LIMITS.get(name.replace("_", "-"))
    size = path.stat().st_size
    if limit is None:
        yield Check(path.name, f"no limit is set for {name}; add it to LIMITS")
        return
    problem = f"{size / 1e6:.1f} MB, at most {limit / 1e6:.0f}" if size > limit else ""
    yield Check(f"{path.name}: size", problem, f"{size / 1e6:.1f} MB")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    info = f"{name}-{version}.dist-info"
    tops = sorted({each.split("/")[0] for each in names} - {name, info})
    foreign = [each for each in names if each.endswith(FOREIGN) or "/." in each]
    large = [e.filename for e in entries if e.file_size > LARGEST_FILE]
    lacks = [each for each in (f"{info}/METADATA", f"{info}/licenses/LICENSE") if each not in names]
    for what, found in (
        ("nothing beside the package", tops),
        ("no built or secret files", foreign),
        (f"no file above {LARGEST_FILE / 1e6:.0f} MB", large),
        ("metadata and licence", [f"no {each}" for each in lacks]),
    ):
        yield Check(f"{path.name}: {what}", ", ".join(found), f"{len(names)} files")


def wheels(root: Path, dist: Path) -> Iterator[Check]:
    """Check the wheels of this version in a folder."""
    version = project(root)["version"]
    for name in LIMITS:
        found = sorted(dist.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
        if not found:
            yield Check(f"wheel of {name} {version}", f"none in {dist}; make wheel")
        for path in found:
            yield from wheel(path)


def main(arguments: list[str]) -> int:
    """Print all checks; return the exit code."""
    dist = Path(arguments[0]) if arguments else REPOSITORY / "dist"
    checks = [
        *versions(REPOSITORY),
        *wheels(REPOSITORY, dist),
        *licences(REPOSITORY),
        *weights(REPOSITORY),
    ]
    for check in checks:
        mark = "FAIL" if check.problem else "ok"
        print(f"{mark:4}  {check.name}: {check.problem or check.note}")
    failed = sum(bool(check.problem) for check in checks)
    unseen = sum("not checked" in check.note for check in checks)
    verdict = "fail" if failed else "pass"
    print(f"{verdict}: {len(checks)} checks, {failed} failed, {unseen} not checked")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
