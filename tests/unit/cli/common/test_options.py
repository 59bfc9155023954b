"""job_options: a verb's options made from the options of its job."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgeseg.cli.common.options import job_options
from edgeseg.core.options import AMOUNT, SETTINGS, JobOptions, option


@dataclasses.dataclass(frozen=True)
class Demo(JobOptions):
    model: str = option(argument=True)
    source: str = option("Where from.", order=0)
    share: float = option("A share.", least=0, most=1, default=0.5)
    size: tuple[int, int] | None = option(default=None)
    budget: float | None = option(kind=AMOUNT, aliases=("macs",), default=None)
    teacher: tuple[Path, ...] = option(default=())
    settings: Mapping[str, object] = option(kind=SETTINGS, flag="set", default={})
    how: str = option(choices=("mean", "max"), default="mean")
    fast: bool = option(default=False)
    out: Path | None = option("The folder.", short="-o", default=None)


@pytest.fixture
def invoke():
    seen = []

    @click.command()
    @job_options(Demo, out="runs/demo")
    @click.option("--json", "as_json", is_flag=True)
    def command(options, as_json):
        seen.append((options, as_json))

    def call(*words):
        result = CliRunner().invoke(command, words, standalone_mode=False)
        if result.exception:
            raise result.exception
        return seen[-1] if seen else result.output

    return call


def test_every_type_arrives_as_the_field_says(invoke):
    options, as_json = invoke(
        "net", "--source", "s", "--share", "0", "--size", "3x4", "--macs", "2M", "--teacher", "a",
        "--teacher", "b", "--set", "k=1", "--how", "max", "--fast", "-o", "x", "--json",
    )  # fmt: skip
    assert as_json
    assert options == Demo(
        model="net", source="s", share=0.0, size=(3, 4), budget=2e6,
        teacher=(Path("a"), Path("b")), settings={"k": 1}, how="max", fast=True, out=Path("x"),
    )  # fmt: skip


def test_what_was_typed_is_known_even_where_it_is_the_default(invoke):
    options, _ = invoke("net", "--source", "s", "--share", "0.5")
    assert options.given == {"model", "source", "share"}


def test_help_gives_choices_ranges_and_defaults(invoke):
    text = " ".join(invoke("--help").split())
    for part in ("--how [mean|max]", "[default: 0.5; 0<=x<=1]", "--budget, --macs", "[required]"):
        assert part in text
    assert "The folder. [default: runs/demo]" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("net",), "--source"),
        (("net", "--source", "s", "--share", "2"), "2.0 is not in the range"),
        (("net", "--source", "s", "--size", "3"), "is not a size"),
        (("net", "--source", "s", "--macs", "0"), "is no amount"),
    ],
)
def test_what_cannot_be_is_a_usage_error(invoke, words, message):
    with pytest.raises(click.UsageError) as error:
        invoke(*words)
    assert message in error.value.format_message()


def test_options_of_training_verbs_load_no_torch():
    code = (
        "import sys, edgeseg.cli.common.options, edgeseg.host.training.job_options\n"
        "print(sorted({'torch', 'numpy', 'cv2'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
