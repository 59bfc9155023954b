"""Chooses the runtimes of a run: the named ones, or those that work on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgeseg.errors import BackendError, BackendUnavailable
from edgeseg.runtime.backends.open import BACKENDS, option_names, why_unavailable

Opened = TypeVar("Opened")


def installed_backends() -> list[str]:
    """Return the backends that can run on this machine, in the order of BACKENDS."""
    return [name for name in BACKENDS if why_unavailable(name) is None]


def chosen_backends(names: Sequence[str]) -> list[str]:
    """Return the named backends, or all installed ones when none is named.

    Raises:
        BackendUnavailable: none is named and none is installed.
    """
    found = list(names) or installed_backends()
    if not found:
        raise BackendUnavailable(
            "no runtime is installed here; pip install 'edgeseg[onnxruntime]' or "
            "'edgeseg[openvino]'"
        )
    return found


def first_backend(name: str | None) -> str:
    """Return the named backend, or the first installed one.

    Raises:
        BackendUnavailable: none is named and none is installed.
    """
    return chosen_backends((name,) if name else ())[0]


def open_first(
    names: Sequence[str], opener: Callable[[str], Opened], tell: Callable[[str], None]
) -> tuple[str, Opened]:
    """Open the first backend that runs the bundle, telling of each that does not.

    Args:
        names: keys of BACKENDS, in order of preference.
        opener: opens one of them.
        tell: gets a line for each that failed before another one is tried.

    Raises:
        BackendError: none runs it; the first one's reason.
        BackendUnavailable: likewise.
    """
    problems: list[BackendError | BackendUnavailable] = []
    for name in names:
        if problems:
            tell(f"warning: {problems[-1]}; going on with {name}")
        try:
            return name, opener(name)
        except (BackendError, BackendUnavailable) as error:
            problems.append(error)
    raise problems[0]


def options_for(
    name: str,
    threads: int | None,
    *,
    cache: Path | None = None,
    plugin: Path | None = None,
    precision: str = "",
) -> dict[str, Any]:
    """Return the keyword arguments that open backend `name`.

    Args:
        name: a key of BACKENDS.
        threads: threads of one inference; None or 0 leaves the choice to the runtime.
        cache: folder of engines, for backends that build some; None is the backend's default.
        plugin: library with TensorRT plugins, for backends that take one.
        precision: of the engine, for backends that build one; empty is the bundle's own. Others
            run the bundle as it is.
    """
    options: dict[str, Any] = {"threads": threads or None}
    known = option_names(name)
    if "cache" in known:
        options["cache"] = cache
    if "plugin" in known and plugin is not None:
        options["plugin"] = plugin
    if "precision" in known and precision:
        options["precision"] = precision
    return options
