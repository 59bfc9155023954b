"""TensorRT's real Python bindings with its factories replaced by doubles of their products.

Every double stands for a real class of the bindings: an attribute that the class lacks is an
AttributeError, a property without a setter cannot be set, and a call must fit the signature that
the bindings' docstring states, types included. What a double gives back is made here.

EDGESEG_DOUBLE_FAULT makes one thing fail: oom, none, parse, segfault, kill, capture, slow-int8,
load-oom; no-kernel has no INT8 kernel for conv1, no-int8 none for any layer.
"""

import ctypes
import hashlib
import json
import os
import re
import signal
import time

import numpy as np
import onnx
import tensorrt_bindings as real

__version__ = real.__version__
FAULT = os.environ.get("EDGESEG_DOUBLE_FAULT", "")
SIMPLE = {"int": int, "typing.SupportsInt": int, "str": str, "bool": bool, "float": float,
          "buffer": bytes, "typing_extensions.Buffer": bytes, "capsule": object}  # fmt: skip


def split(text):
    """Split arguments at commas outside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "[(") - (c in "])")
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def signatures(function):
    """Argument lists that a binding's docstring states: [(name, type, has a default)]."""
    found = []
    for line in (function.__doc__ or "").splitlines():
        match = re.match(rf"\s*(?:\d+\. )?{function.__name__}\((.*)\)(?: -> .*)?$", line)
        if match and not match[1].startswith("*args"):
            args = []
            for part in split(match[1]):
                name, _, kind = part.partition(":")
                kind, _, default = kind.partition(" = ")
                args.append((name.strip(), kind.strip(), bool(default)))
            found.append(args)
    return found


def fits(args, kinds):
    args = list(args)
    if len(args) > len(kinds) or any(not d for _, _, d in kinds[len(args) :]):
        return False
    for value, (_, kind, _) in zip(args, kinds, strict=False):
        if kind in SIMPLE:
            if not isinstance(value, SIMPLE[kind]) and not isinstance(value, Double):
                return False
        elif kind.startswith("tensorrt_bindings") or kind.startswith("nvinfer1"):
            wanted = getattr(real, re.split(r"\.|::", kind)[-1], None)
            if isinstance(value, Double):
                if value._kind is not wanted and not issubclass(value._kind, wanted):
                    return False
            elif wanted is not None and not isinstance(value, wanted):
                return False
    return True


class Double:
    """Stands for an instance of `kind`; `gives` maps its methods and properties to what they do."""

    def __init__(self, kind, gives):
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_gives", gives)
        object.__setattr__(self, "_set", {})
        for name in gives:
            assert hasattr(kind, name) or name.startswith("__"), f"{kind.__name__} has no {name}"

    def __getattr__(self, name):
        member = getattr(self._kind, name)  # the real class must have it
        if isinstance(member, property):
            return self._set[name] if name in self._set else self._gives[name]
        known = signatures(member)

        def call(*args, **kwargs):
            assert not kwargs, f"{self._kind.__name__}.{name}: keywords are not checked here"
            lists = [kinds[1:] for kinds in known]  # without self
            assert not known or any(fits(args, kinds) for kinds in lists), (
                f"{self._kind.__name__}.{name}{args} does not fit {lists}"
            )
            return self._gives[name](*args)

        return call

    def __setattr__(self, name, value):
        member = getattr(self._kind, name)
        assert isinstance(member, property), f"{self._kind.__name__}.{name} is no property"
        assert member.fset is not None, f"{self._kind.__name__}.{name} cannot be set"
        self._set[name] = value


def memory(data):
    class Bytes(Double):
        def __bytes__(self):
            return data

    return Bytes(real.IHostMemory, {})


