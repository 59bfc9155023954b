"""Help shows the common options first, in groups; the rest with --advanced."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgeseg.cli import SECTIONS, VERBS, edgeseg_command, run
from edgeseg.cli.common.help_page import LAYOUT, Verb, grouped

CONTEXT = click.Context(edgeseg_command, info_name="edgeseg")
# At most so many options at first, --json and --help among them.
MOST = 17


def verb(name: str) -> click.Command:
    command = edgeseg_command.get_command(CONTEXT, name)
    assert command is not None
    return command


def help_text(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", LAYOUT)
def test_a_layout_names_options_that_exist_and_shows_few(name: str):
    command = verb(name)
    assert isinstance(command, Verb)
    context = click.Context(command, info_name=name, parent=CONTEXT)
    first, rest = grouped(command, context)
    shown = [option for group in first.values() for option in group]
    assert len(shown) == len(set(shown)) <= MOST
    required = {p for p in command.params if isinstance(p, click.Option) and p.required}
    assert required <= set(shown)
    assert len(shown) + len(rest) == sum(
        isinstance(p, click.Option) for p in command.get_params(context)
    )


@pytest.mark.parametrize("words", [("--advanced",), ("--help", "--advanced")])
def test_advanced_shows_every_option_and_help_says_so(capsys, words: tuple[str, ...]):
    short = help_text(capsys, "train", "--help")
    assert "--photometry" not in short
    assert re.search(r"\d+ more options: edgeseg train --advanced", short)
    long = help_text(capsys, "train", *words)
    assert "--photometry [none|mild|mixed|strong]" in long
    assert long.index("Data:") < long.index("Schedule:") < long.index("Advanced:")
    assert set(re.findall(r"^  .*?(--[\w-]+)", short, re.MULTILINE)) < set(
        re.findall(r"^  .*?(--[\w-]+)", long, re.MULTILINE)
    )


def test_a_word_after_two_dashes_is_no_call_for_help(capsys):
    assert run(["verify", "--", "--advanced"]) == 2
    assert "unknown bundle '--advanced'" in capsys.readouterr().err


def test_every_verb_stands_in_one_section_with_a_whole_sentence(capsys):
    names = [name for text in SECTIONS.values() for name in text.split()]
    assert sorted(names) == sorted(VERBS)
    text = help_text(capsys, "--help")
    assert "..." not in text.split("Train:")[1]
    for title in SECTIONS:
        assert f"\n{title}:\n" in text
    for name in VERBS:
        assert " ".join(str(verb(name).help).split("\n\n")[0].split()).endswith((".", "!"))


@pytest.mark.parametrize("name", [n for n in VERBS if n not in ("board", "on")])
def test_an_example_parses(name: str):
    for _, given, *words in examples(name):
        assert given == name
        verb(name).make_context(name, words, parent=CONTEXT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["models", "export", "verify", "lint", "eval", "stream", "bench"])
def test_an_example_runs_in_an_empty_folder(tmp_path: Path, name: str):
    for example in examples(name):
        done = subprocess.run(
            [sys.executable, "-m", "edgeseg.cli", *example[1:]],
            cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def examples(name: str) -> list[list[str]]:
    """Return the words of each command that a verb's help ends with."""
    text = str(verb(name).epilog).removeprefix("Example: ")
    return [shlex.split(example) for example in re.split(r"\s{4}", text)]
