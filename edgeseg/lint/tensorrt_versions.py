"""What each TensorRT line reads: operators with their types, attribute limits, opsets, typing.

Reviewed data, written down from the sources named here; nothing in it was run on a GPU.

    8.6    onnx-tensorrt, branch 8.6-GA, docs/operators.md and builtin_op_importers.cpp
    10.3   onnx-tensorrt, branch 10.1-GA, docs/operators.md (10.3 shares its parser's table)
    10.16  onnx-tensorrt, docs/operators.md of 10.15
    11.4   docs.nvidia.com/deeplearning/tensorrt/latest/reference/onnx-opset-guide.html, and the
           10.15 table for operators, of which 11 removes none that is listed here
    UINT8  include/NvInferRuntimeBase.h, DataType::kUINT8, the same text from 8.6.1 to 11.1
    Q/DQ   include/NvInfer.h, IQuantizeLayer and IDequantizeLayer, 8.6.1 to 11.1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Line:
    """One TensorRT line.

    Attributes:
        name: as `--target` takes it.
        jetpack: the JetPack releases that bring it.
        min_opset: oldest ONNX operator set it promises to read.
        max_opset: newest; a newer graph is read as far as no node uses a newer definition.
        strongly_typed: every type comes from the graph; there are no INT8 and FP16 flags.
        half_scales: Q/DQ scales may be FP16.
        floats: float types that its layers compute in.
        source: where the opsets and the operator table are written down.
    """

    name: str
    jetpack: str
    min_opset: int
    max_opset: int
    strongly_typed: bool
    half_scales: bool
    floats: frozenset[str]
    source: str


# The line whose parser stops at opset 17 and narrows INT64 to INT32.
OLDEST = "trt8.6"
# Dims::MAX_DIMS of NvInferRuntimeBase.h.
MOST_AXES = 8
FP32_FP16 = frozenset({"FP32", "FP16"})
WITH_BF16 = FP32_FP16 | {"BF16"}
INTEGERS = frozenset({"INT32", "INT64"})
TABLE = "https://github.com/onnx/onnx-tensorrt/blob/{}/docs/operators.md"

LINES: dict[str, Line] = {
    "trt8.6": Line(
        "trt8.6", "6.0", 7, 17, False, False, FP32_FP16, TABLE.format("8.6-GA")
    ),
    "trt10.3": Line(
        "trt10.3", "6.1, 6.2", 9, 20, False, True, WITH_BF16, TABLE.format("10.1-GA")
    ),
    "trt10.16": Line(
        "trt10.16", "7.2", 9, 24, False, True, WITH_BF16, TABLE.format("main")
    ),
    "trt11.4": Line(
        "trt11.4",
        "7.2.2 with the SBSA package",
        9,
        25,
        True,
        True,
        WITH_BF16,
        "https://docs.nvidia.com/deeplearning/tensorrt/latest/reference/onnx-opset-guide.html",
    ),
}  # fmt: skip

# What an operator computes in, by the tables above. "float" stands for the line's float types,
# "half" for those without BF16, "int" for INT32, and INT64 too from 10 on (8.6 narrows INT64 to
# INT32 and says so), "int10" for integers from 10 on, "long10" for
# INT64 alone from 10 on. INT8 never stands here: it is reached through
# Q/DQ alone. Clip and CumSum take integers by their importers, which the tables leave out.
OPERATORS: Mapping[str, frozenset[str]] = {
    name: frozenset(kinds.split())
    for kinds, names in {
        "float": """Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Conv
            ConvTranspose Cos Cosh Einsum Elu Erf Exp Floor GRU Gelu Gemm GlobalAveragePool
            GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid HardSwish Hardmax ImageScaler
            InstanceNormalization IsInf LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax
            LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization PRelu
            ParametricSoftplus Pow QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform
            RandomUniformLike Reciprocal Resize Round ScaledTanh Scan Selu Sigmoid Sin Sinh Softmax
            Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Upsample""",
        "half": "DeformConv GridSample Mish NonMaxSuppression NonZero RoiAlign",
        "float int10": """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
            ReduceMin ReduceProd ReduceSum ReduceSumSquare""",
        # The table says INT32 too; activationHelper of 8.6 and 10.1 refuses it.
        "float long10": "Relu",
        "float int": """Abs Add ArgMax ArgMin Clip CumSum DepthToSpace Div Equal Greater
            GreaterOrEqual IsNaN Less LessOrEqual Max Mean Min Mod Mul Neg Pad Range Scatter
            ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK""",
        "float int bool": """Concat Constant ConstantOfShape Dropout Expand EyeLike Flatten Gather
            GatherElements GatherND Identity If Loop OneHot Reshape ReverseSequence Shape Size Slice
            Split Squeeze Tile Transpose Trilu Unsqueeze Where""",
        "float int bool uint8": "Cast CastLike",
        "bool": "And Not Or Xor",
        "int8": "DequantizeLinear",
    }.items()
    for name in names.split()
}

# The first line that reads an operator, where that is not 8.6.
SINCE: Mapping[str, str] = {
    name: "trt10.3" for name in ("CastLike", "DeformConv", "Gelu", "Hardmax", "Mish")
}

# Operators that people meet in segmentation networks and that no line reads, with what to do.
REFUSED: Mapping[str, str] = {
    "MaxUnpool": "export with edgeseg, which lowers un-pooling to Resize, Equal and Where",
    "QLinearConv": "export with Q/DQ nodes in place of the integer operators",
    "QLinearMatMul": "export with Q/DQ nodes in place of the integer operators",
    "ConvInteger": "export with Q/DQ nodes in place of the integer operators",
    "MatMulInteger": "export with Q/DQ nodes in place of the integer operators",
    "DynamicQuantizeLinear": "give the activation a fixed scale and a Q/DQ pair",
    "BitShift": "write it as multiplication",
    "Compress": "use Where with a mask",
}

# ITopKLayer, NvInfer.h; the tables' column of restrictions.
TOPK_LIMIT = 3840

# "cubic" is read by 8.6 and 10.1 (ResizeMode::kCUBIC), though no document of the parser says so.
RESIZE_MODES = frozenset({"nearest", "linear", "cubic"})
RESIZE_COORDINATES = frozenset(
    {"half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"}
)
RESIZE_NEAREST = frozenset({"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"})

# Opset 18 moved these operators' axes from an attribute to an input. A parser of opset 17 does not
# look there: it reduces over every axis, or splits evenly.
AXES_AS_INPUT_SINCE_18 = frozenset(
    {
        "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
        "ReduceMin", "ReduceProd", "ReduceSumSquare",
    }
)  # fmt: skip

# GridSample of opset 16 to 19. Opset 20 renamed two of them; a parser that meets "linear" or
# "cubic" samples the nearest pixel and says nothing (GridSample in the importers of 8.6 and 10.1).
GRID_MODES = frozenset({"nearest", "bilinear", "bicubic"})

# Operators whose result is as long as what they find.
DATA_DEPENDENT = frozenset({"NonMaxSuppression", "NonZero"})

# Inputs that must be constants, by their place, for "must be an initializer" and "build-time
# constant" in the tables' column of restrictions.
CONSTANT_INPUTS: Mapping[str, Mapping[int, str]] = {
    "CumSum": {1: "axis"},
    "OneHot": {1: "depth"},
    "Pad": {3: "axes"},
    "Slice": {3: "axes"},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
    **{name: {1: "axes"} for name in (*AXES_AS_INPUT_SINCE_18, "ReduceSum")},
}


def untabled_types(operator: str, line: Line) -> frozenset[str]:
    """Return types that the parser takes beyond its table, for which there may be no kernel."""
    if operator == "Equal":
        return frozenset({"BOOL"})
    if line.name == OLDEST and operator in (*AXES_AS_INPUT_SINCE_18, "ReduceSum"):
        return INTEGERS | {"BOOL"}
    return frozenset()


def allowed_types(operator: str, line: Line) -> frozenset[str] | None:
    """Return the element types an operator's data may have in a line, None if it is not read."""
    kinds = OPERATORS.get(operator)
    if kinds is None:
        return None
    found: set[str] = set()
    for kind in kinds:
        found |= {
            "float": line.floats,
            "half": FP32_FP16,
            "int": INTEGERS,
            "int10": frozenset() if line.name == OLDEST else INTEGERS,
            "long10": frozenset() if line.name == OLDEST else frozenset({"INT64"}),
            "bool": frozenset({"BOOL"}),
            "uint8": frozenset({"UINT8"}),
            "int8": frozenset({"INT8"}),
        }[kind]
    return frozenset(found)
