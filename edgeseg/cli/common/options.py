"""Options that several verbs share, and the types that parse them."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from edgeseg.core.data.read_options import SPLIT_BY, UNLABELLED, ReadOptions
from edgeseg.core.options import (
    AMOUNT,
    BACKEND,
    DATA_HELP,
    LARGEST_SEED,
    RATIOS,
    SETTINGS,
    JobOptions,
    Option,
    default_of,
    inner_type,
    is_required,
    options_of,
    parse_amount,
    parse_size,
)
from edgeseg.core.packages import is_installed
from edgeseg.core.suggest import unknown
from edgeseg.core.text.redact import public_words
from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.host.foreign.trust import TrustOptions, trusted

Function = TypeVar("Function", bound=Callable[..., Any])


# The pip extra that brings a module.
EXTRAS = {
    "cv2": "cv",
    "onnx": "lint",
    "onnxscript": "host",
    "onnxsim": "host",
    "optuna": "host",
    "safetensors": "host",
    "torch": "host",
    "torch_pruning": "host",
}


SEED = click.IntRange(0, LARGEST_SEED)
# The options of ReadOptions, for verbs whose options are not a job's.
READING: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--classes",),
        {
            "type": click.Path(path_type=Path),
            "metavar": "FILE",
            "help": "A classes.txt instead of the one that the data holds or implies.",
        },
    ),
    (
        ("--unlabelled",),
        {
            "type": click.Choice(UNLABELLED),
            "help": "Leave pictures without a mask out, or take them as all of the class of label "
            "0.  [default: refuse them]",
        },
    ),
    (
        ("--split-by",),
        {
            "type": click.Choice(SPLIT_BY),
            "default": "block",
            "show_default": True,
            "help": "How validation is held back where the data has no splits.",
        },
    ),
)


def precision_options(**helps: str) -> Callable[[Function], Function]:
    """Add --int8 and the like, of which one at most may be given; the verb gets `precision`.

    Args:
        helps: what each precision's flag does, by the precision's name.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def chosen(*args: Any, **given: Any) -> Any:
            asked = [name for name in helps if given.pop(name)]
            if len(asked) > 1:
                flags = " and ".join(f"--{name}" for name in asked)
                raise UsageError(f"{flags} are {len(asked)} precisions; give one")
            return function(*args, precision=asked[0] if asked else None, **given)

        result: Any = chosen
        for name, text in reversed(helps.items()):
            result = click.option(f"--{name}", is_flag=True, help=text)(result)
        return result

    return decorate


def refuse_given(names: Sequence[str], why: str) -> None:
    """Refuse options of the running command that would change nothing.

    Args:
        names: the parameters' names.
        why: what makes them idle.

    Raises:
        UsageError: some were given.
    """
    source = click.get_current_context().get_parameter_source
    given = [
        f"--{name.replace('_', '-')}" for name in names
        if source(name) is not ParameterSource.DEFAULT
    ]  # fmt: skip
    if given:
        raise UsageError(f"{', '.join(given)} would change nothing: {why}")


def typed_command() -> tuple[str, ...]:
    """Return the words of the running command, for the record of its run."""
    return ("edgeseg", *public_words(sys.argv[1:]))


class NameChoice(click.Choice):  # type: ignore[type-arg] # generic only in newer releases
    """One of some names; a wrong one is answered with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Look the name up."""
        if value not in self.choices:
            kind = param.name.replace("_", " ") if param and param.name else "name"
            self.fail(unknown(kind, str(value), list(self.choices)), param, ctx)
        return value


