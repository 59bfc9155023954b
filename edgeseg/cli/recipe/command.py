"""`edgeseg recipe`: carry out a recipe, step by step, and go on where it stopped."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from edgeseg.cli.common.options import PATH, json_option, needs
from edgeseg.cli.common.output import print_json, print_table, ratio, say
from edgeseg.errors import EdgesegError, RecipeError, UsageError

STAGE = "stage.json"


@click.command(
    name="recipe",
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
@click.option("--dry-run", is_flag=True, help="Only print the commands.")
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
    from edgeseg.cli.recipe.steps import INPUT, checkpoint_of, names_of, stages
    from edgeseg.core.recipe import Recipe

    recipe = Recipe.from_document(_toml(file))
    data = {}
    for text in where:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise UsageError(f"--where {text!r} is no NAME=DATA, such as camvid=/data/camvid")
        data[name] = place
    folder = out or Path("runs/recipe") / file.stem
    plan = stages(recipe, data)
    if idle := sorted(set(data) - names_of(recipe)):
        raise UsageError(
            f"--where {idle[0]}: {file} has no such name; it has "
            f"{', '.join(sorted(names_of(recipe))) or 'none'}"
        )
    before = Path(data.get(recipe.start, recipe.start)) if recipe.start else None
    if dry_run:
        for number, stage in enumerate(plan):
            given = [
                str(before) if word == INPUT and not number else word for word in stage.arguments
            ]
            # The result of the step before has no place yet, and its mark is no word for a shell.
            print("edgeseg", stage.verb, *(w if w == INPUT else shlex.quote(w) for w in given))
        return
    if before is not None and not before.is_file():
        raise UsageError(
            f"{before}, which the recipe starts from, is no file; say where it is with "
            f"--where {recipe.start}=CHECKPOINT"
        )
    rows: list[dict[str, Any]] = []
    for stage in plan:
        own = folder / stage.name
        _carry_out(stage, own, before)
        before = checkpoint_of(own) or before
        record = own / "scores.json"
        scores = json.loads(record.read_text()) if record.is_file() else {}
        rows.append({"step": stage.name, "folder": str(own), "scores": scores.get("scores")})
    if as_json:
        print_json({"run": str(folder), "checkpoint": str(before), "steps": rows})
        return
    print_table(
        ("step", "folder", "mIoU"),
        [(row["step"], row["folder"], ratio((row["scores"] or {}).get("miou"))) for row in rows],
        title=f"result: {before}",
    )


def _carry_out(stage: Any, folder: Path, before: Path | None) -> None:
    """Run one stage unless it is done; leave stage.json that says so.

    Raises:
        RecipeError: the folder holds the stage with other options or another input.
        EdgesegError: the command failed; it has said why.
    """
    from edgeseg.cli import run
    from edgeseg.cli.recipe.steps import INPUT
    from edgeseg.core.files import atomic_write_text, sha256_file

    arguments = [str(before) if word == INPUT else word for word in stage.arguments]
    state = {
        "command": [stage.verb, *stage.arguments],
        "input_sha256": sha256_file(before) if before else None,
    }
    path = folder / STAGE
    again = path.is_file()
    if again:
        known = json.loads(path.read_text())
        done = known.pop("done")
        if known != state:
            raise RecipeError(
                f"{folder} holds this step with other options or another input; give another -o, "
                "or remove that folder and those after it"
            )
        if done:
            say(f"{stage.name}: done already")
            return
    atomic_write_text(path, json.dumps({**state, "done": False}, indent=1) + "\n")
    words = [stage.verb, *arguments, "-o", str(folder / stage.place)]
    words += ["--resume"] if again and stage.resumes else []
    say(f"{stage.name}: edgeseg {shlex.join(words)}")
    # The steps' own tables are progress here; the result is this command's.
    with contextlib.redirect_stdout(sys.stderr):
        code = run(words)
    if code:
        raise EdgesegError(
            f"step {stage.name} ended with exit code {code}; give the same command to go on there"
        )
    atomic_write_text(path, json.dumps({**state, "done": True}, indent=1) + "\n")


def _toml(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror or error}; give a recipe's TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is no TOML: {error}") from error
