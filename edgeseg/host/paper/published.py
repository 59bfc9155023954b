"""The SegNet paper's tables 1, 3 and 6 (arXiv 1511.00561), as printed, in our units.

Accuracies are 0-1. Times are milliseconds of Caffe on a 2016 GPU at 360x480: only their ratios can
be compared with another machine's.
"""

from __future__ import annotations

import dataclasses
from typing import Any

SCORES = ("global_accuracy", "class_accuracy", "miou", "bf")
MB = 1_000_000


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """One row of a table; what a table does not print is None.

    Attributes:
        title: the network's name there.
        arch: our architecture.
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
    params: float | None = None
    storage: float | None = None
    infer_ms: float | None = None
    balanced: tuple[float, ...] | None = None
    natural: tuple[float, ...] | None = None
    backward_ms: float | None = None
    training_bytes: int | None = None
    inference_bytes: int | None = None
    model_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the printed figures, scores by name."""
        document = dataclasses.asdict(self)
        for key in ("title", "arch"):
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
        title, title.lower(), params * 1e6, storage, infer_ms, _scores(*balanced), _scores(*natural)
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
# Trained on 3433 images of several sets, and two rows more that are no network of their own here:
# a dense CRF after DeepLab-LargeFOV, and FCN with fixed upsampling.
TABLE_3 = (
    PublishedRow("SegNet", "segnet", natural=_scores(90.40, 71.20, 60.10, 46.84)),
    PublishedRow(
        "DeepLab-LargeFOV", "deeplab-largefov", natural=_scores(88.20, 62.53, 53.88, 32.77)
    ),
    PublishedRow("FCN (learnt deconv)", "fcn-8s", natural=_scores(83.14, 64.21, 51.96, 33.18)),
    PublishedRow("DeconvNet", "deconvnet", natural=_scores(89.58, 70.24, 59.77, 52.23)),
)


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
    "table3": TABLE_3,
    "table6": TABLE_6,
}
# The networks whose times the others' are divided by.
REFERENCE = {"table1": "segnet-basic", "table3": "segnet", "table6": "segnet"}
