"""NVIDIA's own runtimes: what each feeds a network, what it reads, and its configuration files.

What each feeds and reads, and the keys of its files, are from its public documents and sources;
docs/runtimes.md says of each what was checked. Nothing here has run in one of them.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgeseg.core.graph.form import Form

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle

MODEL = "model.onnx"
DEEPSTREAM_MODES = {"fp32": 0, "int8": 1, "fp16": 2}


@dataclasses.dataclass(frozen=True)
class Runtime:
    """One runtime.

    Attributes:
        form: what it feeds and reads.
        files: its configuration, by file name, from a bundle.
        folder: where the model lies, under the folder that is written.
    """

    form: Form
    files: Callable[[Bundle, Form], Mapping[str, str]]
    folder: str = ""


def _names(bundle: Bundle) -> str:
    return "\n".join(bundle.spec.class_names) + "\n"


def _deepstream(bundle: Bundle, form: Form) -> dict[str, str]:
    height, width = bundle.spec.size_hw
    letterbox = int(bundle.spec.preprocess.resize == "letterbox")
    return {
        "labels.txt": _names(bundle),
        "config_infer.txt": f"""\
# Gst-nvinfer, semantic segmentation: {bundle.name}, {bundle.precision}
[property]
gpu-id=0
gie-unique-id=1
# The network takes RGB planes of 0-255 and normalizes them itself.
net-scale-factor=1.0
model-color-format=0
infer-dims=3;{height};{width}
maintain-aspect-ratio={letterbox}
symmetric-padding={letterbox}
onnx-file={MODEL}
model-engine-file={MODEL}_b1_gpu0_{bundle.precision}.engine
labelfile-path=labels.txt
batch-size=1
# 0 FP32, 1 INT8, 2 FP16. The scales of INT8 are in the graph: no calibration file.
network-mode={DEEPSTREAM_MODES[bundle.precision]}
# 2 is semantic segmentation.
network-type=2
num-detected-classes={len(bundle.spec.class_names)}
output-blob-names={form.output_name}
# 0 is classes, rows, columns.
segmentation-output-order=0
segmentation-threshold=0.0
interval=0
""",
    }


def _triton(bundle: Bundle, form: Form) -> dict[str, str]:
    height, width = bundle.spec.size_hw
    return {
        "labels.txt": _names(bundle),
        "config.pbtxt": f"""\
# Put this folder into the model repository; its name there is the model's.
backend: "onnxruntime"
max_batch_size: 0
input [
  {{
    name: "{form.input_name}"
    data_type: TYPE_UINT8
    dims: [ 1, {height}, {width}, 3 ]
  }}
]
output [
  {{
    name: "{form.output_name}"
    data_type: TYPE_UINT8
    dims: [ 1, {height}, {width} ]
  }}
]
instance_group [
  {{
    count: 1
    kind: KIND_AUTO
  }}
]
""",
    }


def _isaac_ros(bundle: Bundle, form: Form) -> dict[str, str]:
    height, width = bundle.spec.size_hw
    palette = [f"0x{r:02X}{g:02X}{b:02X}" for r, g, b in bundle.spec.palette]
    launch = {
        "network_image_width": str(width),
        "network_image_height": str(height),
        "encoder_image_mean": "[0.0, 0.0, 0.0]",
        "encoder_image_stddev": "[1.0, 1.0, 1.0]",
        "model_file_path": f"/PATH/{MODEL}",
        "engine_file_path": "/PATH/model.plan",
        "input_tensor_names": "['input_tensor']",
        "input_binding_names": f"['{form.input_name}']",
        "output_tensor_names": "['output_tensor']",
        "output_binding_names": f"['{form.output_name}']",
        "network_output_type": "argmax",
        "color_segmentation_mask_encoding": "rgb8",
        "mask_width": str(width),
        "mask_height": str(height),
    }
    arguments = " \\\n    ".join(shlex.quote(f"{key}:={value}") for key, value in launch.items())
    return {
        "labels.txt": _names(bundle),
        "launch.sh": f"""\