class SizeType(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """HEIGHTxWIDTH, such as 360x480."""

    name = "HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Parse the text into (height, width)."""
        try:
            return parse_size(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class AmountType(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """A share up to 1, or a count such as 2.1G or 900M."""

    name = "amount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse the text into a share or a count."""
        try:
            return parse_amount(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class DurationType(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """A time, such as 90, 90s, 5m or 2h; becomes seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse the text into seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time; give seconds, or as 90s, 5m or 2h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


class Named(click.Choice):  # type: ignore[type-arg] # generic only in newer releases
    """One of some names; for an unknown one the nearest is offered."""

    def __init__(self, kind: str, names: Iterable[str]) -> None:
        """Keep the names, and what they are, for the message."""
        super().__init__(list(names))
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as it is listed."""
        if value not in self.choices:
            self.fail(unknown(self.kind, str(value), map(str, self.choices)), param, ctx)
        return str(value)


class BackendType(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """The name of a backend; the registry is read when help is asked for or a name is given."""

    name = "backend"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return all names, those of installed packages included."""
        from edgeseg.runtime.backends.open import BACKENDS

        return f"[{'|'.join(BACKENDS)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse an unknown name with the nearest known one."""
        from edgeseg.runtime.backends.open import BACKENDS

        if value not in BACKENDS:
            raise UsageError(unknown("backend", str(value), BACKENDS))
        return str(value)


SIZE = SizeType()
DURATION = DurationType()
PATH = click.Path(path_type=Path)


def job_options(
    cls: type[JobOptions], *, out: str = "", leave_out: Sequence[str] = ()
) -> Callable[[Function], Function]:
    """Add the options of a job; the verb gets them as `options`, an object of `cls`.

    Args:
        cls: the job's options.
        out: the default of --out, for its help.
        leave_out: fields that the verb sets itself.
    """
    declared = {name: one for name, one in options_of(cls).items() if name not in leave_out}

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def gathered(*args: Any, **given: Any) -> Any:
            source = click.get_current_context().get_parameter_source
            values = {name: given.pop(name) for name in declared}
            chosen = frozenset(n for n in values if source(n) is not ParameterSource.DEFAULT)
            options = cls.parsed(values, chosen, typed_command())
            # A verb's page counts what the network costs, after the job.
            with trusted(options.trust if isinstance(options, TrustOptions) else ()):
                return function(*args, options=options, **given)

        result: Any = gathered
        for name, (option, hint) in reversed(declared.items()):
            more = f"  [default: {out}]" if name == "out" and out else ""
            result = _click_option(cls, name, option, hint, more)(result)
        return result

    return decorate


def _click_option(
    cls: type[JobOptions], name: str, option: Option, hint: Any, more: str
) -> Callable[[Any], Any]:
    """Return the decorator that adds one field; `more` ends its help."""
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    kind, several = inner_type(hint)
    if option.argument:
        return click.argument(
            name,
            type=_click_type(kind, option),
            metavar=option.metavar,
            required=is_required(field),
        )
    flags = [option.flag or name, *option.aliases]
    words = [
        *([option.short] if option.short else []),
        *(f"--{f.replace('_', '-')}" for f in flags),
    ]
    about: dict[str, Any] = {"help": option.help + more, "metavar": option.metavar}
    if kind is bool:
        return click.option(*words, name, is_flag=True, default=default_of(cls, name), **about)
    about["type"] = _click_type(kind, option)
    if several or option.kind in (RATIOS, SETTINGS):
        return click.option(*words, name, multiple=True, **about)
    if is_required(field):
        return click.option(*words, name, required=True, **about)
    default = default_of(cls, name)
    shown = default not in (None, "")
    return click.option(
        *words, name, default=default, show_default=option.default_text or shown, **about
    )


def _click_type(kind: Any, option: Option) -> Any:
    if option.kind:
        return {AMOUNT: AmountType(), BACKEND: BackendType()}.get(option.kind, click.STRING)
    if option.choices:
        return NameChoice(list(option.names()))
    if kind is int and (option.least is not None or option.most is not None):
        least, most = (None if n is None else int(n) for n in (option.least, option.most))
        return click.IntRange(least, most, option.least_open, option.most_open)
    if kind is float and (option.least is not None or option.most is not None):
        return click.FloatRange(option.least, option.most, option.least_open, option.most_open)
    if typing.get_origin(kind) is tuple:
        return SIZE
    return {Path: PATH, int: click.INT, float: click.FLOAT}.get(kind, click.STRING)


def json_option(function: Function) -> Function:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document on standard output."
    )(function)


def data_option(
    *, required: bool = False, default: str | None = None
) -> Callable[[Function], Function]:
    """Add --data."""
    return click.option(
        "--data",
        required=required,
        default=default,
        show_default=True,
        metavar="DATA",
        help=f"{DATA_HELP}.",
    )


def reading_options(function: Function) -> Function:
    """Add --classes, --unlabelled and --split-by; the verb gets them as `read`, ReadOptions."""

    @functools.wraps(function)
    def gathered(*args: Any, **given: Any) -> Any:
        values = {name: given.pop(name) for name in ("classes", "unlabelled", "split_by")}
        return function(*args, read=ReadOptions(**values), **given)

    result: Any = gathered
    for words, about in reversed(READING):
        result = click.option(*words, **about)(result)
    return result


def backend_option(function: Function) -> Function:
    """Add --backend, which names one runtime, and --threads."""
    return _threads_option(
        click.option(
            "--backend",
            type=BackendType(),
            default=None,
            help="Runtime.  [default: the first of them that works here]",
        )(function)
    )


def backends_option(function: Function) -> Function:
    """Add --backend, which may be given several times, and --threads."""
    return _threads_option(
        click.option(
            "--backend",
            "backends",
            type=BackendType(),
            multiple=True,
            help="Runtime; may be repeated.  [default: all that work here]",
        )(function)
    )


def _threads_option(function: Function) -> Function:
    return click.option(
        "--threads",
        type=click.IntRange(min=0),
        default=0,
        show_default="the runtime's choice",
        help="Threads of one inference.",
    )(function)


def needs(*modules: str) -> Callable[[Function], Function]:
    """Check before a verb runs that its libraries, keys of EXTRAS, can be imported.

    Raises:
        BackendUnavailable: when called, names what is missing and the pip line that adds it.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            check_installed(str(click.get_current_context().info_name), modules)
            return function(*args, **kwargs)

        result: Any = wrapped
        result.needed_modules = modules
        return result

    return decorate


def check_installed(verb: str, modules: Sequence[str]) -> None:
    """Check that the libraries of a verb, keys of EXTRAS, can be imported.

    Raises:
        BackendUnavailable: names what is missing and the pip line that adds it.
    """
    missing = [name for name in modules if not is_installed(name)]
    if missing:
        extras = {EXTRAS[name] for name in missing}
        if "host" in extras:
            # It brings onnx too.
            extras.discard("lint")
        raise BackendUnavailable(
            f"{verb} needs {' and '.join(missing)}, not installed here; "
            f"pip install 'edgeseg[{','.join(sorted(extras))}]'"
        )
