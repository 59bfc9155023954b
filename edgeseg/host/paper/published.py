"""The SegNet paper's tables 1, 2, 3, 4 and 6 (arXiv 1511.00561), as printed, in our units.

Accuracies are 0-1. Times are milliseconds of Caffe on a 2016 GPU at 360x480: only their ratios can
be compared with another machine's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

SCORES = ("global_accuracy", "class_accuracy", "miou", "bf")
MB = 1_000_000


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """One row of a table; what a table does not print is None.

    Attributes:
        title: the network's name there.
        arch: our architecture.
        name: the row's own name where the architecture alone does not tell it.
        options: what the architecture is built with, beside the user's own options.
        crf: whether a dense CRF comes after the network.
        params: number of parameters.
        storage: memory kept for the decoder, as a multiple of SegNet-Basic's.
        infer_ms: inference of one frame.
        balanced: G, C, mIoU, BF trained with median frequency balancing.
        natural: the same without.
        backward_ms: one backward pass.
        training_bytes: memory in training, batch 4.
        inference_bytes: memory in inference, batch 1.
        model_bytes: size of the model file.
    """

    title: str
    arch: str
    name: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    crf: bool = False
    params: float | None = None
    storage: float | None = None
    infer_ms: float | None = None
    balanced: tuple[float, ...] | None = None
    natural: tuple[float, ...] | None = None
    backward_ms: float | None = None
    training_bytes: int | None = None
    inference_bytes: int | None = None
    model_bytes: int | None = None

    @property
    def key(self) -> str:
        """The row's name on the command line, and of its runs."""
        return self.name or self.arch

    @property
    def network(self) -> str:
        """The row that has this row's network: itself, or the one without the CRF."""
        return self.arch if self.crf else self.key

    def to_json(self) -> dict[str, Any]:
        """Return the printed figures, scores by name."""
        document = dataclasses.asdict(self)
        for key in ("title", "arch", "name", "options", "crf"):
            del document[key]
        for key in ("balanced", "natural"):
            if document[key] is not None:
                document[key] = dict(zip(SCORES, document[key], strict=True))
        return document


def _scores(*percent: float) -> tuple[float, ...]:
    return tuple(round(value / 100, 4) for value in percent)


def _variant(
    title: str,
    params: float,
    storage: float | None,
    infer_ms: float,
    balanced: tuple[float, ...],
    natural: tuple[float, ...],
) -> PublishedRow:
    return PublishedRow(
        title,
        title.lower(),
        params=params * 1e6,
        storage=storage,
        infer_ms=infer_ms,
        balanced=_scores(*balanced),
        natural=_scores(*natural),
    )


TABLE_1 = (
    _variant("Bilinear-Interpolation", 0.625, 0, 24.2,
             (77.9, 61.1, 43.3, 20.83), (82.7, 52.5, 43.8, 23.08)),
    _variant("SegNet-Basic", 1.425, 1, 52.6,
             (82.7, 62.0, 47.7, 35.78), (84.0, 54.6, 46.3, 36.67)),
    _variant("SegNet-Basic-EncoderAddition", 1.425, 64, 53.0,
             (83.4, 63.6, 48.5, 35.92), (84.2, 56.5, 47.7, 36.27)),
    _variant("SegNet-Basic-SingleChannelDecoder", 0.625, 1, 33.1,
             (81.2, 60.7, 46.1, 31.62), (83.5, 53.9, 45.2, 32.45)),
    _variant("FCN-Basic", 0.65, 11, 24.2,
             (81.7, 62.4, 47.3, 38.11), (83.9, 55.6, 45.0, 37.33)),
    _variant("FCN-Basic-NoAddition", 0.65, None, 23.8,
             (80.5, 58.6, 44.1, 31.96), (82.3, 53.9, 44.2, 29.43)),
    _variant("FCN-Basic-NoDimReduction", 1.625, 64, 44.8,
             (84.1, 63.4, 50.1, 37.37), (83.5, 57.3, 47.0, 37.13)),
    _variant("FCN-Basic-NoAddition-NoDimReduction", 1.625, 0, 43.9,
             (80.5, 61.6, 45.9, 30.47), (83.7, 54.8, 45.5, 33.17)),
)  # fmt: skip
FIXED, CRF = "fcn-8s-fixed", "deeplab-largefov-densecrf"


def _accuracy(
    title: str,
    arch: str,
    natural: tuple[float, ...],
    *,
    name: str = "",
    options: Mapping[str, Any] | None = None,
    crf: bool = False,
    balanced: tuple[float, ...] | None = None,
) -> PublishedRow:
    return PublishedRow(
        title,
        arch,
        name=name,
        options=options or {},
        crf=crf,
        natural=_scores(*natural),
        balanced=_scores(*balanced) if balanced else None,
    )


