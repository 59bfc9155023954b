"""Lay the pages of the documentation site, and build it: `make docs`.

    python tools/docs_site.py [--stage]

Pages are the project's Markdown files, copied with their links bent to the site, and reference
pages made from the code: verbs from the commands, keys of files from their dataclasses, registries,
errors, and the API from docstrings. `--stage` writes build/docs and does not build.
"""

from __future__ import annotations

import ast
import dataclasses
import html
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD = REPOSITORY / "build"
IMAGES = (".png", ".jpg", ".svg")

# Section -> pages in order: a file of the repository and its title. What does not exist is left
# out; a page of docs/ that is named nowhere stands at the end of Guides.
NAV: dict[str, tuple[tuple[str, str], ...]] = {
    "Start": (
        ("README.md", "edgeseg"),
        ("docs/install.md", "Install by machine"),
        ("docs/own-data.md", "Your own data"),
        ("docs/import.md", "Your own network"),
        ("docs/python.md", "From Python"),
    ),
    "Guides": (
        ("docs/data.md", "Data layouts"),
        ("docs/training.md", "Train"),
        ("docs/pruning.md", "Prune"),
        ("docs/quantization.md", "Quantize"),
        ("docs/tensorrt.md", "TensorRT"),
        ("docs/runtimes.md", "Export for other runtimes"),
        ("docs/board.md", "A board from the desk"),
        ("jetson.md", "On a Jetson"),
        ("deploy/README.md", "Deploy"),
        ("docs/streaming.md", "Camera"),
        ("docs/dashboard.md", "The live page"),
        ("docs/regression-tests.md", "Regression tests"),
        ("docs/crf.md", "Dense CRF"),
    ),
    "Reference": (),
    "Why": (("docs/design.md", "Design"), ("CONTRIBUTING.md", "Contributing")),
    "Choose a model": (
        ("docs/choose.md", "Which network"),
        ("docs/zoo.md", "The shipped models"),
        ("docs/models.md", "Architectures"),
        ("calibration/README.md", "How they were made"),
    ),
    "FAQ": (("docs/faq.md", "FAQ"),),
    "Experiments": (("docs/experiments.md", "Experiments"), ("CHANGELOG.md", "Changes")),
}
OTHER = ("SECURITY.md",)
# The registries, by the room that lists them.
REGISTRIES = (
    ("edgeseg.host.models", "HEADS"),
    ("edgeseg.host.models", "BACKBONES"),
    ("edgeseg.host.models", "MODELS"),
    ("edgeseg.core.data.open", "FORMATS"),
    ("edgeseg.core.metrics", "METRICS"),
    ("edgeseg.host.quantization.observers", "OBSERVERS"),
    ("edgeseg.host.pruning.options", "IMPORTANCES"),
    ("edgeseg.lint.rules", "LINT_RULES"),
    ("edgeseg.runtime.backends.open", "BACKENDS"),
    ("edgeseg.runtime.sources.open", "SOURCES"),
    ("edgeseg.runtime.sinks.open", "SINKS"),
)


def markdown_cell(text: str) -> str:
    """Return a text that stands in one cell of a table."""
    if text.startswith("<code>"):
        return text
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Return a text as code; a bar in it does not end a table's cell."""
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(map(markdown_cell, line))} |" for line in lines) + "\n"


def attributes(kind: type) -> list[tuple[str, str, str]]:
    """Return name, type and meaning of a dataclass's fields, from its docstring.

    Raises:
        ValueError: the docstring does not tell of a field.
    """
    text = inspect.getdoc(kind) or ""
    block = text.partition("Attributes:\n")[2]
    told = {
        name: " ".join(meaning.split())
        for name, meaning in re.findall(
            r"^    (\w+): (.*?)(?=^    \w+: |^\S|\Z)", block, re.MULTILINE | re.DOTALL
        )
    }
    fields = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    missing = [name for name in fields if name not in told and block]
    if missing:
        raise ValueError(f"{kind.__name__}: its docstring says nothing of {', '.join(missing)}")
    return [(f"`{name}`", code(kinds), told.get(name, "")) for name, kinds in fields.items()]


def verb_page(command: click.Command, context: click.Context) -> str:
    """Return the page of one verb: usage, what it does, every option by group, its example."""
    from edgeseg.cli.common.help_page import grouped

    lines = [f"# {context.command_path}\n"]
    lines += ["```text\n" + command.get_usage(context).removeprefix("Usage: ") + "\n```\n"]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines.append(" ".join(paragraph.split()).replace("<", "&lt;") + "\n")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None
            inner = click.Context(part, info_name=name, parent=context)
            lines.append(verb_page(part, inner).replace("# edgeseg", "## edgeseg", 1))
    first, rest = grouped(command, context)
    for title, options in {**first, **({"Advanced": rest} if rest else {})}.items():
        rows = []
        for option in options:
            names, text = option.get_help_record(context) or ("", "")
            # [default: 5] is no link.
            rows.append((code(names), text.replace("[", "\\[")))
        lines += [f"## {title}\n", table(("option", "what it does"), rows)]
    if command.epilog:
        examples = re.split(r"\s{4}", command.epilog.removeprefix("Example: "))
        lines.append("## Example\n\n```sh\n" + "\n".join(examples) + "\n```\n")
    return "\n".join(lines)


