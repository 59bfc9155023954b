"""The specification of a network: architecture, input, classes and options, without weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from edgeseg.core.text.names import is_plain, printable
from edgeseg.errors import SpecError

# What a bundle can be exported in.
PRECISIONS = ("int8", "fp16", "fp32")

CAMVID_CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree",
    "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip
CAMVID_PALETTE = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip
CAMVID_IGNORE = 11
# A label is a byte, and one value is left for what is not scored.
MOST_CLASSES = 255

NORMALIZATIONS = ("fixed", "per_image")
RESIZES = ("letterbox", "stretch", "exact")


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How a uint8 RGB frame becomes the network's input.

    Attributes:
        mean: per RGB channel, in 0-1 units; subtracted when `normalize` is "fixed".
        std: per RGB channel, in 0-1 units; divides when `normalize` is "fixed".
        normalize: "fixed" uses mean and std; "per_image" uses each frame's own channel mean and
            standard deviation, which removes exposure and white balance.
        resize: what the frame source does with a frame of another size: "letterbox" keeps the
            aspect ratio and pads, "stretch" does not, "exact" refuses it.
    """

    mean: tuple[float, float, float] = (0.42, 0.43, 0.44)
    std: tuple[float, float, float] = (0.28, 0.28, 0.28)
    normalize: str = "fixed"
    resize: str = "letterbox"

    def __post_init__(self) -> None:
        """Refuse values that no exported graph can compute."""
        problems = []
        if self.normalize not in NORMALIZATIONS:
            problems.append(f"normalize is {self.normalize!r}, expected one of {NORMALIZATIONS}")
        if self.resize not in RESIZES:
            problems.append(f"resize is {self.resize!r}, expected one of {RESIZES}")
        values = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, values)):
            problems.append(f"mean {self.mean} and std {self.std} need 3 finite values each")
        elif min(self.std) <= 0:
            problems.append(f"std {self.std} needs values above 0")
        if problems:
            raise SpecError("; ".join(problems))


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Everything about a model except its weights; checkpoints and bundles contain it.

    Attributes:
        arch: a name of edgeseg.host.models.MODELS.
        class_names: one name per output class, in label order.
        palette: one RGB triple (0-255) per class.
        ignore_index: the label that is left out of losses and metrics (void).
        size_hw: input height and width in pixels.
        preprocess: normalization and resize rule.
        output_stride: input size / size of the deepest feature map.
        options: further keyword arguments of the architecture, JSON values only.
    """

    arch: str
    class_names: tuple[str, ...] = CAMVID_CLASSES
    palette: tuple[tuple[int, int, int], ...] = CAMVID_PALETTE
    ignore_index: int = CAMVID_IGNORE
    size_hw: tuple[int, int] = (360, 480)
    preprocess: Preprocess = Preprocess()
    output_stride: int = 16
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all fields and report every problem at once."""
        problems = []
        if not self.arch:
            problems.append("arch is empty")
        if not 2 <= len(self.class_names) <= MOST_CLASSES:
            problems.append(
                f"{len(self.class_names)} classes given, 2 to {MOST_CLASSES} fit a uint8 label"
            )
        odd = [name for name in self.class_names if not is_plain(name)]
        if odd:
            problems.append(
                f"class name {printable(odd[0])!r} has a hidden character, more than one line, or "
                "is empty or too long"
            )
        if len(set(self.class_names)) != len(self.class_names):
            problems.append("class names repeat")
        if len(self.palette) != len(self.class_names):
            problems.append(f"{len(self.palette)} colours for {len(self.class_names)} classes")
        if any(len(c) != 3 or min(c) < 0 or max(c) > 255 for c in self.palette):
            problems.append("a palette colour is not three values of 0-255")
        if not len(self.class_names) <= self.ignore_index <= 255:
            problems.append(
                f"ignore_index {self.ignore_index} must lie in {len(self.class_names)}..255"
            )
        if len(self.size_hw) != 2 or min(self.size_hw) < 32:
            problems.append(f"size_hw {self.size_hw} needs height and width of at least 32")
        if problems:
            raise SpecError("; ".join(problems))

    @property
    def n_classes(self) -> int:
        """Number of output classes, the ignored label not counted."""
        return len(self.class_names)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; from_json reads them back to an equal object."""
        document = dataclasses.asdict(self)
        document["options"] = dict(self.options)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ModelSpec:
        """Build a spec from to_json's document.

        Raises:
            SpecError: a key is missing or unknown, or a value is impossible.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise SpecError(f"unknown keys {unknown} in the model spec; known are {sorted(known)}")
        try:
            given = dict(document)
            given["class_names"] = tuple(str(name) for name in given["class_names"])
            given["palette"] = tuple(tuple(int(v) for v in rgb) for rgb in given["palette"])
            given["size_hw"] = tuple(int(v) for v in given["size_hw"])
            preprocess = dict(given["preprocess"])
            preprocess["mean"] = tuple(float(v) for v in preprocess["mean"])
            preprocess["std"] = tuple(float(v) for v in preprocess["std"])
            given["preprocess"] = Preprocess(**preprocess)
            return cls(**given)
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"the model spec is incomplete or malformed: {error!r}") from error