# CamVid, trained on 3433 images of several sets.
TABLE_3 = (
    _accuracy("SegNet", "segnet", (90.40, 71.20, 60.10, 46.84)),
    _accuracy("DeepLab-LargeFOV", "deeplab-largefov", (88.20, 62.53, 53.88, 32.77)),
    _accuracy("DeepLab-LargeFOV-denseCRF", "deeplab-largefov", (89.71, 60.67, 54.74, 40.79),
              name=CRF, crf=True),
    _accuracy("FCN (fixed upsampling)", "fcn-8s", (83.27, 59.56, 49.83, 27.99),
              name=FIXED, options={"upsampling": "fixed"}),
    _accuracy("FCN (learnt deconv)", "fcn-8s", (83.14, 64.21, 51.96, 33.18)),
    _accuracy("DeconvNet", "deconvnet", (89.58, 70.24, 59.77, 52.23)),
)  # fmt: skip
# CamVid's classes in the order of table 2, by the names that the data set has here.
TABLE_2_CLASSES = (
    "Building", "Tree", "Sky", "Car", "SignSymbol", "Road", "Pedestrian", "Fence", "Pole",
    "Pavement", "Bicyclist"
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class PublishedMethod:
    """A row of table 2, on CamVid's test images; what the paper does not print is None.

    Attributes:
        title: the method.
        per_class: accuracy of each of TABLE_2_CLASSES.
        class_accuracy: their mean, C.
        global_accuracy: G.
    """

    title: str
    per_class: tuple[float | None, ...]
    class_accuracy: float
    global_accuracy: float


def _method(title: str, mean: float, whole: float, *percent: float | None) -> PublishedMethod:
    found = percent or (None,) * len(TABLE_2_CLASSES)
    each = tuple(None if value is None else round(value / 100, 4) for value in found)
    return PublishedMethod(title, each, round(mean / 100, 4), round(whole / 100, 4))


TABLE_2_METHODS = (
    _method("SfM+Appearance", 53.0, 69.1,
            46.2, 61.9, 89.7, 68.6, 42.9, 89.5, 53.6, 46.6, 0.7, 60.5, 22.5),
    _method("Boosting", 59.8, 76.4,
            61.9, 67.3, 91.1, 71.1, 58.5, 92.9, 49.5, 37.6, 25.8, 77.8, 24.7),
    _method("Dense Depth Maps", 55.4, 82.1,
            85.3, 57.3, 95.4, 69.2, 46.5, 98.5, 23.8, 44.3, 22.0, 38.1, 28.7),
    _method("Structured Random Forests", 51.4, 72.5),
    _method("Neural Decision Forests", 56.1, 82.1),
    _method("Local Label Descriptors", 36.3, 73.6,
            80.7, 61.5, 88.8, 16.4, None, 98.0, 1.09, 0.05, 4.13, 12.4, 0.07),
    _method("Super Parsing", 51.2, 83.3,
            87.0, 67.1, 96.9, 62.7, 30.1, 95.9, 14.7, 17.9, 1.7, 70.0, 19.4),
    _method("SegNet (the paper's)", 71.20, 90.40,
            89.6, 83.4, 96.1, 87.7, 52.7, 96.4, 62.2, 53.45, 32.1, 93.3, 36.5),
    _method("Boosting + pairwise CRF", 59.9, 79.8,
            70.7, 70.8, 94.7, 74.4, 55.9, 94.1, 45.7, 37.2, 13.0, 79.3, 23.1),
    _method("Boosting + Higher order", 59.2, 83.8,
            84.5, 72.6, 97.5, 72.7, 34.1, 95.3, 34.2, 45.7, 8.1, 77.6, 28.5),
    _method("Boosting + Detectors + CRF", 62.5, 83.8,
            81.5, 76.6, 96.2, 78.7, 40.2, 93.9, 43.0, 47.6, 14.3, 81.5, 33.9),
)  # fmt: skip
# Its one network is the SegNet of table 3.
TABLE_2 = TABLE_3[:1]
# SUN RGB-D, 37 classes, 5250 images. SegNet's balanced figures stand below the table.
TABLE_4 = (
    _accuracy("SegNet", "segnet", (72.63, 44.76, 31.84, 12.66),
              balanced=(71.75, 44.85, 32.08, 14.06)),
    _accuracy("DeepLab-LargeFOV", "deeplab-largefov", (71.90, 42.21, 32.08, 8.26)),
    _accuracy("DeepLab-LargeFOV-denseCRF", "deeplab-largefov", (66.96, 33.06, 24.13, 9.41),
              name=CRF, crf=True),
    _accuracy("FCN (learnt deconv)", "fcn-8s", (68.18, 38.41, 27.39, 9.68)),
    _accuracy("DeconvNet", "deconvnet", (66.13, 32.28, 22.57, 10.47)),
)  # fmt: skip


def _cost(
    title: str, arch: str, forward: float, backward: float, train: int, infer: int, model: int
) -> PublishedRow:
    return PublishedRow(
        title,
        arch,
        infer_ms=forward,
        backward_ms=backward,
        training_bytes=train * MB,
        inference_bytes=infer * MB,
        model_bytes=model * MB,
    )


TABLE_6 = (
    _cost("SegNet", "segnet", 422.50, 488.71, 6803, 1052, 117),
    _cost("DeepLab-LargeFOV", "deeplab-largefov", 110.06, 160.73, 5618, 1993, 83),
    _cost("FCN (learnt deconv)", "fcn-8s", 317.09, 484.11, 9735, 1806, 539),
    _cost("DeconvNet", "deconvnet", 474.65, 602.15, 9731, 1872, 877),
)
TABLES: dict[str, tuple[PublishedRow, ...]] = {
    "table1": TABLE_1,
    "table2": TABLE_2,
    "table3": TABLE_3,
    "table4": TABLE_4,
    "table6": TABLE_6,
}
# The networks whose times the others' are divided by.
REFERENCE = {
    "table1": "segnet-basic",
    "table2": "segnet",
    "table3": "segnet",
    "table4": "segnet",
    "table6": "segnet",
}
