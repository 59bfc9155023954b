"""LabelNet: the whole deployed computation, from a uint8 frame to uint8 labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.core.spec import ModelSpec, Preprocess

# Keeps the division finite on a frame of one colour; in 0-1 units, far below sensor noise.
MIN_STD = 1e-2


def scaled(frame: torch.Tensor) -> torch.Tensor:
    """Map uint8 N,H,W,3 to float N,3,H,W in 0-1, the same in training and in the exported graph."""
    # Converted before anything else: TensorRT has uint8 at the network's border only, and turns
    # it into floats and back, never into integers (NvInferRuntimeBase.h, DataType::kUINT8).
    return frame.to(torch.float32).permute(0, 3, 1, 2) * (1.0 / 255.0)


class Normalize(nn.Module):
    """uint8 N,H,W,3 to normalized float N,3,H,W, by fixed or per-image statistics."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        """Keep the rule and the fixed statistics."""
        super().__init__()
        self.per_image = preprocess.normalize == "per_image"
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1), False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1), False)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """Normalize a batch of RGB frames."""
        x = scaled(frame)
        if self.per_image:
            x = x - x.mean((2, 3), keepdim=True)
            return x / (torch.sqrt((x * x).mean((2, 3), keepdim=True)) + MIN_STD)
        return (x - self.mean) / self.std


class LabelNet(nn.Module):
    """Normalize, run the network, resize its logits to the frame, take the best class."""

    def __init__(self, spec: ModelSpec, model: nn.Module, *, raw_logits: bool = False) -> None:
        """Wrap `model`; with `raw_logits` the full-size logits are returned as well."""
        super().__init__()
        self.normalize = Normalize(spec.preprocess)
        self.model = model
        self.raw_logits = raw_logits

    def forward(self, frame: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Map uint8 frames N,H,W,3 to uint8 labels N,H,W."""
        logits = resize_logits(self.model(self.normalize(frame)), frame.shape[1:3])
        # Through float for the same reason.
        labels = logits.argmax(1).to(torch.float32).to(torch.uint8)
        return (labels, logits) if self.raw_logits else labels


def resize_logits(logits: torch.Tensor, size_hw: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Resize logits N,K,h,w bilinearly (half-pixel centres) to `size_hw`; a no-op at that size."""
    if tuple(logits.shape[-2:]) == tuple(size_hw):
        return logits
    return F.interpolate(logits, size=tuple(size_hw), mode="bilinear", align_corners=False)
