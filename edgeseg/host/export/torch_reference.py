"""A checkpoint as plain torch runs it: what every export is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
from edgeseg.host.export.export import deployed


def eager_labels(path: Path, threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from frames "1 h w 3" to labels "1 h w", both uint8, in eager float32.

    Batch norms are folded, as in an export; a quantized checkpoint runs with its quantizers off.

    Args:
        path: a checkpoint file.
        threads: of torch, for this process from now on; None leaves them.

    Raises:
        CheckpointError: the file is no checkpoint.
    """
    checkpoint = load_checkpoint(path)
    net = deployed(checkpoint.spec, module_from_checkpoint(checkpoint), "fp32")
    if threads is not None:
        torch.set_num_threads(threads)

    @torch.inference_mode()
    def labels(frames: np.ndarray) -> np.ndarray:
        found: np.ndarray = net(torch.from_numpy(frames)).numpy()
        return found

    return labels
