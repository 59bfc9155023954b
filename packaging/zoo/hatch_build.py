"""Put the checkpoints of edgeseg/zoo into the wheel as edgeseg_zoo/NAME/checkpoint.safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Checkpoints(BuildHookInterface):  # type: ignore[type-arg] # generic only for its own config
    """Adds files of the clone around this folder."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name every file and its place in the wheel.

        Raises:
            FileNotFoundError: this folder does not lie in a clone of edgeseg.
        """
        clone = Path(self.root).parent.parent
        files = sorted((clone / "edgeseg" / "zoo").glob("*/checkpoint.safetensors"))
        if not files:
            raise FileNotFoundError(f"{clone} holds no edgeseg/zoo/*/checkpoint.safetensors")
        build_data["force_include"] |= {
            str(Path(self.root) / "__init__.py"): "edgeseg_zoo/__init__.py",
            str(
                clone / "LICENSE"
            ): f"edgeseg_zoo-{self.metadata.version}.dist-info/licenses/LICENSE",
            **{str(path): f"edgeseg_zoo/{path.parent.name}/{path.name}" for path in files},
        }
