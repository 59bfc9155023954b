"""Joins the processes that torchrun started, from its environment variables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeseg.errors import BackendError, BackendUnavailable

if TYPE_CHECKING:
    from edgeseg.host.training.distributed import Ranks


@contextlib.contextmanager
def joined_ranks(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the other processes for the body; yields this one's place and its device.

    Reads torchrun's RANK, WORLD_SIZE and LOCAL_RANK. Without them the process is alone. "cuda"
    becomes the GPU of the local rank, with nccl between them; CPUs talk by gloo.

    Raises:
        BackendUnavailable: this torch has no such way to talk.
        BackendError: another process went away.
    """
    from edgeseg.host.training.distributed import ALONE, Ranks

    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    import torch
    import torch.distributed as dist

    on_gpu = device.startswith("cuda")
    way = "nccl" if on_gpu else "gloo"
    if not dist.is_available() or not dist.is_backend_available(way):
        raise BackendUnavailable(f"training on {count} processes needs {way}, which torch has not")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group(way)
    try:
        yield Ranks(dist.get_rank(), count), device
    except RuntimeError as error:
        # gloo's are known by its name alone.
        if "gloo" not in str(error) and not isinstance(error, dist.DistError):
            raise
        raise BackendError(
            f"process {dist.get_rank()} of {count} lost another one, whose own message says why"
        ) from error
    finally:
        dist.destroy_process_group()
