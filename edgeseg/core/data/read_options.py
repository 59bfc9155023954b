"""What a user asks of data beyond the folder and the split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

# What is done with a picture that has no mask; "keep" is for what needs no labels.
UNLABELLED = ("skip", "background")
KEEP = "keep"
# How validation is held back from data without splits of its own.
SPLIT_BY = ("block", "name", "random")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What a user asks for beyond the folder and the split; every field has a default.

    Attributes:
        classes: a classes.txt that replaces the classes which the layout implies or holds.
        unlabelled: what is done with pictures without a mask: "skip", "background", "keep" (no
            labels are needed); None refuses them.
        split_by: how validation is held back where the data has no splits of its own: a name of
            SPLIT_BY.
        hold_back: without splits of its own, "train" leaves out what "val" holds back; False where
            another part is held out, or nothing is scored.
    """

    classes: Path | None = None
    unlabelled: str | None = None
    split_by: str = "block"
    hold_back: bool = True
