"""Run by test_pycuda.py: the adapter on the real PyCUDA, over a driver in main memory."""

import ctypes
import json
import os
import sys
import threading

import numpy as np

from edgeseg.errors import BackendError
from edgeseg.runtime.cuda.gpu import ADAPTERS, Cuda, _adapter

# PyCUDA's module wants symbols of the whole driver; those that nobody calls may be missing.
driver = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
sys.setdlopenflags(os.RTLD_LAZY)

KINDS = ("device", "pinned", "stream", "event")


def alive() -> dict[str, int]:
    return {kind: driver.double_alive(i) for i, kind in enumerate(KINDS)}


def round_trip(cuda: Cuda, seed: int) -> bool:
    """One frame there and back, as the backend queues it."""
    given = np.random.default_rng(seed).integers(0, 256, (2, 3, 5), np.uint8)
    into, out = cuda.create_stream(), cuda.create_stream()
    copied, done = cuda.create_event(), cuda.create_event()
    frame, labels = cuda.allocate_pinned(given.shape), cuda.allocate_pinned(given.shape)
    address = cuda.allocate(frame.nbytes)
    np.copyto(frame, given)
    labels[...] = 0
    cuda.copy_in(address, frame, into)
    cuda.record(copied, into)
    cuda.wait(out, copied)
    cuda.copy_out(labels, address, out)
    cuda.record(done, out)
    cuda.wait_for(done)
    cuda.synchronize(out)
    same = bool(np.array_equal(labels, given))
    flags = [driver.double_stream_flags(ctypes.c_void_p(s)) for s in (into, out)]
    held = alive()
    cuda.free(address)
    cuda.free_pinned(frame)
    cuda.free_pinned(labels)
    for event in (copied, done):
        cuda.destroy_event(event)
    for stream in (into, out):
        cuda.destroy_stream(stream)
    return same and flags == [1, 1] and held == dict.fromkeys(KINDS, 2) | {"device": 1}


def refused(call) -> str:
    try:
        call()
    except BackendError as error:
        return str(error)
    return ""


cuda = _adapter(ADAPTERS["pycuda"])
found = {"name": cuda.name, "is_cuda": isinstance(cuda, Cuda), "same": [round_trip(cuda, 0)]}
# Another thread than the one that opened it, as the loop's.
thread = threading.Thread(target=lambda: found["same"].append(round_trip(cuda, 1)))
thread.start()
thread.join()
found["left"] = alive()
found["no_memory"] = refused(lambda: cuda.allocate(1 << 41))
found["no_graphs"] = refused(lambda: cuda.begin_capture(0))
cuda.allocate(16)
kept = cuda.create_stream()
cuda.close()
cuda.close()
found["after_close"] = alive()
found["pushed"] = driver.double_pushed()
# `build` opens one engine after another.
again = _adapter(ADAPTERS["pycuda"])
found["same"].append(round_trip(again, 2))
again.close()
found["pushed_again"] = driver.double_pushed()
print(json.dumps(found))