def verbs() -> Iterator[tuple[str, str]]:
    """Yield each verb and its page."""
    from edgeseg.cli import VERBS, edgeseg_command

    top = click.Context(edgeseg_command, info_name="edgeseg")
    for name in VERBS:
        command = edgeseg_command.get_command(top, name)
        assert command is not None
        yield name, verb_page(command, click.Context(command, info_name=name, parent=top))


def verb_index() -> str:
    """Return the page that lists the verbs by what they are for."""
    from edgeseg.cli import SECTIONS, edgeseg_command

    top = click.Context(edgeseg_command, info_name="edgeseg")
    lines = [
        "# Verbs\n",
        "Made from the commands; `edgeseg VERB --advanced` prints the same.\n",
    ]
    for title, names in SECTIONS.items():
        rows = []
        for name in names.split():
            command = edgeseg_command.get_command(top, name)
            text = (command.help if command else "") or ""
            rows.append((f"[`{name}`]({name}.md)", text.split("\n\n")[0]))
        lines += [f"## {title}\n", table(("verb", "does"), rows)]
    return "\n".join(lines)


def recipe_keys() -> list[tuple[str, str, str, str]]:
    """Return kind, key, type and meaning of what a recipe's steps may hold."""
    from edgeseg.core.options import options_of
    from edgeseg.host.recipe.plan import JOBS, KEYS

    about: dict[str, tuple[str, str]] = {}
    for job in JOBS.values():
        for name, (option, _) in options_of(job.options).items():
            field = job.options.__dataclass_fields__[name]
            for spelled in {name, option.flag or name}:
                about.setdefault(spelled, (code(str(field.type)), option.help))
    return [
        (f"`{kind}`", f"`{key}`", *about[key])
        for kind, keys in KEYS.items()
        for key in sorted(keys)
        if key in about and about[key][1]
    ]


def files_page() -> str:
    """Return the page about the keys of every file that edgeseg reads or writes."""
    from edgeseg.core.bundle import Bundle
    from edgeseg.core.report import Accuracy, Memory, Reference, Report
    from edgeseg.core.spec import ModelSpec, Preprocess
    from edgeseg.runtime.gate.budget import Budget

    head = ("key", "type", "what it is")
    design = (REPOSITORY / "docs" / "design.md").read_text()
    classes = re.search(r"^\| line \| means \|\n(?:\|.*\n)+", design, re.MULTILINE)
    if classes is None:
        raise ValueError("docs/design.md has no table of classes.txt's lines")
    lines = [
        "# Files\n",
        "Keys and types of the files that edgeseg reads and writes, made from the classes that "
        "read them.\n",
        "## classes.txt\n",
        "A class a line, in label order; `#` begins a comment.\n",
        classes[0],
        "## Recipe\n",
        "A TOML file for `edgeseg recipe`: `arch`, and `[[step]]` tables with `kind` and the "
        "keys of that kind.\n",
        table(("kind", "key", "type", "what it is"), recipe_keys()),
        "## Budget\n",
        "A TOML file for `edgeseg gate --budget` with one `[budget]` table. What is not named has "
        "no limit.\n",
        table(head, attributes(Budget)),
        "## Report\n",
        "The JSON of `edgeseg stream --json` and of each row of `edgeseg bench`. Times in ms, "
        "memory in bytes, ratios 0 to 1.\n",
        table(head, attributes(Report)),
    ]
    for kind in (Accuracy, Memory, Reference):
        lines += [f"### {kind.__name__}\n", table(head, attributes(kind))]
    lines += [
        "## Manifest\n",
        "`manifest.json` of a bundle. `files` holds bytes and SHA-256 of each file beside it.\n",
        table(head, [row for row in attributes(Bundle) if row[0] != "`path`"]),
    ]
    for kind in (ModelSpec, Preprocess):
        lines += [f"### {kind.__name__}\n", table(head, attributes(kind))]
    return "\n".join(lines)


def registries_page() -> str:
    """Return the page that lists every registry, its names, and its entry point group."""
    import importlib

    lines = [
        "# Registries\n",
        "Names that can be typed, and the entry point group through which a package of yours "
        "adds one ([design](../docs/design.md#adding-things)).\n",
    ]
    for module, name in REGISTRIES:
        registry = getattr(importlib.import_module(module), name)
        lines += [
            f"## {registry.kind}\n",
            f"`{name}` of `{module}`; entry points `{registry.group}`.\n",
            table(("name", "lives in"), [(f"`{one}`", f"`{registry[one]}`") for one in registry]),
        ]
    return "\n".join(lines)


