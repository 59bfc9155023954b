"""Whose code a checkpoint may run: packages that the user names, once or in a file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from edgeseg.core.options import JobOptions, option
from edgeseg.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])
PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Of the whole process: a job may build networks in threads of its own.
_named: frozenset[str] = frozenset()
_file: Path | None = None


def trust_file(path: Path | None) -> None:
    """Read packages that the user trusts for good from `path`, one a line; None reads none."""
    global _file
    _file = path


@dataclasses.dataclass(frozen=True)
class TrustOptions(JobOptions):
    """Options of a job that builds the network of a checkpoint.

    Attributes:
        trust: packages whose code it may run for that.
    """

    trust: tuple[str, ...] = option(
        "Let the checkpoint run the code of this package, which its network was imported from; may "
        "be repeated.",
        metavar="PACKAGE",
        default=(),
        order=5,
    )


@contextlib.contextmanager
def trusted(packages: Iterable[str]) -> Iterator[None]:
    """Let checkpoints run the code of some packages inside this block.

    Raises:
        UsageError: a name is no package's.
    """
    global _named
    names = frozenset(packages)
    for name in names:
        if not PACKAGE.fullmatch(name):
            raise UsageError(f"{name!r} is no package's name; give such as torchvision")
    before = _named
    _named |= names
    try:
        yield
    finally:
        _named = before


def trusting(job: Function) -> Function:
    """Decorate a job whose first argument has the option `trust`."""

    @functools.wraps(job)
    def wrapped(options: Any, *args: Any, **kwargs: Any) -> Any:
        with trusted(options.trust):
            return job(options, *args, **kwargs)

    return wrapped  # type: ignore[return-value]


def check_trusted(network: str) -> None:
    """Refuse to import the code of a network that nobody vouched for.

    Args:
        network: package.module:callable.

    Raises:
        UsageError: its package is not trusted.
    """
    package = network.partition(":")[0].partition(".")[0]
    if package in _named or package in _written():
        return
    ever = f", or for good: echo {package} >> {shlex.quote(str(_file))}" if _file else ""
    raise UsageError(
        f"the checkpoint is a network of {network}, whose code would be run; if you trust that "
        f"package, add --trust {package}{ever}"
    )


def _written() -> frozenset[str]:
    if _file is None or not _file.is_file():
        return frozenset()
    lines = _file.read_text().splitlines()
    return frozenset(line.partition("#")[0].strip() for line in lines) - {""}
