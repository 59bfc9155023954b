"""Installs a package that adds names to a registry, as a user's own package does."""

from pathlib import Path

import pytest

from edgeseg.core.registry import Registry


def install(
    monkeypatch: pytest.MonkeyPatch, folder: Path, registry: Registry, name: str, target: str
) -> None:
    """Add `name = target` to the registry through a package's metadata in `folder`.

    The modules that `target` names are found in `folder` too.
    """
    facts = folder / f"users_{name}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: users-{name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{registry.group}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(folder)
    # A registry reads the installed packages once.
    monkeypatch.setattr(registry, "_all", None)