def Builder(log):
    assert isinstance(log, real.ILogger)
    state = {}

    def create_network(flags):
        state["network_flags"] = flags
        layers = [Double(real.ILayer, {}) for _ in range(3)]
        state["network"] = Double(
            real.INetworkDefinition, {"num_layers": 3, "get_layer": lambda i: layers[i]}
        )
        NETWORKS[id(state["network"])] = state
        return state["network"]

    def build_serialized_network(network, config):
        if FAULT == "oom":
            log.log(real.ILogger.ERROR, "[defaultAllocator.cpp::allocate::30] Error Code 1: Cuda "
                    "Runtime (out of memory)")  # fmt: skip
            return None
        if FAULT == "none":
            log.log(real.ILogger.ERROR, "Error Code 10: Internal Error (Could not find any "
                    "implementation for node conv1.)")  # fmt: skip
            return None
        if FAULT == "no-kernel" and state["conv1_int8"]:
            log.log(real.ILogger.ERROR, "Error Code 10: Internal Error (Could not find any "
                    "implementation for node w + node_of_conv1 + node_of_relu1.)")  # fmt: skip
            return None
        if FAULT == "no-int8" and "QuantizeLinear" in state["ops"]:
            log.log(real.ILogger.ERROR, "Error Code 10: Internal Error (Could not find any "
                    "implementation for node {ForeignNode[somewhere...else]}.)")  # fmt: skip
            return None
        if FAULT == "segfault":
            ctypes.string_at(0)
        if FAULT == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if "progress_monitor" in config._set:
            monitor = config.progress_monitor
            monitor.phase_start("Build", None, 2)
            monitor.phase_start("Tactics", "Build", 5)
            assert monitor.step_complete("Tactics", 4)
            monitor.phase_finish("Tactics")
            assert monitor.step_complete("Build", 1)
            monitor.phase_finish("Build")
        plan = {
            "tensorrt": __version__,
            "network_flags": state["network_flags"],
            "builder_flags": sorted(flag.name for flag in state["flags"]),
            "cleared": sorted(flag.name for flag in state["cleared"]),
            "ops": state["ops"],
            "onnx": state["onnx"],
            "shape": state["shape"],
            "workspace": state["workspace"],
            "level": config._set.get("builder_optimization_level"),
            "detailed": config._set["profiling_verbosity"] == real.ProfilingVerbosity.DETAILED,
            "timing_before": state["timing"],
        }
        return memory(b"PLAN" + json.dumps(plan).encode())

    def create_builder_config():
        state.update(flags=set(), cleared=set(), timing=None, workspace=None)

        def set_memory_pool_limit(pool, size):
            assert pool == real.MemoryPoolType.WORKSPACE
            state["workspace"] = size

        def create_timing_cache(data):
            if data not in (b"", b"TIMES"):
                return None
            serialize = {"serialize": lambda: memory(b"TIMES")}
            cache = Double(real.ITimingCache, serialize)
            state["created"] = data.decode()
            return cache

        def set_timing_cache(cache, ignore_mismatch):
            assert not ignore_mismatch
            state["timing"] = state["created"]
            state["cache"] = cache
            return True

        return Double(
            real.IBuilderConfig,
            {
                "set_flag": state["flags"].add,
                "clear_flag": state["cleared"].add,
                "set_memory_pool_limit": set_memory_pool_limit,
                "create_timing_cache": create_timing_cache,
                "set_timing_cache": set_timing_cache,
                "get_timing_cache": lambda: state["cache"],
                "can_run_on_DLA": lambda layer: True,
            },
        )

    return Double(
        real.Builder,
        {
            "create_network": create_network,
            "create_builder_config": create_builder_config,
            "build_serialized_network": build_serialized_network,
            "num_DLA_cores": 2,
        },
    )


NETWORKS = {}


def OnnxParser(network, log):
    assert network._kind is real.INetworkDefinition
    state = NETWORKS[id(network)]

    def parse(data):
        try:
            model = onnx.load_from_string(data)
        except Exception:
            model = None
        if FAULT == "parse" or model is None or not model.graph.node:
            return False
        names = {v.name: v for v in model.graph.input}
        dims = names["frame"].type.tensor_type.shape.dim
        state["shape"] = [d.dim_value for d in dims]
        state["ops"] = sorted({node.op_type for node in model.graph.node})
        made = {node.output[0]: node for node in model.graph.node}
        weight = made.get(made["conv1"].input[1])
        state["conv1_int8"] = weight is not None and weight.op_type == "DequantizeLinear"
        state["onnx"] = hashlib.sha256(data).hexdigest()
        return True

    error = {"desc": lambda: "Assertion failed: unsupported\nline 2", "node": lambda: 3}
    if hasattr(real.ParserError, "node_name"):
        error["node_name"] = lambda: "conv1"
    return Double(
        real.OnnxParser,
        {"parse": parse, "num_errors": 1, "get_error": lambda i: Double(real.ParserError, error)},
    )


