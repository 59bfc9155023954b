"""TorchTensorRTModule with the argument list of the real one, on the doubles' engine.

EDGESEG_TORCH_TENSORRT names the real module's source; a call that does not fit its argument list is
a TypeError, as it would be there.
"""

import ast
import inspect
import os
from pathlib import Path

import numpy as np
import tensorrt as trt
import torch


def real_arguments() -> inspect.Signature:
    """The argument list that the real class states."""
    tree = ast.parse(Path(os.environ["EDGESEG_TORCH_TENSORRT"]).read_text())
    (real,) = (n for n in tree.body if getattr(n, "name", "") == "TorchTensorRTModule")
    (init,) = (n for n in real.body if getattr(n, "name", "") == "__init__")
    args = init.args
    by_place, by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            *(inspect.Parameter(a.arg, by_place, default=None) for a in args.args[1:]),
            *(inspect.Parameter(a.arg, by_name, default=None) for a in args.kwonlyargs),
        ]
    )


class Log(trt.ILogger):
    """Silent."""

    def log(self, severity, msg):
        """Drop it."""


class TorchTensorRTModule(torch.nn.Module):
    """Loads the plan as the real one does, and computes what the doubles' engine computes."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        given = real_arguments().bind(*args, **kwargs).arguments
        engine = trt.Runtime(Log()).deserialize_cuda_engine(given["serialized_engine"])
        if engine is None:
            raise RuntimeError("[Error thrown] Unable to deserialize the TensorRT engine\nmore")
        self.names = given["input_binding_names"], given["output_binding_names"]
        assert self.names == (["frame"], ["labels"])

    def forward(self, *inputs):
        """One tensor for one output, as the real one."""
        (frame,) = inputs
        return torch.from_numpy(frame.numpy().argmax(-1).astype(np.uint8))
