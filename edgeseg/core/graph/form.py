"""How a runtime feeds a network and what it reads; needs no library, so that `--help` is quick."""

from __future__ import annotations

import dataclasses

# What runtimes with a fixed preprocessing subtract and divide by, in 0-1 units, R, G, B.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Form:
    """The two ends of a graph.

    Attributes:
        input_name: of the picture.
        pixels: "frame" (uint8 1,H,W,3 as in the bundle), or planes of float 1,3,H,W in RGB order:
            "bytes" (0-255), "unit" (0-1), "imagenet" (0-1 less IMAGENET_MEAN over IMAGENET_STD).
        output_name: of the result.
        result: "labels" (uint8 1,H,W), "int32" (1,H,W), "int32 nhw1" (1,H,W,1), "logits" or
            "softmax" (float 1,K,H,W).
    """

    input_name: str
    pixels: str
    output_name: str
    result: str
