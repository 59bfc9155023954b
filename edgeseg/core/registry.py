"""A registry: names and where each one's class or function lives."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError


class Registry(Mapping[str, str]):
    """The one place where things of a kind are listed.

    A registry maps a name to "module:attribute"; the module is imported when the name is loaded.
    Installed packages add names through the entry point group `edgeseg.<group>`, so that a user's
    backend or data format needs no fork. A name of ours cannot be replaced that way.

    Args:
        kind: what an entry is, for messages: "backend".
        group: the plural that ends the entry point group's name: "backends".
        entries: our own names, in the order in which help texts list them.
    """

    def __init__(self, kind: str, group: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = f"edgeseg.{group}"
        self._own = dict(entries)
        self._all: dict[str, str] | None = None

    @property
    def own(self) -> tuple[str, ...]:
        """The names that edgeseg itself lists."""
        return tuple(self._own)

    @property
    def added(self) -> tuple[str, ...]:
        """The names that installed packages add."""
        return tuple(name for name in self._entries() if name not in self._own)

    def reload(self) -> None:
        """Read the entry points again, for packages that were installed since."""
        self._all = None

    def _entries(self) -> dict[str, str]:
        if self._all is None:
            added = {
                point.name: point.value
                for point in importlib.metadata.entry_points(group=self.group)
            }
            self._all = {**self._own, **{k: v for k, v in added.items() if k not in self._own}}
        return self._all

    def __getitem__(self, name: str) -> str:
        return self._entries()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for.

        Raises:
            UsageError: the name is unknown, or an installed package's entry cannot be imported.
            ImportError: a module of ours needs a package that is not installed.
        """
        if name not in self:
            raise UsageError(unknown(self.kind, name, self))
        module, _, attribute = self[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if name in self._own:
                raise
            raise UsageError(
                f"{self.kind} {name!r} is the entry point {self[name]!r} of an installed package, "
                f"which cannot be loaded ({error}); mend or uninstall that package"
            ) from error
