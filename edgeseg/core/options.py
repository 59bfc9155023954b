"""Options of a job, declared once: each field of a dataclass carries its help, range and choices.

The command line makes its options from such a class, the Python API and a recipe give the same
names to `JobOptions.of`, and the job itself reads the fields.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError

UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}
# What an option may hold beside what its annotation says.
AMOUNT, RATIOS, SETTINGS, BACKEND = "amount", "ratios", "settings", "backend"
KEY = "option"

# As many as torch and numpy take, after a training has multiplied it.
LARGEST_SEED = 2**32 - 1
DATA_HELP = (
    "'synthetic' or 'synthetic:N' (N frames), images/, masks/ and classes.txt in a folder, or an "
    "export of COCO, VOC, Cityscapes, CVAT, Roboflow, LabelMe, Ultralytics, ADE20K and others "
    "(docs/data.md)"
)

Class = TypeVar("Class", bound="JobOptions")


@dataclasses.dataclass(frozen=True)
class Option:
    """What a field of a JobOptions says beside its name, type and default.

    Attributes:
        help: one sentence for `--help`.
        flag: the option's name, with underscores, where it is not the field's.
        aliases: further names, with underscores.
        short: a one-letter form such as "-o".
        metavar: stands for the value in `--help`.
        choices: the names that may be given, or a function that returns them.
        least: the smallest value.
        most: the largest value.
        least_open: `least` itself is too small.
        most_open: `most` itself is too large.
        kind: AMOUNT (a share, or a count such as 2.1G), RATIOS (LAYER=RATIO), SETTINGS
            (KEY=VALUE) or BACKEND (a name of that registry); "" for what the annotation says.
        default_text: what `--help` prints as the default instead of the value.
        argument: a positional argument of the command line.
        order: `--help` lists lower numbers first: 0 data, 1 more of it, 2 the verb's own, 3 and 4
            training, 5 the run, 6 its folder.
    """

    help: str = ""
    flag: str = ""
    aliases: tuple[str, ...] = ()
    short: str = ""
    metavar: str | None = None
    choices: Sequence[str] | Callable[[], Sequence[str]] = ()
    least: int | float | None = None
    most: int | float | None = None
    least_open: bool = False
    most_open: bool = False
    kind: str = ""
    default_text: str = ""
    argument: bool = False
    order: int = 2

    def names(self) -> Sequence[str]:
        """Return the choices; empty where anything may be given."""
        return self.choices() if callable(self.choices) else self.choices


def option(what: str | Option = "", /, *, default: Any = dataclasses.MISSING, **about: Any) -> Any:
    """Return a dataclass field with an Option; without a default it must be given.

    Args:
        what: its help, or an Option to begin with.
        default: of the field.
        about: the Option's other attributes.
    """
    base = what if isinstance(what, Option) else Option(what)
    metadata = {KEY: dataclasses.replace(base, **about)}
    if isinstance(default, Mapping):
        return dataclasses.field(
            default_factory=lambda: dict(default), kw_only=True, metadata=metadata
        )
    return dataclasses.field(default=default, kw_only=True, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """Base of the options of one job: checks every value, knows what was given.

    Attributes:
        given: names of the fields that the caller gave; None where that is not known, and then a
            field counts as given if it is not its default.
        command: the words that were typed; none where a program made the options.
    """

    given: frozenset[str] | None = dataclasses.field(
        default=None, kw_only=True, compare=False, repr=False
    )
    command: tuple[str, ...] = dataclasses.field(
        default=(), kw_only=True, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Report all values out of range and unknown choices at once."""
        problems = [
            problem
            for name, (about, _) in options_of(type(self)).items()
            for problem in _problems(name, getattr(self, name), about)
        ]
        if problems:
            raise UsageError("; ".join(problems))

    @classmethod
    def of(cls: type[Class], **given: Any) -> Class:
        """Make options of names and values as the verb's options have them, with underscores.

        Raises:
            UsageError: there is no such option, one is missing, or a value cannot be.
        """
        fields = fields_by_name(cls)
        own: dict[str, Any] = {}
        for name, value in given.items():
            if name not in fields:
                raise UsageError(unknown("option", name, sorted(fields)))
            own[fields[name]] = value
        missing = [
            spelled(field.name, field.metadata[KEY])
            for field in dataclasses.fields(cls)
            if KEY in field.metadata and is_required(field) and field.name not in own
        ]
        if missing:
            raise UsageError(f"{' and '.join(missing)} must be given")
        return cls.parsed(own, frozenset(own))

    @classmethod
    def parsed(
        cls: type[Class],
        values: Mapping[str, Any],
        given: frozenset[str],
        command: tuple[str, ...] = (),
    ) -> Class:
        """Make options of values by field, texts among them, of which `given` were asked for.

        Raises:
            UsageError: a value cannot be.
        """
        problems: list[str] = []
        own: dict[str, Any] = {}
        for name, value in values.items():
            about, hint = options_of(cls)[name]
            try:
                own[name] = _converted(value, about, hint)
            except UsageError as error:
                problems.append(f"{spelled(name, about)}: {error}")
        if problems:
            raise UsageError("; ".join(problems))
        return cls(**own, given=given, command=command)

    def was_given(self, name: str) -> bool:
        """Tell whether the caller gave a field's value."""
        if self.given is not None:
            return name in self.given
        return bool(getattr(self, name) != default_of(type(self), name))

    def refuse_given(self, names: Iterable[str], why: str) -> None:
        """Refuse values that would change nothing.

        Args:
            names: fields.
            why: what makes them idle.

        Raises:
            UsageError: some were given.
        """
        options = options_of(type(self))
        found = [spelled(name, options[name][0]) for name in names if self.was_given(name)]
        if found:
            raise UsageError(f"{', '.join(found)} would change nothing: {why}")


