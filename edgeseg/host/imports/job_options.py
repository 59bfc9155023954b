"""Options of the import; torch is not imported, so that `--help` is quick."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from edgeseg.core.options import SETTINGS, option
from edgeseg.core.spec import RESIZES, ModelSpec, Preprocess
from edgeseg.errors import UsageError
from edgeseg.host.foreign.trust import TrustOptions

ONNX = ".onnx"
CHECKPOINT = ".safetensors"
# A mean or deviation above this is in units of 0-255.
LARGEST_UNIT = 1.0


@dataclasses.dataclass(frozen=True)
class ImportOptions(TrustOptions):
    """Options of `edgeseg import`.

    Attributes:
        source: an ONNX file, or package.module:callable that returns a torch module.
        classes: a classes.txt.
        size: height and width of the network's input; None takes what an ONNX file fixes.
        mean: three numbers to subtract, in 0-1 units, or in 0-255 where one is above 1.
        std: three numbers to divide by, likewise.
        unit: the network takes pixels of 0-1.
        raw: the network takes pixels of 0-255.
        resize: what is done with frames of another size.
        output: the ONNX output, or the key of a dictionary, that gives the classes.
        weights: a state dict for the module.
        arguments: keyword arguments of the callable.
        out: the bundle's folder, or the checkpoint's file.
    """

    source: str = option(argument=True)
    classes: Path = option("Names of the classes: a classes.txt.", metavar="FILE", order=0)
    size: tuple[int, int] | None = option(
        "Size of the network's input.  [default: the ONNX file's, where it is fixed]",
        default=None,
        order=0,
    )
    mean: str | None = option(
        "What the network's training subtracted from 0-1 pixels: 0.485,0.456,0.406. Above 1, "
        "from 0-255.",
        metavar="R,G,B",
        default=None,
        order=1,
    )
    std: str | None = option(
        "What it divided them by: 0.229,0.224,0.225.", metavar="R,G,B", default=None, order=1
    )
    unit: bool = option("The network takes pixels of 0-1.", default=False, order=1)
    raw: bool = option("The network takes pixels of 0-255.", default=False, order=1)
    resize: str = option(
        "What is done with frames of another size.", choices=RESIZES, default="letterbox", order=1
    )
    output: str | None = option(
        "Output that gives the classes.  [default: the first that does]",
        metavar="NAME",
        default=None,
        order=2,
    )
    weights: Path | None = option(
        "State dict for the module: .safetensors, or .pth, of which only tensors are read.",
        metavar="FILE",
        default=None,
        order=2,
    )
    arguments: dict[str, Any] = option(
        "Argument of the callable, such as num_classes=11; may be repeated.",
        flag="arg",
        kind=SETTINGS,
        metavar="KEY=VALUE",
        default={},
        order=2,
    )
    out: Path | None = option(
        "The bundle's folder, or the checkpoint's .safetensors file.",
        short="-o",
        default=None,
        order=6,
    )

    @property
    def is_onnx(self) -> bool:
        """Whether an ONNX file is given, not a module of a package."""
        return self.source.endswith(ONNX) or Path(self.source).is_file()

    def preprocess(self) -> Preprocess:
        """Return how a frame becomes the network's input.

        Raises:
            UsageError: none of --mean with --std, --unit and --raw is given, or several, or the
                numbers are none.
        """
        fixed = self.mean is not None or self.std is not None
        if fixed + self.unit + self.raw != 1 or (self.mean is None) != (self.std is None):
            raise UsageError(
                "say how pixels become the network's input, as its training did: --mean with "
                "--std, or --unit (0-1), or --raw (0-255); ImageNet's are --mean "
                "0.485,0.456,0.406 --std 0.229,0.224,0.225"
            )
        if self.unit:
            return Preprocess((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize=self.resize)
        if self.raw:
            return Preprocess((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), resize=self.resize)
        mean, std = _three("--mean", self.mean or ""), _three("--std", self.std or "")
        if max(map(abs, (*mean, *std))) > LARGEST_UNIT:
            mean, std = _unit(mean), _unit(std)
        return Preprocess(mean, std, resize=self.resize)

    def spec(self, arch: str, size_hw: tuple[int, int], **about: Any) -> ModelSpec:
        """Return the spec of the network.

        Args:
            arch: what it is called.
            size_hw: of its input.
            about: further fields.

        Raises:
            DataError: classes.txt is missing or malformed.
            UsageError: the normalization is not given, or a value cannot be.
        """
        # Here, since it needs OpenCV, which `--help` does without.
        from edgeseg.core.data.classes import read_classes

        classes = read_classes(self.classes)
        return ModelSpec(
            arch,
            class_names=classes.names,
            palette=classes.palette,
            ignore_index=classes.ignore_index,
            size_hw=size_hw,
            preprocess=self.preprocess(),
            **about,
        )


def _three(name: str, text: str) -> tuple[float, float, float]:
    parts = re.split(r"[,\s]+", text.strip())
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise UsageError(f"{name} is {text!r}, expected three numbers, such as 0.485,0.456,0.406")
    return values[0], values[1], values[2]


def _unit(values: tuple[float, float, float]) -> tuple[float, float, float]:
    return values[0] / 255, values[1] / 255, values[2] / 255
