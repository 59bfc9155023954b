"""The job of `edgeseg recipe`: runs a recipe step by step, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.bounded import read_json
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.recipe import Recipe
from edgeseg.core.run_key import is_same, run_key
from edgeseg.errors import EdgesegError, RecipeError, UsageError
from edgeseg.host.recipe.plan import INPUT, Stage, names_of, stages
from edgeseg.host.training.data import splits
from edgeseg.host.training.job_options import DataOptions

STAGE = "stage.json"
AGAIN = "remove its folder and those after it, and give the same command again"


@dataclasses.dataclass(frozen=True)
class RecipeResult:
    """What a recipe ended with.

    Attributes:
        folder: of the run.
        checkpoint: the last network that a step wrote; None where the recipe has none.
        steps: for each its name ("step"), folder and scores.
    """

    folder: Path
    checkpoint: Path | None
    steps: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "run": str(self.folder),
            "checkpoint": str(self.checkpoint),
            "steps": [dict(step) for step in self.steps],
        }


def recipe_job(
    recipe: Recipe,
    folder: Path,
    where: Mapping[str, str],
    progress: ProgressCallback = silent,
    *,
    command: tuple[str, ...] = (),
    on_step: Callable[[Any], None] = lambda result: None,
) -> RecipeResult:
    """Run every step of a recipe, each in a folder of its own.

    Steps that are done are skipped, and the one that was cut off is gone on with.

    Args:
        recipe: what to do.
        folder: of the run.
        where: where the data and checkpoints lie that the recipe names.
        progress: told of every step.
        command: the words that were typed, for the records of the runs.
        on_step: called with the result of each step that was run.

    Raises:
        DataError: files of the data are damaged, or a class has no pixel to train on.
        RecipeError: a step cannot be carried out, or the folder holds it with other options or
            another input.
        UsageError: `where` places a name that the recipe has not, or the start is no file.
        EdgesegError: a step failed.
    """
    plan = stages(recipe, where)
    check_where(recipe, where)
    before = start_of(recipe, where)
    if before is not None and not before.is_file():
        raise UsageError(
            f"{before}, which the recipe starts from, is no file; say where it is with "
            f"--where {recipe.start}=CHECKPOINT"
        )
    check_stages_data(plan, progress)
    rows: list[dict[str, Any]] = []
    for stage in plan:
        own = folder / stage.name
        done = _carry_out(stage, own, before, progress, command)
        if done is not None:
            on_step(done)
        before = checkpoint_of(own) or before
        record = own / "scores.json"
        scores = _kept(record) if record.is_file() else {}
        rows.append({"step": stage.name, "folder": str(own), "scores": scores.get("scores")})
    return RecipeResult(folder, before, rows)


def check_where(recipe: Recipe, where: Mapping[str, str]) -> None:
    """Check that the recipe has every name that is placed.

    Raises:
        UsageError: it has not.
    """
    known = names_of(recipe)
    if idle := sorted(set(where) - known):
        raise UsageError(
            f"--where {idle[0]}: the recipe has no such name; it has "
            f"{', '.join(sorted(known)) or 'none'}"
        )


def check_stages_data(plan: Sequence[Stage], progress: ProgressCallback = silent) -> None:
    """Take the census of all data that the stages train on, before the first of them trains.

    Each stage says it again of its own. Folders that are not there are left to their stage.

    Raises:
        DataError: files are damaged, or a class has no pixel in train.
    """
    seen = []
    for stage in plan:
        options = stage.options(Path(INPUT))
        data, hold_out = getattr(options, "data", None), getattr(options, "hold_out", None)
        if not isinstance(options, DataOptions) or not data or not Path(data).is_dir():
            continue
        asked = (data, hold_out, options.read_options(), options.allow_empty)
        if asked not in seen:
            seen.append(asked)
            splits(data, hold_out, (64, 64), 0, None, options, progress)


def start_of(recipe: Recipe, where: Mapping[str, str]) -> Path | None:
    """Return the checkpoint that the recipe starts from, None where it trains from nothing."""
    return Path(where.get(recipe.start, recipe.start)) if recipe.start else None


def checkpoint_of(folder: Path) -> Path | None:
    """Return the checkpoint that a finished stage recorded, None for a bundle."""
    record = folder / "scores.json"
    if not record.is_file():
        return None
    path = _kept(record).get("checkpoint")
    if not isinstance(path, str | None) or "\0" in (path or ""):
        raise RecipeError(f"{record} names no checkpoint; {AGAIN}")
    return Path(path) if path else None


def _kept(file: Path) -> dict[str, Any]:
    """Return what a stage left in a file.

    Raises:
        RecipeError: the file is damaged.
    """
    found = read_json(file, RecipeError, advice=AGAIN)
    if not isinstance(found, dict):
        raise RecipeError(f"{file} is no record of a step; {AGAIN}")
    return found


def _carry_out(
    stage: Stage,
    folder: Path,
    before: Path | None,
    progress: ProgressCallback,
    command: tuple[str, ...],
) -> Any:
    """Run one stage unless it is done, and leave stage.json that says so.

    Returns:
        What the job returned; None where it was done already.
    """
    state = run_key(command=[stage.verb, *stage.arguments], input_sha256=before)
    path = folder / STAGE
    again = path.is_file()
    if again:
        known = _kept(path)
        done = known.pop("done", False) is True
        if not is_same(known, state):
            raise RecipeError(
                f"{folder} holds this step with other options or another input; give another -o, "
                "or remove that folder and those after it"
            )
        if done:
            tell(progress, f"{stage.name}: done already")
            return None
    more: dict[str, Any] = {"resume": True} if again and stage.job.resumes else {}
    options = stage.options(before, out=folder / stage.job.place, **more)
    atomic_write_text(path, json.dumps({**state, "done": False}, indent=1) + "\n")
    words = stage.line(before, folder / stage.job.place, *(["--resume"] if more else []))
    tell(progress, f"{stage.name}: edgeseg {shlex.join(words)}")
    module, _, function = stage.job.function.partition(":")
    job = getattr(importlib.import_module(module), function)
    try:
        result = job(dataclasses.replace(options, command=command), progress)
    except EdgesegError as error:
        raise EdgesegError(
            f"step {stage.name}: {error}; give the same command to go on there"
        ) from error
    atomic_write_text(path, json.dumps({**state, "done": True}, indent=1) + "\n")
    return result
