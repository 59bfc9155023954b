"""Run under trt_lines.run: open, infer, pipeline, close; print what a test asks about as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
from cuda.bindings import runtime
from tinybundle import expected_labels, random_frame

from edgeseg.core.bundle import read_bundle
from edgeseg.runtime.backends import open_backend

bundle, cache = read_bundle(Path(sys.argv[1])), Path(sys.argv[2])
frames = [random_frame(seed)[None] for seed in range(5)]
wanted = [expected_labels(frame) for frame in frames]
with open_backend("tensorrt", bundle, cache=cache) as backend:
    single = [
        bool(np.array_equal(backend.infer(f), w)) for f, w in zip(frames, wanted, strict=True)
    ]
    labels = [labels.copy() for labels in backend.infer_all(frames)]
    piped = [bool(np.array_equal(a, b)) for a, b in zip(labels, wanted, strict=True)]
    held = {kind: len(values) for kind, values in runtime.HELD.items()}
    io, note = backend.io.to_json(), backend.graph_note
    memory = dict(backend.memory)
    plan_bytes = backend.engine.path.stat().st_size
    launches = len(runtime.LOG)
backend.close()
try:
    backend.infer(frames[0])
    closed = "still runs"
except Exception as error:
    closed = str(error)
with open_backend("tensorrt", bundle, cache=cache) as again:
    reason = again.engine.reason
print(
    json.dumps(
        {
            "single": single,
            "piped": piped,
            "held": held,
            "left": {kind: len(values) for kind, values in runtime.HELD.items()},
            "io": io,
            "memory": memory,
            "plan_bytes": plan_bytes,
            "graph_note": note,
            "launches": launches,
            "closed": closed,
            "second_reason": reason,
        }
    )
)
