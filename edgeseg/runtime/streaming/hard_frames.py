"""HardFrames: saves the frames on which two networks disagree most, as a data set."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.bounded import read_json, read_text
from edgeseg.core.images.io import write_png
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError

# Two frames whose 64-bit hashes differ in this many bits or fewer show the same scene.
ALIKE_BITS = 6
KINDS = ("images", "masks")
# Of the files a harvest makes: the run and the frame's number.
NAME = re.compile(r"run\d{3,}-\d{7,}\.png")


@dataclasses.dataclass(frozen=True)
class _Kept:
    name: str
    index: int
    agreement: float
    signature: int


class HardFrames:
    """A folder with images/, masks/ and classes.txt of at most `limit` frames.

    A new frame replaces the one with the most agreement when the folder is full, and a frame that
    looks like one already there replaces it or is left out, whichever agrees less stays. The masks
    are the reference network's labels: good for calibration as they are, and to be looked over
    before training. harvest.json lists the agreement of each.

    Args:
        folder: new, or one an earlier run made for the same classes; its frames count.
        spec: names and colours of the classes.
        limit: most frames; of more in the folder those with the most agreement are removed.

    Raises:
        UsageError: the folder holds something else.
    """

    def __init__(self, folder: Path, spec: ModelSpec, limit: int = 200) -> None:
        self._folder = folder
        self._limit = limit
        self._kept: list[_Kept] = []
        self._run = 0
        listing = folder / "harvest.json"
        classes = _classes(spec)
        if listing.is_file():
            advice = "give a new folder for the harvest"
            if read_text(folder / "classes.txt", UsageError, advice=advice) != classes:
                raise UsageError(f"{folder} is a harvest of other classes; give a new folder")
            try:
                document = read_json(listing, UsageError, advice=advice)
                frames = [_Kept(**entry) for entry in document["frames"]]
                self._run = int(document["runs"])
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{listing} is damaged ({error!r}); give a new folder for the harvest"
                ) from error
            # Who looks the frames over deletes the bad ones.
            self._kept = [
                kept for kept in frames if all((folder / k / kept.name).is_file() for k in KINDS)
            ]
        elif folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds other files; give a new folder for the harvest")
        self._run += 1
        atomic_write_text(folder / "classes.txt", classes)
        self._kept.sort(key=lambda kept: kept.agreement)
        del self._kept[limit:]
        self._list(self._kept)
        self._remove_unlisted()

    def __len__(self) -> int:
        """Return the number of frames in the folder."""
        return len(self._kept)

    def offer(
        self,
        rgb: UInt8[np.ndarray, "h w 3"],
        reference: UInt8[np.ndarray, "h w"],
        *,
        index: int,
        agreement: float,
    ) -> bool:
        """Save a frame if it is worth more than one that is there; return whether it was.

        A frame without any disagreement is worth nothing.
        """
        if agreement >= 1.0:
            return False
        signature = _signature(rgb)
        alike = [k for k in self._kept if (k.signature ^ signature).bit_count() <= ALIKE_BITS]
        if any(kept.agreement <= agreement for kept in alike):
            return False
        leaving = alike
        if not alike and len(self._kept) >= self._limit:
            most = max(self._kept, key=lambda kept: kept.agreement)
            if most.agreement <= agreement:
                return False
            leaving = [most]
        name = f"run{self._run:03d}-{index:07d}.png"
        staying = [kept for kept in self._kept if kept not in leaving]
        staying.append(_Kept(name, index, agreement, signature))
        try:
            # The mask first: a data set may hold one too many, but no image without one.
            write_png(self._folder / "masks" / name, reference)
            write_png(self._folder / "images" / name, rgb)
            self._list(staying)
        except Exception:
            self._remove(name)
            raise
        self._kept = staying
        # Listed before the files go: a crash between leaves a file too many, never one too few.
        for kept in leaving:
            self._remove(kept.name)
        return True

    def _remove(self, name: str) -> None:
        # The image first, for the same reason that it is written last.
        for kind in KINDS:
            (self._folder / kind / name).unlink(missing_ok=True)

    def _remove_unlisted(self) -> None:
        """Remove what a run that was killed left; files somebody else named are not touched."""
        listed = {kept.name for kept in self._kept}
        for kind in KINDS:
            for path in (self._folder / kind).glob("run*.png"):
                if NAME.fullmatch(path.name) and path.name not in listed:
                    path.unlink(missing_ok=True)

    def _list(self, kept_frames: list[_Kept]) -> None:
        frames = sorted(kept_frames, key=lambda kept: kept.agreement)
        document = {"runs": self._run, "frames": [dataclasses.asdict(kept) for kept in frames]}
        atomic_write_text(self._folder / "harvest.json", json.dumps(document, indent=1) + "\n")


def _classes(spec: ModelSpec) -> str:
    lines = [
        f"{name} {red} {green} {blue}"
        for name, (red, green, blue) in zip(spec.class_names, spec.palette, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _signature(rgb: np.ndarray) -> int:
    """Return the picture's difference hash: 64 signs of neighbours in a 9x8 thumbnail."""
    grey = cv2.cvtColor(cv2.resize(rgb, (9, 8), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)
