"""Run under trt_lines.run: the torch_tensorrt backend, with torch's CUDA calls on the CPU."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
from tinybundle import expected_labels, random_frame

sys.path.insert(0, str(Path(__file__).parent / "torch_doubles"))

from edgeseg.core.bundle import read_bundle
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.torch_tensorrt import TorchTensorRtBackend

empty = torch.empty
torch.empty = lambda *size, pin_memory, **more: empty(*size, **more)
torch.Tensor.cuda = lambda self, non_blocking: self.clone()
torch.cuda.current_stream = lambda: types.SimpleNamespace(synchronize=lambda: None)

bundle, cache = read_bundle(Path(sys.argv[1])), Path(sys.argv[2])
frames = [random_frame(seed)[None] for seed in range(3)]


def caught(call):
    """The class and words of what a call raises."""
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


with open_backend("torch_tensorrt", bundle, cache=cache) as backend:
    same = [bool(np.array_equal(backend.infer(f), expected_labels(f))) for f in frames]
    io = backend.io.to_json()
    wrong = caught(lambda: backend.infer(frames[0][:, :-1]))
closed = caught(lambda: backend.infer(frames[0]))
(plan,) = cache.rglob("*.plan")
real_read = Path.read_bytes
Path.read_bytes = lambda self: b"damaged" if self == plan else real_read(self)
damaged = caught(lambda: TorchTensorRtBackend(bundle, cache=cache))
print(json.dumps({"same": same, "io": io, "wrong": wrong, "closed": closed, "damaged": damaged}))
