"""A build that failed is remembered, so that a service does not build for ever."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.errors import BackendError

# How often a build is tried that a power cut or a kill ends.
MOST_CUT_OFF = 3
CUT_OFF = "it was cut off before it ended"


class Failure:
    """The record of one engine's last build.

    The engine's key is in the file's name: another TensorRT, board, graph or option is another
    file. Another edgeseg tries again too.

    Args:
        path: the record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, precision: str, name: str) -> None:
        """Raise where the last build failed.

        Raises:
            BackendError: it did; says why, and how to try again.
        """
        record = self._read()
        if not record or record["attempts"] < record["most"]:
            return
        raise BackendError(
            f"the {precision} engine of {name} could not be built here before: "
            f"{record['reason']}; edgeseg build {name} tries again"
        )

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep why the body failed; what ends this process leaves a record as well."""
        before = self._read()
        cut_off = before["attempts"] if before and before["reason"] == CUT_OFF else 0
        # Written first: nothing can be written once the system has killed the process.
        self._write(CUT_OFF, cut_off + 1, MOST_CUT_OFF)
        try:
            yield
        except BackendError as error:
            self._write(str(error), 1, 1)
            raise
        except BaseException:
            # An interrupt, or a package that is missing: it says nothing of the engine.
            self.path.unlink(missing_ok=True)
            raise
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            record = json.loads(self.path.read_text())
            if record["edgeseg"] == version("edgeseg"):
                return {name: record[name] for name in ("reason", "attempts", "most")}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return {}

    def _write(self, reason: str, attempts: int, most: int) -> None:
        record = {
            "edgeseg": version("edgeseg"),
            "reason": reason,
            "attempts": attempts,
            "most": most,
        }
        # Where it cannot be kept, the build is what counts.
        with contextlib.suppress(OSError):
            atomic_write_text(self.path, json.dumps(record, indent=1) + "\n")