#!/bin/sh
# Isaac ROS image segmentation, TensorRT node. Put the folder's place for /PATH.
exec ros2 launch isaac_ros_unet isaac_ros_unet_tensor_rt.launch.py \\
    {arguments}
""",
        "unet_decoder.yaml": f"""\
# Parameters of the decoder node, where the colours of the classes are to be the network's.
unet_decoder_node:
  ros__parameters:
    network_output_type: argmax
    color_segmentation_mask_encoding: rgb8
    mask_width: {width}
    mask_height: {height}
    color_palette: [{", ".join(palette)}]
""",
    }


def _jetson_inference(bundle: Bundle, form: Form) -> dict[str, str]:
    colours = "\n".join(f"{r} {g} {b}" for r, g, b in bundle.spec.palette) + "\n"
    return {
        "labels.txt": _names(bundle),
        "colors.txt": colours,
        "segnet.sh": f"""\
#!/bin/sh
# jetson-inference, segNet. The arguments are its input and output, such as csi://0 out.mp4
here=$(cd "$(dirname "$0")" && pwd)
exec segnet --model="$here/{MODEL}" --labels="$here/labels.txt" --colors="$here/colors.txt" \\
    --input_blob={form.input_name} --output_blob={form.output_name} "$@"
""",
    }


def _tensorrt_float(bundle: Bundle, form: Form) -> dict[str, str]:
    flags = {"int8": " --int8 --fp16", "fp16": " --fp16", "fp32": ""}[bundle.precision]
    return {
        "labels.txt": _names(bundle),
        "build.sh": f"""\
#!/bin/sh
# TensorRT 8.6 to 10; TensorRT 11 takes the types from the graph and has no such flags.
here=$(cd "$(dirname "$0")" && pwd)
exec trtexec --onnx="$here/{MODEL}" --saveEngine="$here/model.plan"{flags}
""",
    }


RUNTIMES: Mapping[str, Runtime] = {
    "deepstream": Runtime(Form("input", "bytes", "scores", "softmax"), _deepstream),
    "isaac-ros": Runtime(Form("input", "unit", "output", "int32 nhw1"), _isaac_ros),
    "triton": Runtime(Form("frame", "frame", "labels", "labels"), _triton, "1"),
    "jetson-inference": Runtime(
        Form("input_0", "imagenet", "output_0", "logits"), _jetson_inference
    ),
    "tensorrt-float": Runtime(Form("input", "unit", "labels", "int32"), _tensorrt_float),
}
PIXELS = {
    "frame": "uint8 1,H,W,3, RGB",
    "bytes": "float 1,3,H,W, RGB, 0 to 255",
    "unit": "float 1,3,H,W, RGB, 0 to 1",
    "imagenet": "float 1,3,H,W, RGB, 0 to 1 less (0.485 0.456 0.406) over (0.229 0.224 0.225)",
}
RESULTS = {
    "labels": "uint8 1,H,W, the class of each pixel",
    "int32": "int32 1,H,W, the class of each pixel",
    "int32 nhw1": "int32 1,H,W,1, the class of each pixel",
    "logits": "float 1,K,H,W, a score per class",
    "softmax": "float 1,K,H,W, a probability per class",
}


def readme(bundle: Bundle, name: str, form: Form) -> str:
    """Return the text that says what the graph takes and gives."""
    height, width = bundle.spec.size_hw
    fit = "letterbox: scaled to fit, padded" if bundle.spec.preprocess.resize == "letterbox" else (
        bundle.spec.preprocess.resize
    )  # fmt: skip
    return f"""\
edgeseg: {bundle.name}, {bundle.precision}, for {name}

input   {form.input_name}: {PIXELS[form.pixels]}; H {height}, W {width}
output  {form.output_name}: {RESULTS[form.result]}; K {len(bundle.spec.class_names)}
bundle  {bundle.digest}

The network was trained on frames resized thus: {fit}. A runtime that stretches them instead costs
accuracy. The graph was run on ONNX Runtime and gave the bundle's labels; it has not run in {name}.
Engines are built on the machine that runs them.
"""
