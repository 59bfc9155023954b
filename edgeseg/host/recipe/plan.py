"""Plans a recipe: the job and the options of each step; torch is not imported."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files.bounded import read_toml
from edgeseg.core.options import JobOptions, fields_by_name, options_of
from edgeseg.core.recipe import Recipe, Step
from edgeseg.errors import RecipeError, UsageError
from edgeseg.host.export.job_options import ExportJobOptions
from edgeseg.host.jobs.options import BalanceJobOptions, PruneJobOptions, TrainJobOptions
from edgeseg.host.quantization.options import CalibrationOptions, QatOptions


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that carries out steps.

    Attributes:
        options: its options.
        function: where it lives, "module:function".
        place: where in its step's folder it writes; "" for the folder.
    """

    options: type[JobOptions]
    function: str
    place: str = ""

    @property
    def resumes(self) -> bool:
        """Whether it can go on where it was cut off."""
        return "resume" in options_of(self.options)


# By the verb that does the same on the command line.
JOBS = {
    "train": Job(TrainJobOptions, "edgeseg.host.jobs.train:train_job"),
    "prune": Job(PruneJobOptions, "edgeseg.host.jobs.prune:prune_job"),
    "balance": Job(BalanceJobOptions, "edgeseg.host.jobs.balance:balance_job"),
    "qat": Job(QatOptions, "edgeseg.host.quantization.qat:qat_job"),
    "export": Job(ExportJobOptions, "edgeseg.host.export.job:export_job", "bundle"),
}
# Options that the recipe sets itself.
# A recipe may be somebody else's, and does not say whose code is run.
OWN = ("arch", "checkpoint", "init", "out", "resume", "trust")
# Options of a network that starts afresh.
FRESH = ("encoder_weights", "size", "set", "settings", "normalize")
# Options whose value may be a name that --where places.
NAMED_KEYS = ("data", "mix", "teacher", "encoder_weights")
SIZE_KEYS = ("size", "crop")
INPUT = "{input}"


def _names(cls: type[JobOptions]) -> set[str]:
    return set(fields_by_name(cls)) - set(OWN)


