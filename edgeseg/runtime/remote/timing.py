"""Times two bundles in turns on a board, for a search that looks for a faster one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edgeseg.core.bundle import Bundle
from edgeseg.core.files import atomic_write_text
from edgeseg.core.images.io import write_png
from edgeseg.errors import BoardError
from edgeseg.runtime.remote.job import Sent, Session

ROUNDS, REPEAT = 15, 2


@dataclasses.dataclass(frozen=True)
class BoardTimer:
    """Runs `edgeseg bench` on a board.

    Attributes:
        session: after hello and install.
        wheel_sha256: of the edgeseg there.
        folder: local folder for the one frame that is run.
        backend: the runtime there.
        threads: of one inference; 0 is the runtime's choice.
    """

    session: Session
    wheel_sha256: str
    folder: Path
    backend: str
    threads: int

    @property
    def place(self) -> str:
        """Whose times these are."""
        return self.session.board.name

    def __call__(self, reference: Bundle, candidate: Bundle) -> tuple[float, float]:
        """Return the reference's median milliseconds and the candidate's time over it.

        Raises:
            BoardError: the board could not run them, or the line stays broken.
        """
        frame = _one_frame(self.folder, reference)
        errors: list[str] = []
        told, self.session.listener.err = self.session.listener.err, errors.append
        try:
            ended = self.session.run(
                ["bench", Sent(reference.path), Sent(candidate.path), "--data", Sent(frame),
                 "--backend", self.backend, "--threads", str(self.threads),
                 "--rounds", str(ROUNDS), "--repeat", str(REPEAT), "--json"],
                self.wheel_sha256,
            )  # fmt: skip
        except KeyboardInterrupt:
            self.session.interrupt()
            raise
        finally:
            self.session.listener.err = told
        if ended.code:
            why = "".join(errors).strip().splitlines()[-1:] or [f"exit code {ended.code}"]
            raise BoardError(f"{self.place} could not time the candidate: {why[0]}")
        document = json.loads(ended.out)
        ours, theirs = (row["run"]["name"] for row in document["rows"])
        (pair,) = document["ratios"]
        over = pair["latency_ratio"]
        ratio = over if (pair["a"], pair["b"]) == (theirs, ours) else 1 / over
        return float(document["rows"][0]["latency_ms"]["infer"]["p50"]), float(ratio)


def _one_frame(folder: Path, bundle: Bundle) -> Path:
    """Write the golden frame as a data set of one image, of whatever classes, and return it."""
    place = folder / "frame"
    golden = bundle.golden()
    # Each split has a folder: of one image none can be held back for validation.
    for split in ("train", "val"):
        write_png(place / "images" / split / "golden.png", golden.frame[0])
        write_png(place / "masks" / split / "golden.png", golden.labels[0])
    # Names alone: the mask holds labels, not colours.
    atomic_write_text(place / "classes.txt", "\n".join(bundle.spec.class_names) + "\n")
    return place