def Runtime(log):
    assert isinstance(log, real.ILogger)

    def deserialize_cuda_engine(data):
        if FAULT == "load-oom":
            log.log(real.ILogger.ERROR, "Error Code 1: Cuda Runtime (out of memory)")
            return None
        if not data.startswith(b"PLAN"):
            log.log(real.ILogger.ERROR, "IRuntime::deserializeCudaEngine: Error Code 1: "
                    "Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed."
                    "Magic tag does not match)")  # fmt: skip
            return None
        plan = json.loads(data[4:])
        if plan["tensorrt"] != __version__:
            log.log(real.ILogger.ERROR, "The engine plan file is not compatible with this version "
                    f"of TensorRT, expecting library version {__version__} got "
                    f"{plan['tensorrt']}, please rebuild.")  # fmt: skip
            return None
        return engine(plan)

    return Double(real.Runtime, {"deserialize_cuda_engine": deserialize_cuda_engine})


def engine(plan):
    names = ["frame", "labels"]
    modes = [real.TensorIOMode.INPUT, real.TensorIOMode.OUTPUT]
    shape = plan["shape"]
    quantized = "QuantizeLinear" in plan["ops"]
    half = "FP16" in plan["builder_flags"] or not hasattr(real.BuilderFlag, "FP16")
    kind = "Int8" if quantized else ("FP16" if half else "FP32")
    row = {"Dimensions": [1, 32, 8, 8], "Format/Datatype": f"Row major linear {kind} format"}
    layers = [
        {"Name": "Reformatting CopyNode for Input Tensor 0 to conv1", "LayerType": "Reformat",
         "Inputs": [{"Dimensions": shape, "Format/Datatype": "Row major linear UINT8"}],
         "Outputs": [row]},
        {"Name": "conv1 + relu1", "LayerType": "CaskConvolution", "Inputs": [row],
         "Outputs": [row], "Weights": {"Type": "Int8" if quantized else "Half", "Count": 9},
         "TacticName": "sm80_xmma"},
    ]  # fmt: skip
    if plan["detailed"]:
        text = json.dumps({"Layers": layers, "Bindings": names})
    else:
        text = json.dumps({"Layers": ["conv1"]})

    def get_engine_information(form):
        assert form == real.LayerInformationFormat.JSON
        return text

    gives = {
        "num_io_tensors": 2,
        "get_tensor_name": lambda i: names[i],
        "get_tensor_mode": lambda n: modes[names.index(n)],
        "get_tensor_dtype": lambda n: real.DataType.UINT8,
        "get_tensor_shape": lambda n: shape if n == "frame" else shape[:-1],
        "create_engine_inspector": lambda: Double(
            real.EngineInspector, {"get_engine_information": get_engine_information}
        ),
        "create_execution_context": lambda *args: context(plan),
    }
    for name in ("device_memory_size", "device_memory_size_v2"):
        if hasattr(real.ICudaEngine, name):
            gives[name] = 4096
    return Double(real.ICudaEngine, gives)


def context(plan):
    from cuda.bindings import runtime

    addresses = {}

    def set_tensor_address(name, address):
        assert address in runtime.HELD["device"], "not device memory"
        addresses[name] = address
        return True

    def execute_async_v3(stream):
        if FAULT == "capture" and stream in runtime.RECORDING:
            runtime.RECORDING[stream].append(None)
            return False
        frame, labels = addresses["frame"], addresses["labels"]
        slow = FAULT == "slow-int8" and "QuantizeLinear" in plan["ops"]

        def compute():
            if slow:
                time.sleep(0.002)
            size = int(np.prod(plan["shape"]))
            rgb = np.frombuffer((ctypes.c_uint8 * size).from_address(frame), np.uint8)
            best = rgb.reshape(plan["shape"]).argmax(-1).astype(np.uint8)
            ctypes.memmove(labels, best.ctypes.data, best.nbytes)

        runtime.queue(stream, compute)
        return True

    return Double(
        real.IExecutionContext,
        {"set_tensor_address": set_tensor_address, "execute_async_v3": execute_async_v3},
    )


def init_libnvinfer_plugins(log, namespace):
    assert isinstance(log, real.ILogger)
    assert isinstance(namespace, str)
    return True


def get_plugin_registry():
    def load_library(path):
        return None if "broken" in path else object()

    return Double(real.IPluginRegistry, {"load_library": load_library})


def __getattr__(name):
    # No star import: the bindings have names such as bool and float16 of their own.
    return getattr(real, name)