# Options of a step, by its kind: those of the job that carries it out. A quantize step and the qat
# after it are one job, and its options stand in the step that they are about.
_QUANTIZING = {*_names(CalibrationOptions), "data", "max_drop"}
KEYS: dict[str, tuple[str, ...]] = {
    kind: tuple(sorted(names))
    for kind, names in {
        "train": _names(TrainJobOptions),
        "finetune": _names(TrainJobOptions) - set(FRESH),
        "prune": _names(PruneJobOptions),
        "quantize": _QUANTIZING,
        "qat": (_names(QatOptions) - _QUANTIZING) | {"data"},
        "balance": _names(BalanceJobOptions),
    }.items()
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One job of a recipe.

    Attributes:
        name: of its folder: its place and kind.
        verb: key of JOBS.
        values: the job's options by name; INPUT stands for the checkpoint of the stage before.
        first: the words before the options' on the command line.
    """

    name: str
    verb: str
    values: Mapping[str, Any]
    first: tuple[str, ...]

    @property
    def job(self) -> Job:
        """The job that carries it out."""
        return JOBS[self.verb]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words that do the same on the command line, after the verb; for people and records.

        INPUT stands for the checkpoint of the stage before.
        """
        return (*self.first, *_words({k: v for k, v in self.values.items() if k not in _FIRST}))

    def line(self, before: Path | None, out: Path | None = None, *more: str) -> list[str]:
        """Return the verb and its words.

        Args:
            before: the checkpoint of the stage before; None leaves INPUT.
            out: the folder, if it is to be named.
            more: further words.
        """
        given = [str(before) if before and w == INPUT else w for w in self.arguments]
        return [self.verb, *given, *(["-o", str(out)] if out else []), *more]

    def options(self, before: Path | None, **more: Any) -> JobOptions:
        """Return the job's options.

        Args:
            before: the checkpoint of the stage before, or the recipe's start.
            more: further options, such as the folder.

        Raises:
            UsageError: a value cannot be.
        """
        given = {key: before if value == INPUT else value for key, value in self.values.items()}
        return self.job.options.of(**given, **more)


# What Stage.first spells.
_FIRST = ("arch", "checkpoint", "init", "precision", "calibrate")


def read_recipe(file: Path) -> Recipe:
    """Read a recipe's TOML file.

    Raises:
        RecipeError: the file cannot be read or is no TOML; or every unknown key, unknown kind and
            illegal order, in one message.
    """
    document = read_toml(file, RecipeError, advice="give a recipe's TOML")
    return Recipe.from_document(document, KEYS)


def stages(recipe: Recipe, where: Mapping[str, str]) -> list[Stage]:
    """Translate a recipe; a quantize step and the qat after it are one stage.

    Args:
        recipe: what to do.
        where: where each data set, teacher and encoder file lies that the recipe names; a name that
            is missing is itself a path or "synthetic".

    Raises:
        RecipeError: steps that no job can carry out as they stand; all are named.
    """
    found: list[Stage] = []
    problems: list[str] = []
    steps = list(recipe.steps)
    number = 0
    while steps:
        step = steps.pop(0)
        number += 1
        kind, verb = step.kind, step.kind
        first: tuple[str, ...] = (INPUT,)
        values = _placed(step.options, where)
        own: dict[str, Any] = {"checkpoint": INPUT}
        if kind == "train":
            own, first = {"arch": recipe.arch}, (recipe.arch,)
        elif kind == "finetune":
            own, first = {"arch": recipe.arch, "init": INPUT}, (recipe.arch, "--init", INPUT)
            verb = "train"
        elif kind == "balance":
            if not {"data", "take_back"} <= set(values):
                problems.append(f"step {number} (balance): it needs data and take_back")
                continue
        elif kind == "quantize" and steps:
            number += 1
            merged, problem = _merged(step, steps.pop(0), number)
            problems += problem
            kind = verb = "qat"
            values = _placed(merged, where)
        elif kind == "quantize":
            verb = "export"
            problem = _without_qat(values, number)
            problems += problem
            data = values.pop("data", None)
            if data is None:
                problems.append(f"step {number} (quantize): data is missing")
            if data is None or problem:
                continue
            own = {**own, "precision": "int8", "calibrate": data}
            first = (INPUT, "--int8", "--calibrate", data)
        elif kind != "prune":
            problems.append(f"step {number}: a second {kind} has no command; give it epochs")
            continue
        stage = Stage(f"{len(found) + 1}-{kind}", verb, {**own, **values}, first)
        problems += _wrong(stage, number)
        found.append(stage)
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


def _placed(options: Mapping[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """Return a step's options with the names of NAMED_KEYS replaced by where they lie."""
    placed = dict(options)
    for key in set(NAMED_KEYS) & set(options):
        value = options[key]
        if isinstance(value, str):
            placed[key] = where.get(value, value)
        elif isinstance(value, Sequence):
            placed[key] = [where.get(str(name), str(name)) for name in value]
    return placed


def _wrong(stage: Stage, number: int) -> list[str]:
    """Name the values that the job cannot take, before an earlier stage has trained for hours."""
    try:
        stage.options(Path(INPUT))
    except UsageError as error:
        return [f"step {number} ({stage.name.partition('-')[2]}): {error}"]
    return []


def _merged(quantize: Step, qat: Step, number: int) -> tuple[dict[str, Any], list[str]]:
    """Join the options of the two steps into those of one quantization-aware training."""
    problems = []
    first, second = dict(quantize.options), dict(qat.options)
    if first.get("data", second.get("data")) != second.get("data"):
        problems.append(
            f"step {number} (qat): its data is {second.get('data')!r}, that of quantize before it "
            f"{first['data']!r}; qat calibrates on what it trains on"
        )
    return {**first, **second}, problems


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


# Options that a recipe may write as the Python API has them, by their name on the command line.
_FLAGS = {"layer_ratios": "layer-ratio", "settings": "set"}


def _words(values: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for key, value in values.items():
        option = "--" + _FLAGS.get(key, key).replace("_", "-")
        if value is True:
            words.append(option)
        elif value is False:
            continue
        elif key in SIZE_KEYS:
            words += [option, value if isinstance(value, str) else "x".join(map(str, value))]
        elif isinstance(value, Mapping):
            for name, setting in value.items():
                words += [option, f"{name}={_text(setting)}"]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for item in value:
                words += [option, _text(item)]
        else:
            words += [option, _text(value)]
    return words


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
