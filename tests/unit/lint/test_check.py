"""Every lint rule finds its fault, planted into a graph that is clean without it."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from draft_graph import Draft, H, W, clean
from onnx import TensorProto, helper

from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.errors import UsageError
from edgeseg.host.jobs.options import PruneJobOptions
from edgeseg.host.tuning.options import TuneOptions
from edgeseg.lint.channel_blocks import ADVICE
from edgeseg.lint.check import LintResult, all_remarks, folded, lines_of, lint
from edgeseg.lint.finding import remarks_of
from edgeseg.lint.rules import LINT_RULES
from edgeseg.lint.tensorrt_versions import LINES


def check(draft: Draft, targets: tuple[str, ...] = ()) -> LintResult:
    return lint(draft.model(), lines=lines_of(targets))


def test_the_clean_graph_has_neither_errors_nor_warnings():
    draft = clean()
    model = draft.model()
    result = lint(model, islands=with_fp16_islands(model))
    assert result.ok
    assert [f for f in result.findings if f.severity != "info"] == []
    assert {f.rule for f in result.findings} == {
        "opset", "float-head", "int8-weights", "label-head",
    }  # fmt: skip
    assert (result.convs, result.convs_int8) == (5, 4)


def transposed(draft: Draft, axis: int = 0, *, computed: bool = False) -> None:
    shape = (32, 32, 2, 2)
    if computed:
        draft.constant("spread", np.ones(shape))
        draft.before("deep", "Mul", ["float", "float"], "square")
        draft.constant("all", [0, 1, 2, 3], np.int64)
        draft.before("deep", "ReduceSum", ["square", "all"], "energy", keepdims=1)
        weight = draft.before("deep", "Mul", ["energy", "spread"], "made")
    else:
        weight = draft.weight("deep.up", shape, axis)
        names = list(draft.nodes)
        names.insert(names.index("deep"), names.pop())
        draft.nodes = {name: draft.nodes[name] for name in names}
    draft.nodes["deep"] = helper.make_node(
        "ConvTranspose", ["pooled", weight], ["deep"], name="deep", strides=[2, 2]
    )


def replace(draft: Draft, output: str, op: str, inputs: list[str], **attributes: object) -> None:
    draft.nodes[output] = helper.make_node(op, inputs, [output], name=output, **attributes)


def unknown_operator(g: Draft) -> None:
    g.nodes["act"].op_type = "Bernoulli"


def gelu(g: Draft) -> None:
    g.opset = 20
    g.nodes["act"].op_type = "Gelu"


def foreign_operator(g: Draft) -> None:
    g.nodes["act"].domain = "other"


def doubles(g: Draft) -> None:
    g.before("x", "Cast", ["float"], "double", to=TensorProto.DOUBLE)
    g.before("x", "Sigmoid", ["double"], "double.act")
    g.before("x", "Cast", ["double.act"], "float.again", to=TensorProto.FLOAT)
    g.nodes["x"].input[0] = "float.again"


def uint8_transpose(g: Draft) -> None:
    replace(g, "float", "Transpose", ["frame"], perm=[0, 3, 1, 2])
    replace(g, "x", "Cast", ["float"], to=TensorProto.FLOAT)


def uint8_from_index(g: Draft) -> None:
    g.nodes["labels"].input[0] = "index"


def uint8_inside(g: Draft) -> None:
    g.before("x", "Cast", ["float"], "bytes", to=TensorProto.UINT8)
    g.before("x", "Cast", ["bytes"], "unbytes", to=TensorProto.FLOAT)
    g.nodes["x"].input[0] = "unbytes"


def two_casts(g: Draft) -> None:
    g.before("x", "Cast", ["float"], "half", to=TensorProto.FLOAT16)
    g.before("x", "Cast", ["half"], "whole", to=TensorProto.FLOAT)
    g.nodes["x"].input[0] = "whole"


def axes_input(g: Draft) -> None:
    g.constant("axes", [2, 3], np.int64)
    g.before("x.q", "ReduceMean", ["x", "axes"], "mean")
    g.before("x.q", "Sub", ["x", "mean"], "centred")
    g.nodes["x.q"].input[0] = "centred"


def old_opset(g: Draft) -> None:
    g.opset = 8


def cubic(g: Draft) -> None:
    replace(g, "up", "Resize", ["deep", "", "", "size"], mode="cubic")


def resized(g: Draft, **attributes: object) -> None:
    replace(g, "up", "Resize", ["deep", "", "", "size"], **attributes)


def cropped_coordinates(g: Draft) -> None:
    resized(g, mode="linear", coordinate_transformation_mode="half_pixel_symmetric")
    g.opset = 19


def kept_aspect(g: Draft) -> None:
    g.constant("same", [1, 32, H, W], np.int64)
    policy = {"mode": "linear", "keep_aspect_ratio_policy": "not_larger"}
    g.before("act.q", "Resize", ["act", "", "", "same"], "act.resized", **policy)
    g.nodes["act.q"].input[0] = "act.resized"


def odd_rounding(g: Draft) -> None:
    # Every rounding that ONNX has is read; the first that is not would be a new one.
    resized(g, mode="nearest", nearest_mode="round_half_even")


def computed_size(g: Draft) -> None:
    g.before("up", "Shape", ["x"], "frame.shape")
    g.constant("first", [0, 0, 2, 2], np.int64)
    g.before("up", "Gather", ["frame.shape", "first"], "four")
    g.constant("places", [1, 32, H, W], np.int64)
    g.before("up", "Max", ["four", "places"], "wanted")
    g.nodes["up"].input[3] = "wanted"


def split_by_count(g: Draft) -> None:
    g.before("act.q", "Split", ["act"], "half.0", axis=1, num_outputs=3)
    g.nodes["half.0"].output.extend(["half.1", "half.2"])
    g.before("act.q", "Concat", ["half.0", "half.1", "half.2"], "whole.act", axis=1)
    g.nodes["act.q"].input[0] = "whole.act"


def pad_axes(g: Draft, *, computed: bool = False) -> None:
    g.constant("pads", [0, 0, 0, 0], np.int64)
    g.constant("rows", [2, 3], np.int64)
    axes = "rows"
    if computed:
        axes = g.before("act.q", "Abs", ["rows"], "rows.abs")
    g.before("act.q", "Pad", ["act", "pads", "", axes], "act.padded")
    g.nodes["act.q"].input[0] = "act.padded"


def computed_axes(g: Draft) -> None:
    pad_axes(g, computed=True)


def unsorted_topk(g: Draft, count: int = 1, ordered: int = 0) -> None:
    g.constant("one", [count], np.int64)
    g.before("act.q", "Reshape", ["act", "flat"], "act.flat")
    g.constant("flat", [1, -1], np.int64)
    g.before("act.q", "Concat", ["act.flat", "act.flat"], "act.long", axis=1)
    g.before("act.q", "TopK", ["act.long", "one"], "best", sorted=ordered)
    g.nodes["best"].output.append("best.at")
    g.constant("all.axes", [0, 1], np.int64)
    g.before("act.q", "ReduceMax", ["best", "all.axes"], "largest.act", keepdims=0)
    g.before("act.q", "Add", ["act", "largest.act"], "act.more")
    g.nodes["act.q"].input[0] = "act.more"


def reduced_by_nothing(g: Draft) -> None:
    g.before("act.q", "ReduceMean", ["act"], "act.mean", noop_with_empty_axes=1)
    g.nodes["act.q"].input[0] = "act.mean"


def wide_integers(g: Draft) -> None:
    g.constant("far", [1 << 40], np.int64)
    g.before("act.q", "Cast", ["act"], "act.int", to=TensorProto.INT64)
    g.before("act.q", "Add", ["act.int", "far"], "act.places")
    g.before("act.q", "Cast", ["act.places"], "act.back", to=TensorProto.FLOAT)
    g.nodes["act.q"].input[0] = "act.back"


def norm_with_mean(g: Draft) -> None:
    g.constant("gain", np.ones(W))
    g.before("act.q", "LayerNormalization", ["act", "gain"], "act.normed")
    g.nodes["act.normed"].output.append("act.mean")
    g.nodes["act.q"].input[0] = "act.normed"


def dropping(g: Draft) -> None:
    g.constant("ratio", 0.5)
    g.constant("training", True, np.bool_)
    g.before("act.q", "Dropout", ["act", "ratio", "training"], "act.dropped")
    g.nodes["act.q"].input[0] = "act.dropped"


def huge_topk(g: Draft) -> None:
    unsorted_topk(g, 3840, 1)


def not_a_number(g: Draft) -> None:
    g.constants["branch.bias"][3] = np.nan


def branches(g: Draft) -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["act"], ["act.chosen.inner"])], "inner", [],
        [helper.make_tensor_value_info("act.chosen.inner", TensorProto.FLOAT, [1, 32, H, W])],
    )  # fmt: skip
    g.constant("yes", True, np.bool_)
    g.before("act.q", "If", ["yes"], "act.chosen", then_branch=inner, else_branch=inner)
    g.nodes["act.q"].input[0] = "act.chosen"


def whole_numbers(g: Draft) -> None:
    g.before("act.q", "Cast", ["act"], "act.int", to=TensorProto.INT32)
    g.before("act.q", "Relu", ["act.int"], "act.positive")
    g.before("act.q", "Cast", ["act.positive"], "act.back", to=TensorProto.FLOAT)
    g.nodes["act.q"].input[0] = "act.back"


def antialias(g: Draft) -> None:
    replace(g, "up", "Resize", ["deep", "", "", "size"], mode="linear", antialias=1)


def indices(g: Draft) -> None:
    g.nodes["pooled"].output.append("where")


def dilated_pool(g: Draft) -> None:
    g.nodes["pooled"].attribute.append(helper.make_attribute("dilations", [2, 2]))


def scatter_add(g: Draft) -> None:
    g.constant("places", np.zeros((1, 32, H, W)), np.int64)
    g.before("act.q", "ScatterElements", ["act", "places", "act"], "scattered", reduction="add")
    g.nodes["act.q"].input[0] = "scattered"


def open_size(g: Draft) -> None:
    g.frame_shape = [1, "h", "w", 3]


def computed_transposed_weight(g: Draft) -> None:
    transposed(g, computed=True)


def batch_norm(g: Draft) -> None:
    names = [g.constant(f"norm.{i}", np.ones(32)) for i in range(4)]
    g.before("act", "BatchNormalization", ["stem", *names], "normed")
    g.nodes["act"].input[0] = "normed"


def mixed_types(g: Draft) -> None:
    g.constant("x.scale", 0.1, np.float16)


def half_scale(g: Draft) -> None:
    g.opset = 20
    g.constant("stem.scale", np.full(32, 0.01), np.float16)
    g.nodes["act"].input[0] = g.before("act", "Cast", ["stem"], "stem.cast", to=TensorProto.FLOAT)


def foreign_weights(g: Draft) -> None:
    g.own = False


def zero_scale(g: Draft) -> None:
    g.constants["x.scale"] = np.float32(0.0)


def computed_scale(g: Draft) -> None:
    g.before("x.q", "ReduceMax", ["x"], "largest", keepdims=0)
    g.nodes["x.q"].input[1] = "largest"


def activation_axis(g: Draft) -> None:
    g.constant("act.scale", np.full(32, 0.1))
    g.constant("act.zero", np.zeros(32), np.int8)


def zero_point(g: Draft) -> None:
    g.constant("act.zero", 3, np.int8)


def no_zero_point(g: Draft) -> None:
    del g.nodes["act.q"].input[2], g.nodes["act.d"].input[2]


def uint8_zero_point(g: Draft) -> None:
    g.constant("act.zero", 128, np.uint8)


def computed_zero_point(g: Draft) -> None:
    g.before("act.q", "Identity", ["act.zero"], "act.zero.made")
    g.nodes["act.q"].input[2] = "act.zero.made"


def one_zero_for_many(g: Draft) -> None:
    g.constant("branch.zero", np.zeros(1), np.int8)


def lone_quantizer(g: Draft) -> None:
    g.nodes["pooled"].input[0] = "wide.q"
    g.before("deep", "DequantizeLinear", ["pooled", "wide.scale", "wide.zero"], "pooled.d")
    g.nodes["deep"].input[0] = "pooled.d"


def weight_axis(g: Draft) -> None:
    g.nodes["branch.w"].attribute[0].i = 1


def quantized_bias(g: Draft) -> None:
    g.constant("branch.bias.q", np.zeros(32), np.int32)
    g.constant("branch.bias.scale", np.full(32, 0.1))
    g.constant("branch.bias.zero", np.zeros(32), np.int32)
    names = [f"branch.bias.{part}" for part in ("q", "scale", "zero")]
    g.before("branch", "DequantizeLinear", names, "branch.bias.d", axis=0)
    g.nodes["branch"].input[2] = "branch.bias.d"


def transposed_axis(g: Draft) -> None:
    transposed(g, axis=1)


def missing_data_pair(g: Draft) -> None:
    g.nodes["branch"].input[0] = "act"


def missing_weight_pair(g: Draft) -> None:
    g.constant("plain", np.ones((32, 32, 3, 3)))
    g.nodes["branch"].input[1] = "plain"


def doubled(g: Draft) -> None:
    g.pair("branch", name="extra")
    names = list(g.nodes)
    place = names.index("sum")
    g.nodes = {n: g.nodes[n] for n in [*names[:place], *names[-2:], *names[place:-2]]}
    g.nodes["sum"].input[0] = "extra.d"


def float_skip(g: Draft) -> None:
    g.nodes["sum"].input[1] = "act"


def requantized(g: Draft) -> None:
    g.pair("act.d", scale=0.3, name="again")
    names = list(g.nodes)
    place = names.index("branch.w")
    g.nodes = {n: g.nodes[n] for n in [*names[:place], *names[-2:], *names[place:-2]]}
    g.nodes["branch"].input[0] = "again.d"


def concat_scales(g: Draft) -> None:
    g.constant("up.scale", 0.4)


def concat_float(g: Draft) -> None:
    g.nodes["both"].input[0] = "up"


def resize_pair(g: Draft) -> None:
    g.pair("deep")
    names = list(g.nodes)
    place = names.index("up")
    g.nodes = {n: g.nodes[n] for n in [*names[:place], *names[-2:], *names[place:-2]]}
    g.nodes["up"].input[0] = "deep.d"


def pad_pair(g: Draft) -> None:
    g.constant("pads", [0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    g.before("act.q", "Pad", ["act", "pads"], "padded")
    g.nodes["act.q"].input[0] = "padded"
    replace(g, "branch", "Conv", list(g.nodes["branch"].input))
    g.constant("starts", [1, 1], np.int64)
    g.constant("ends", [H + 1, W + 1], np.int64)
    g.constant("plane", [2, 3], np.int64)
    g.before("sum", "Slice", ["act.d", "starts", "ends", "plane"], "unpadded")
    g.nodes["sum"].input[1] = "unpadded"


def island(g: Draft, *, pair: bool) -> None:
    """x == Resize(MaxPool(x)), as un-pooling finds its maxima."""
    g.constant("factors", [1, 1, 2, 2])
    source = "pooled"
    if pair:
        g.pair("pooled", scale=0.3, name="rounded")
        names = list(g.nodes)
        place = names.index("deep")
        g.nodes = {n: g.nodes[n] for n in [*names[:place], *names[-2:], *names[place:-2]]}
        source = "rounded.d"
    g.constant("none", 0.0)
    g.before("deep", "Resize", [source, "", "factors"], "spread", mode="nearest")
    g.before("deep", "Equal", ["wide.d", "spread"], "is.max")
    g.before("deep", "Where", ["is.max", "wide.d", "none"], "kept")
    g.before("deep", "MaxPool", ["kept"], "again", kernel_shape=[2, 2], strides=[2, 2])
    g.nodes["deep"].input[0] = "again"


def depthwise_layer(g: Draft) -> None:
    g.weight("act.deep", (32, 1, 3, 3))
    g.add("Conv", ["act.d", "act.deep.w"], "act.deep", group=32, pads=[2] * 4, dilations=[2, 2])


def nothing(g: Draft) -> None:
    """The clean graph has it."""


def unpool_pair(g: Draft) -> None:
    island(g, pair=True)


def unpool_equal(g: Draft) -> None:
    island(g, pair=False)


FAULTS: list[tuple[Callable[[Draft], None], str, str, str, tuple[str, ...]]] = [
    (unknown_operator, "operator", "error", "act", ()),
    (gelu, "operator", "error", "act", ("trt8.6",)),
    (foreign_operator, "operator", "error", "act", ()),
    (doubles, "type", "warning", "double.act", ()),
    (uint8_transpose, "uint8-border", "error", "float", ()),
    (uint8_from_index, "uint8-border", "error", "labels", ()),
    (uint8_inside, "uint8-border", "error", "bytes", ()),
    (two_casts, "cast-chain", "warning", "whole", ()),
    (axes_input, "opset", "error", "mean", ("trt8.6",)),
    (old_opset, "opset", "warning", "", ("trt10.3", "trt10.16", "trt11.4")),
    (cubic, "resize", "info", "up", ()),
    (antialias, "resize", "error", "up", ()),
    (cropped_coordinates, "resize", "error", "up", ()),
    (kept_aspect, "resize", "error", "act.resized", ()),
    (odd_rounding, "resize", "error", "up", ()),
    (computed_size, "resize", "warning", "up", ()),
    (split_by_count, "opset", "error", "half.0", ("trt8.6",)),
    (pad_axes, "opset", "error", "act.padded", ("trt8.6",)),
    (computed_axes, "constant-input", "error", "act.padded", ()),
    (unsorted_topk, "limit", "error", "best", ()),
    (huge_topk, "limit", "error", "best", ()),
    (norm_with_mean, "limit", "error", "act.normed", ()),
    (dropping, "limit", "error", "act.dropped", ()),
    (not_a_number, "not-finite", "error", "branch", ()),
    (branches, "subgraph", "warning", "act.chosen", ()),
    (whole_numbers, "type", "error", "act.positive", ("trt8.6",)),
    (indices, "pool-indices", "error", "pooled", ()),
    (dilated_pool, "pool-dilation", "error", "pooled", ()),
    (scatter_add, "scatter", "error", "scattered", ()),
    (open_size, "dynamic-shape", "error", "", ()),
    (computed_transposed_weight, "computed-weight", "warning", "deep", ()),
    (reduced_by_nothing, "empty-axes", "error", "act.mean", ("trt8.6",)),
    (wide_integers, "int64-range", "warning", "act.places", ("trt8.6",)),
    (batch_norm, "batch-norm", "warning", "normed", ()),
    (half_scale, "half-scale", "error", "stem.w", ("trt8.6",)),
    (half_scale, "mixed-types", "error", "stem", ("trt11.4",)),
    (foreign_weights, "int8-weights", "error", "", ("trt8.6",)),
    (zero_scale, "scale", "error", "x.q", ()),
    (computed_scale, "scale", "error", "x.q", ()),
    (activation_axis, "activation-axis", "error", "act.q", ()),
    (zero_point, "zero-point", "error", "act.q", ()),
    (no_zero_point, "zero-point", "error", "act.q", ()),
    (computed_zero_point, "zero-point", "error", "act.q", ()),
    (uint8_zero_point, "zero-point", "error", "act.q", ()),
    (one_zero_for_many, "zero-point", "error", "branch.w", ()),
    (lone_quantizer, "quantize-alone", "error", "pooled", ()),
    (weight_axis, "weight-axis", "error", "branch", ()),
    (quantized_bias, "quantized-bias", "error", "branch", ()),
    (transposed_axis, "transposed-axis", "warning", "deep", ()),
    (missing_data_pair, "missing-pair", "warning", "branch", ()),
    (missing_weight_pair, "missing-pair", "warning", "branch", ()),
    (doubled, "doubled-pair", "warning", "extra.d", ()),
    (float_skip, "float-skip", "warning", "sum", ()),
    (requantized, "requantized", "warning", "again.q", ()),
    (concat_scales, "concat-scale", "warning", "both", ()),
    (concat_float, "concat-scale", "warning", "both", ()),
    (resize_pair, "resize-pair", "warning", "up", ()),
    (pad_pair, "pad-pair", "warning", "branch", ()),
    (depthwise_layer, "depthwise", "info", "act.deep", ()),
    (nothing, "label-head", "info", "index", ()),
    (unpool_pair, "unpool-pair", "error", "is.max", ()),
    (unpool_equal, "unpool-equal", "warning", "is.max", ()),
]


@pytest.mark.parametrize(
    ("fault", "rule", "severity", "node", "targets"),
    FAULTS,
    ids=[f"{fault.__name__}-{rule}" for fault, rule, *_ in FAULTS],
)
def test_a_planted_fault_is_found(fault, rule, severity, node, targets):
    draft = clean()
    fault(draft)
    if draft.opset < 13:
        # Nothing of the draft is valid ONNX there; the rule needs the number only.
        draft = Draft()
        draft.opset, draft.frame_shape = 8, [1, H, W]
        draft.add("Cast", ["frame"], "float", to=TensorProto.FLOAT)
        draft.add("Cast", ["float"], "labels", to=TensorProto.UINT8)
    found = [f for f in check(draft).findings if (f.rule, f.node) == (rule, node)]
    assert found, f"{rule} is not among {[(f.rule, f.node) for f in check(draft).findings]}"
    assert found[0].severity == severity
    (remark,) = [remark for remark in all_remarks() if remark.rule == rule]
    assert severity in remark.severity.split(", ")
    assert found[0].targets == (targets or tuple(LINES))
    assert found[0].message
    assert found[0].cure


def test_every_finding_of_these_modules_is_planted():
    # Found by other tests of this file.
    elsewhere = {"float-head", "fp32-islands"}
    here = ("operators", "opsets", "limits", "quantizers", "fusion", "slow_layers")
    rules = [LINT_RULES.load(name) for name in LINT_RULES]
    declared = {
        remark.rule
        for rule in rules
        if rule.__module__ in {f"edgeseg.lint.rules.{name}" for name in here}
        for remark in remarks_of(rule)
    }
    assert declared == {rule for _, rule, *_ in FAULTS} | elsewhere


def test_a_strongly_typed_line_wants_fp16_islands():
    model = clean().model()
    (finding,) = [f for f in lint(model).findings if f.rule == "fp32-islands"]
    assert finding.targets == ("trt11.4",)
    assert finding.severity == "warning"
    again = lint(model, islands=with_fp16_islands(model))
    assert "fp32-islands" not in {f.rule for f in again.findings}


def test_badly_filled_tensor_cores_are_remarked():
    draft = clean()
    draft.conv("wide.d", "narrow", channels=33)
    (finding,) = [f for f in check(draft).findings if f.rule == "channels"]
    assert finding.node == "narrow"
    assert "32 to 33 channels fill 52%" in finding.message


def test_errors_are_counted_by_line():
    draft = clean()
    axes_input(draft)
    assert check(draft).errors == {"trt8.6": 1, "trt10.3": 0, "trt10.16": 0, "trt11.4": 0}
    assert check(draft, ("trt10.3",)).errors == {"trt10.3": 0}


def test_a_depthwise_layer_is_described():
    draft = clean()
    depthwise_layer(draft)
    (finding,) = [f for f in check(draft).findings if f.rule == "depthwise"]
    assert "depthwise, 3x3 at rate 2, 32 channels" in finding.message


def test_findings_of_one_kind_fold():
    draft = clean()
    for name in ("act", "wide", "up"):
        draft.constant(f"{name}.zero", 3, np.int8)
    findings = check(draft).findings
    ((first, others),) = [f for f in folded(findings) if f[0].rule == "zero-point"]
    assert [first.node, *others] == ["act.q", "act.d", "wide.q", "wide.d", "up.q", "up.d"]
    assert sum(1 + len(names) for _, names in folded(findings)) == len(findings)


@pytest.mark.parametrize("options", [PruneJobOptions, TuneOptions])
def test_prune_and_tune_give_lints_advice_on_widths(options):
    draft = clean()
    draft.conv("wide.d", "narrow", channels=33)
    (finding,) = [f for f in check(draft).findings if f.rule == "channels"]
    (field,) = [f for f in dataclasses.fields(options) if f.name == "round_to"]
    assert ADVICE in finding.cure
    assert ADVICE in str(field.metadata)
    assert f"{field.default} suits narrow layers" in ADVICE


def test_a_graph_whose_types_clash_is_one_finding():
    draft = clean()
    draft.constant("size", [1, 32, H, W + 1], np.int64)
    result = check(draft)
    assert [(f.rule, f.severity) for f in result.findings] == [("valid-onnx", "error")]
    assert not result.ok


def test_an_unknown_line_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'trt10\\.3'"):
        lines_of(["trt10.33"])
