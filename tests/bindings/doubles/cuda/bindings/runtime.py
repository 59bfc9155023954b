"""cuda-python's runtime module without a GPU: device memory is host memory, streams are queues.

Nothing queued runs until somebody waits for it, and then only what that wait needs: a missing
dependency between two streams shows as a wrong result. While a stream records, its work goes into
the graph. tests/unit/tensorrt compares the names and the number of arguments with the real module.
"""

import ctypes
import enum

cudaStreamNonBlocking = 1
cudaEventDisableTiming = 2


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


OK = cudaError_t.cudaSuccess
BAD = cudaError_t.cudaErrorInvalidValue
# What is alive, by kind; a test asks that all of it is given back.
HELD = {"device": {}, "pinned": {}, "stream": {}, "event": {}, "recorded": {}, "graph": {}}
RECORDING = {}
LOG = []
_next = [1000]


def _new(kind, value):
    _next[0] += 1
    HELD[kind][_next[0]] = value
    return _next[0]


def queue(stream, work):
    """Queue a function on a stream; what TensorRT's double does to compute."""
    if stream in RECORDING:
        RECORDING[stream].append(work)
    else:
        HELD["stream"][stream].append(work)


def _drain(stream, until=None):
    work = HELD["stream"][stream]
    while work:
        item = work.pop(0)
        if isinstance(item, tuple) and item[0] == "record":
            HELD["event"][item[1]] = "come"
            if item[1] == until:
                return
        elif isinstance(item, tuple):
            _reach(item[1])
        else:
            item()


def _reach(event):
    for stream, work in HELD["stream"].items():
        if ("record", event) in work:
            _drain(stream, event)


def cudaSetDevice(device):
    return (OK,)


def _memory(kind, size):
    buffer = (ctypes.c_uint8 * size)(*([0xCD] * min(size, 64)))
    address = ctypes.addressof(buffer)
    HELD[kind][address] = buffer
    return OK, address


def cudaMalloc(size):
    return _memory("device", size)


def cudaFree(address):
    return (OK if HELD["device"].pop(address, None) is not None else BAD,)


def cudaMallocHost(size):
    return _memory("pinned", size)


def cudaFreeHost(address):
    return (OK if HELD["pinned"].pop(address, None) is not None else BAD,)


def cudaMemcpyAsync(dst, src, count, kind, stream):
    host, device = (src, dst) if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else (dst, src)
    if host not in HELD["pinned"] or device not in HELD["device"]:
        return (BAD,)
    queue(stream, lambda: ctypes.memmove(dst, src, count))
    return (OK,)


def cudaStreamCreateWithFlags(flags):
    return OK, _new("stream", [])


def cudaStreamDestroy(stream):
    return (OK if HELD["stream"].pop(stream, None) is not None else BAD,)


def cudaStreamSynchronize(stream):
    _drain(stream)
    return (OK,)


def cudaEventCreateWithFlags(flags):
    return OK, _new("event", "new")


def cudaEventDestroy(event):
    return (OK if HELD["event"].pop(event, None) is not None else BAD,)


def cudaEventRecord(event, stream):
    HELD["event"][event] = "due"
    queue(stream, ("record", event))
    return (OK,)


def cudaStreamWaitEvent(stream, event, flags):
    if HELD["event"][event] == "due":
        queue(stream, ("wait", event))
    return (OK,)


def cudaEventSynchronize(event):
    _reach(event)
    return (OK if HELD["event"][event] == "come" else BAD,)


def cudaStreamBeginCapture(stream, mode):
    RECORDING[stream] = []
    return (OK,)


def cudaStreamEndCapture(stream):
    work = RECORDING.pop(stream)
    if None in work:
        return cudaError_t.cudaErrorStreamCaptureInvalidated, None
    return OK, _new("recorded", work)


def cudaGraphInstantiate(graph, flags):
    return OK, _new("graph", list(HELD["recorded"][graph]))


def cudaGraphDestroy(graph):
    return (OK if HELD["recorded"].pop(graph, None) is not None else BAD,)


def cudaGraphLaunch(graph, stream):
    LOG.append("launch")
    for work in HELD["graph"][graph]:
        queue(stream, work)
    return (OK,)


def cudaGraphExecDestroy(graph):
    return (OK if HELD["graph"].pop(graph, None) is not None else BAD,)
