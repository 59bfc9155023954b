"""Which runtime a verb uses: the named one, or those that are installed."""

from __future__ import annotations

from edgeseg.errors import BackendUnavailable


def installed_backends() -> list[str]:
    """Return the backends whose packages are on this machine, in the order of BACKENDS."""
    from edgeseg.target.backends import BACKENDS, missing_package

    return [name for name in BACKENDS if missing_package(name) is None]


def chosen_backends(names: tuple[str, ...]) -> list[str]:
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
    """Return the named backend, or the first installed one."""
    return chosen_backends((name,) if name else ())[0]
