"""A recipe's steps as the commands that carry them out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.recipe import Recipe, Step
from edgeseg.errors import RecipeError

# Options that a recipe writes as the Python API has them, by their name on the command line.
FLAGS = {"layer_ratios": "layer-ratio"}
# Options whose value may be a name that --where places.
NAMED_KEYS = ("data", "mix", "teacher", "encoder_weights")
SIZE_KEYS = ("size", "crop")
INPUT = "{input}"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command of a recipe.

    Attributes:
        name: of its folder: its place and kind.
        verb: of the command line.
        arguments: the rest; INPUT stands for the checkpoint of the stage before.
        resumes: whether the verb knows --resume.
        place: where in its folder the verb writes.
    """

    name: str
    verb: str
    arguments: tuple[str, ...]
    resumes: bool = True
    place: str = ""


def stages(recipe: Recipe, data: Mapping[str, str]) -> list[Stage]:
    """Translate a recipe; a quantize step and the qat after it are one command.

    Args:
        recipe: what to do.
        data: where each data set, teacher and encoder file lies that the recipe names; a name that
            is missing is itself a path or "synthetic".

    Raises:
        RecipeError: steps that no command can carry out as they stand; all are named.
    """
    found: list[Stage] = []
    problems: list[str] = []
    steps = list(recipe.steps)
    number = 0
    while steps:
        step = steps.pop(0)
        number += 1
        name = f"{len(found) + 1}-{step.kind}"
        if step.kind == "train":
            found.append(Stage(name, "train", (recipe.arch, *_arguments(step, data))))
        elif step.kind == "finetune":
            given = ("--init", INPUT, *_arguments(step, data))
            found.append(Stage(name, "train", (recipe.arch, *given)))
        elif step.kind == "prune":
            found.append(Stage(name, "prune", (INPUT, *_arguments(step, data))))
        elif step.kind == "balance":
            if not {"data", "take_back"} <= set(step.options):
                problems.append(f"step {number} (balance): it needs data and take_back")
            given = (INPUT, *_arguments(step, data))
            found.append(Stage(name, "balance", given, resumes=False))
        elif step.kind == "quantize" and steps:
            number += 1
            merged, problem = _merged(step, steps.pop(0), number)
            problems += problem
            name = f"{len(found) + 1}-qat"
            found.append(Stage(name, "qat", (INPUT, *_arguments(merged, data))))
        elif step.kind == "quantize":
            options = dict(step.options)
            problems += _without_qat(options, number)
            where = options.pop("data", None)
            if where is None:
                problems.append(f"step {number} (quantize): data is missing")
                continue
            calibrate = ("--int8", "--calibrate", data.get(where, where))
            rest = _arguments(Step("quantize", options), data)
            given = (INPUT, *calibrate, *rest)
            found.append(Stage(name, "export", given, resumes=False, place="bundle"))
        else:
            problems.append(f"step {number}: a second {step.kind} has no command; give it epochs")
    if problems:
        raise RecipeError("recipe: " + "; ".join(problems))
    return found


def names_of(recipe: Recipe) -> set[str]:
    """Return every data set, teacher, encoder file and start of a recipe, which --where places."""
    found = {recipe.start} if recipe.start else set()
    for step in recipe.steps:
        for key in NAMED_KEYS:
            value = step.options.get(key, ())
            found |= {value} if isinstance(value, str) else set(map(str, value))
    return found


def _merged(quantize: Step, qat: Step, number: int) -> tuple[Step, list[str]]:
    """Join the two steps into what `edgeseg qat` takes."""
    problems = []
    first, second = dict(quantize.options), dict(qat.options)
    if first.get("data", second.get("data")) != second.get("data"):
        problems.append(
            f"step {number} (qat): its data is {second.get('data')!r}, that of quantize before it "
            f"{first['data']!r}; qat calibrates on what it trains on"
        )
    return Step("qat", {**first, **second}), problems


def _without_qat(options: Mapping[str, Any], number: int) -> list[str]:
    """Name what a recipe's last step asks for and export lacks: only qat ranks layers itself."""
    kept = options.get("keep_float", ())
    automatic = "auto" in ([kept] if isinstance(kept, str) else kept)
    found = {"max_drop": "max_drop" in options, 'keep_float "auto"': automatic}
    return [
        f"step {number} (quantize): {name} needs a qat step after it; add one, or name the layers "
        "in keep_float"
        for name, asked in found.items()
        if asked
    ]


def _arguments(step: Step, data: Mapping[str, str]) -> list[str]:
    words: list[str] = []
    for key, value in step.options.items():
        option = "--" + FLAGS.get(key, key).replace("_", "-")
        if value is True:
            words.append(option)
        elif value is False:
            continue
        elif key in NAMED_KEYS:
            for name in [value] if isinstance(value, str) else value:
                words += [option, data.get(str(name), str(name))]
        elif key in SIZE_KEYS:
            words += [option, _size(key, value)]
        elif isinstance(value, Mapping):
            for name, setting in value.items():
                words += [option, f"{name}={_text(setting)}"]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for item in value:
                words += [option, _text(item)]
        else:
            words += [option, _text(value)]
    return words


def _size(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    sides = value if isinstance(value, Sequence) else ()
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise RecipeError(f"{key} is {value!r}, expected [HEIGHT, WIDTH] or 'HxW'")
    return "x".join(map(str, sides))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def checkpoint_of(folder: Path) -> Path | None:
    """Return the checkpoint that a finished stage recorded, None for a bundle."""
    record = folder / "scores.json"
    if not record.is_file():
        return None
    path: str | None = json.loads(record.read_text()).get("checkpoint")
    return Path(path) if path else None
