"""`edgeseg recipe`: carry out a recipe, step by step, and go on where it stopped."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import Any

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import PATH, check_installed, json_option, needs, typed_command
from edgeseg.cli.common.output import answer, print_json, print_table, ratio, shown
from edgeseg.errors import UsageError


@click.command(
    name="recipe",
    cls=Verb,
    epilog="Example: edgeseg recipe calibration/deeplabv3plus-efficientnetlite0-camvid.toml "
    "--where camvid=/data/camvid --where lite0=efficientnet-lite0-57934424.pth",
)
@click.argument("file", type=PATH)
@click.option(
    "--where",
    multiple=True,
    metavar="NAME=PATH",
    help="Where the data, or the checkpoint to start or learn from, lies that the recipe calls "
    "NAME; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only print the commands, and what the data holds.")
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/recipe/NAME]")
@json_option
@needs("torch", "safetensors", "cv2")
def command(
    file: Path, where: tuple[str, ...], dry_run: bool, out: Path | None, as_json: bool
) -> None:
    """Run every step of the recipe FILE, each in a folder of its own.

    Given again, it skips steps that are done and resumes the one that was cut off. A step whose
    options or input have changed since is refused.
    """
    from edgeseg.host.recipe.plan import read_recipe, stages
    from edgeseg.host.recipe.run import recipe_job

    recipe = read_recipe(file)
    places = _places(where)
    if dry_run:
        _print_commands(recipe, places)
        return
    _check_installed({stage.verb for stage in stages(recipe, places)})
    folder = out or Path("runs/recipe") / file.stem
    with shown() as progress:
        result = recipe_job(
            recipe, folder, places, progress, command=typed_command(), on_step=_show_page
        )
    if as_json:
        print_json(result.to_json())
        return
    print_table(
        ("step", "folder", "mIoU"),
        [
            (step["step"], step["folder"], ratio((step["scores"] or {}).get("miou")))
            for step in result.steps
        ],
        title=f"result: {result.checkpoint}",
    )


def _check_installed(verbs: set[str]) -> None:
    """Check that the verbs of all steps have their libraries, before the first one trains."""
    from edgeseg.cli import VERBS

    for verb in sorted(verbs):
        verb_command = importlib.import_module(VERBS[verb]).command
        check_installed(verb, verb_command.callback.needed_modules)


def _places(texts: tuple[str, ...]) -> dict[str, str]:
    places = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise UsageError(f"--where {text!r} is no NAME=DATA, such as camvid=/data/camvid")
        places[name] = place
    return places


def _print_commands(recipe: Any, places: dict[str, str]) -> None:
    """Print what would be run, each a command to be typed."""
    from edgeseg.host.recipe.plan import INPUT, stages
    from edgeseg.host.recipe.run import check_stages_data, check_where, start_of

    plan = stages(recipe, places)
    check_where(recipe, places)
    before = start_of(recipe, places)
    for number, stage in enumerate(plan):
        words = stage.line(None if number else before)
        # The previous step has not run, so its file has no path: print the placeholder without
        # shell quotes.
        answer(
            " ".join(("edgeseg", *(word if word == INPUT else shlex.quote(word) for word in words)))
        )
    with shown() as progress:
        check_stages_data(plan, progress)


def _show_page(result: Any) -> None:
    """Write the page of a step that trained or pruned; other steps have none."""
    from edgeseg.cli.common.run_page import show_page
    from edgeseg.host.training.run_folder import RunResult

    if isinstance(result, RunResult):
        show_page(result)