def options_of(cls: type[JobOptions]) -> dict[str, tuple[Option, Any]]:
    """Return option and type of each field, in the order of `--help`."""
    hints = typing.get_type_hints(cls)
    found = {
        field.name: (field.metadata[KEY], hints[field.name])
        for field in dataclasses.fields(cls)
        if KEY in field.metadata
    }
    return dict(sorted(found.items(), key=lambda item: item[1][0].order))


def fields_by_name(cls: type[JobOptions]) -> dict[str, str]:
    """Return the field that each name of an option stands for: its flag's, its own, an alias."""
    return {
        name: field
        for field, (about, _) in options_of(cls).items()
        for name in (field, about.flag or field, *about.aliases)
    }


def default_of(cls: type[JobOptions], name: str) -> Any:
    """Return the default of a field, dataclasses.MISSING where it must be given."""
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def changed(cls: type[JobOptions], name: str, *, default: Any, **about: Any) -> Any:
    """Return a field of `cls` for a subclass: another default, or more of its Option changed."""
    return option(options_of(cls)[name][0], default=default, **about)


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def spelled(name: str, about: Option) -> str:
    """Return a field's name as the command line spells it."""
    if about.argument:
        return name.upper()
    return "--" + (about.flag or name).replace("_", "-")


def inner_type(hint: Any) -> tuple[Any, bool]:
    """Return the type of one value, and whether there may be several.

    "X | None" is X, "tuple[X, ...]" several X; "tuple[int, int]", a size, stays.
    """
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        (hint,) = (one for one in arguments if one is not type(None))
        arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and arguments[-1] is Ellipsis:
        return arguments[0], True
    return hint, False


def parse_size(value: Any) -> tuple[int, int]:
    """Return (height, width) of "HxW", or of two whole numbers.

    Raises:
        UsageError: it is no size.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)x(\d+)", value)
        if match:
            return int(match[1]), int(match[2])
    elif isinstance(value, Sequence) and len(value) == 2 and all(type(n) is int for n in value):
        return value[0], value[1]
    raise UsageError(f"{value!r} is not a size; give HEIGHTxWIDTH, such as 360x480")


def parse_amount(value: Any) -> float:
    """Return a share up to 1, or a count, of a number or such as "2.1G" or "900M".

    Raises:
        UsageError: it is no such thing, or not above 0.
    """
    text = str(value)
    scale = UNITS.get(text[-1:].upper(), 1.0)
    try:
        amount = float(text[:-1] if scale > 1 else text) * scale
    except ValueError:
        amount = 0.0
    if not 0 < amount < math.inf:
        raise UsageError(f"{text!r} is no amount; give a share such as 0.5 or a count such as 2.1G")
    return amount


def parse_ratios(texts: Iterable[str]) -> dict[str, float]:
    """Parse LAYER=RATIO texts.

    Raises:
        UsageError: a text is not of that form.
    """
    ratios = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            ratios[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"{text!r} is no LAYER=RATIO; give such as 'aspp.*=0.6'")
    return ratios


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Parse KEY=VALUE texts; a value is JSON, or a string where it is no JSON.

    Raises:
        UsageError: a text has no "=".
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{text!r} is no setting; give KEY=VALUE, such as aspp_channels=96")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def _converted(value: Any, about: Option, hint: Any) -> Any:
    kind, several = inner_type(hint)
    if value is None:
        return None
    if about.kind in (RATIOS, SETTINGS):
        if isinstance(value, Mapping):
            return dict(value)
        texts = [value] if isinstance(value, str) else value
        return parse_ratios(texts) if about.kind == RATIOS else parse_settings(texts)
    if several:
        each = [value] if isinstance(value, (str, Path)) else list(value)
        return tuple(_one(one, about, kind) for one in each)
    return _one(value, about, kind)


def _one(value: Any, about: Option, kind: Any) -> Any:
    if about.kind == AMOUNT:
        return parse_amount(value)
    if typing.get_origin(kind) is tuple:
        return parse_size(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is str and isinstance(value, Path):
        return str(value)
    if kind is float and type(value) is int:
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise UsageError(f"{value!r} is not {words.get(kind, 'a path')}")
    return value


def _problems(name: str, value: Any, about: Option) -> list[str]:
    """Return what is wrong with a value of the right type."""
    known = about.names()
    if known and isinstance(value, str) and value not in known:
        return [unknown(spelled(name, about).removeprefix("--"), value, known)]
    if type(value) not in (int, float):
        return []
    above = about.least is None or (
        value > about.least if about.least_open else value >= about.least
    )
    below = about.most is None or (value < about.most if about.most_open else value <= about.most)
    if above and below and (about.least is None or value < math.inf):
        return []
    limits = (
        ["a finite number"]
        if math.isinf(value)
        else [
            f"{word} {limit:g}"
            for word, limit in (
                ("more than" if about.least_open else "at least", about.least),
                ("less than" if about.most_open else "at most", about.most),
            )
            if limit is not None
        ]
    )
    return [f"{spelled(name, about)} is {value}, expected {' and '.join(limits) or 'a number'}"]