def errors_page() -> str:
    """Return the page about errors and exit codes."""
    import edgeseg.errors as errors

    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    ]
    rows = [
        (f"`{kind.__name__}`", str(kind.exit_code), f"`{kind.__bases__[0].__name__}`", kind.__doc__)
        for kind in sorted(kinds, key=lambda kind: inspect.getsourcelines(kind)[1])
    ]
    return (
        "# Errors and exit codes\n\n"
        "Every deliberate error is one line: what was given, what was expected, what to do. From "
        "Python they are exceptions of `edgeseg.errors`. Exit code 0 is success, 130 an "
        "interrupt.\n\n" + table(("error", "exit code", "is a", "when"), rows)
    )


def api_page() -> str:
    """Return the page whose text mkdocstrings makes from docstrings: the names of `edgeseg`."""
    homes = next(
        ast.literal_eval(node.value)
        for node in ast.parse((REPOSITORY / "edgeseg" / "__init__.py").read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "_HOMES"
    )
    lines = [
        "# Python API\n",
        "`import edgeseg` gives these names; each is loaded when it is first used.\n",
    ]
    lines += [f"::: {home}.{name}\n" for name, home in homes.items() if not name.isupper()]
    return "\n".join(lines)


def pages() -> dict[str, list[tuple[str, str]]]:
    """Return section -> (file of the repository, title) of what exists, new guides included."""
    found = {
        section: [(path, title) for path, title in listed if (REPOSITORY / path).is_file()]
        for section, listed in NAV.items()
    }
    named = {path for listed in found.values() for path, _ in listed}
    for path in sorted((REPOSITORY / "docs").glob("*.md")):
        if f"docs/{path.name}" not in named:
            title = path.read_text().splitlines()[0].lstrip("# ")
            found["Guides"].append((f"docs/{path.name}", title))
    return found


def staged_name(path: str) -> str:
    """Return where a file of the repository lies in the site: README.md is its front page."""
    return "index.md" if path == "README.md" else path.replace("README.md", "index.md")


def bent(text: str, source: str, staged: dict[str, str]) -> str:
    """Return a page whose links to files outside the site show their path instead.

    Args:
        text: Markdown.
        source: its path in the repository.
        staged: path in the repository -> path in the site, of all pages and pictures.
    """
    here = (REPOSITORY / source).parent
    depth = staged[source].count("/")

    def bend(match: re.Match[str]) -> str:
        target, anchor = match[2], match[3] or ""
        if "://" in target or not target:
            return match[0]
        where = (here / target).resolve().relative_to(REPOSITORY).as_posix()
        if where not in staged:
            return match[0]
        return f"]({'../' * depth}{staged[where]}{anchor})"

    return re.sub(r"(\]\()([^)#\s]*)(#[^)\s]*)?\)", bend, text)


def stage(out: Path) -> list[Any]:
    """Write every page below `out`; return the navigation for mkdocs."""
    shutil.rmtree(out, ignore_errors=True)
    listed = pages()
    files = [path for group in listed.values() for path, _ in group] + list(OTHER)
    pictures = [
        path.relative_to(REPOSITORY).as_posix()
        for path in sorted((REPOSITORY / "docs").rglob("*"))
        if path.suffix in IMAGES
    ]
    staged = {path: staged_name(path) for path in [*files, *pictures]}
    for path in pictures:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / path, out / path)
    made = {
        "reference/verbs/index.md": verb_index(),
        **{f"reference/verbs/{name}.md": text for name, text in verbs()},
        "reference/files.md": files_page(),
        "reference/registries.md": registries_page(),
        "reference/errors.md": errors_page(),
        "reference/api.md": api_page(),
    }
    made |= {staged[p]: bent((REPOSITORY / p).read_text(), p, staged) for p in files}
    for name, text in made.items():
        place = out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    nav: list[Any] = []
    for section, group in listed.items():
        entries: list[Any] = [{title: staged[path]} for path, title in group]
        if section == "Reference":
            entries = [
                {
                    "Verbs": [
                        "reference/verbs/index.md",
                        *sorted(f"reference/verbs/{n}.md" for n, _ in verbs()),
                    ]
                },
                {"Files": "reference/files.md"},
                {"Registries": "reference/registries.md"},
                {"Errors": "reference/errors.md"},
                {"Python API": "reference/api.md"},
            ]
        if section == "Experiments":
            entries.append({"Security": "SECURITY.md"})
        nav.append(entries[0] if section == "FAQ" else {section: entries})
    return nav


def main(arguments: list[str]) -> int:
    """Stage, and unless --stage build; return the exit code."""
    nav = stage(BUILD / "docs")
    config = {"INHERIT": "../mkdocs.yml", "docs_dir": "docs", "site_dir": "site", "nav": nav}
    (BUILD / "mkdocs.yml").write_text(json.dumps(config, indent=1))
    if "--stage" in arguments:
        return 0
    # The theme's maker announces its successor on every run.
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", BUILD / "mkdocs.yml"],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    sys.exit(main(sys.argv[1:]))
