"""The rules by name; `edgeseg lint` runs them in this order."""

from __future__ import annotations

from edgeseg.core.registry import Registry

LINT_RULES = Registry(
    "lint rule",
    "lint_rules",
    {
        "operators": "edgeseg.lint.rules.operators:operators",
        "finite": "edgeseg.lint.rules.operators:finite",
        "types": "edgeseg.lint.rules.operators:types",
        "uint8-border": "edgeseg.lint.rules.operators:uint8_border",
        "cast-chains": "edgeseg.lint.rules.operators:cast_chains",
        "opset": "edgeseg.lint.rules.opsets:opset",
        "empty-axes": "edgeseg.lint.rules.opsets:empty_axes",
        "int64-range": "edgeseg.lint.rules.opsets:int64_range",
        "mixed-types": "edgeseg.lint.rules.operators:mixed_types",
        "constant-inputs": "edgeseg.lint.rules.limits:constant_inputs",
        "limits": "edgeseg.lint.rules.limits:limits",
        "resize": "edgeseg.lint.rules.limits:resize",
        "pooling": "edgeseg.lint.rules.limits:pooling",
        "scatter": "edgeseg.lint.rules.limits:scatter",
        "shapes": "edgeseg.lint.rules.limits:shapes",
        "computed-weights": "edgeseg.lint.rules.limits:computed_weights",
        "subgraphs": "edgeseg.lint.rules.limits:subgraphs",
        "scales": "edgeseg.lint.rules.quantizers:scales",
        "zero-points": "edgeseg.lint.rules.quantizers:zero_points",
        "int8-weights": "edgeseg.lint.rules.quantizers:int8_weights",
        "integer-readers": "edgeseg.lint.rules.quantizers:integer_readers",
        "weight-axis": "edgeseg.lint.rules.quantizers:weight_axis",
        "biases": "edgeseg.lint.rules.quantizers:biases",
        "batch-norm": "edgeseg.lint.rules.fusion:batch_norm",
        "missing-inputs": "edgeseg.lint.rules.fusion:missing_inputs",
        "doubled-pairs": "edgeseg.lint.rules.fusion:doubled_pairs",
        "repeated-pairs": "edgeseg.lint.rules.fusion:repeated_pairs",
        "concats": "edgeseg.lint.rules.fusion:concats",
        "resizes": "edgeseg.lint.rules.fusion:resizes",
        "pads": "edgeseg.lint.rules.fusion:pads",
        "unpooling": "edgeseg.lint.rules.fusion:unpooling",
        "fp32-islands": "edgeseg.lint.rules.fusion:fp32_islands",
        "depthwise": "edgeseg.lint.rules.slow_layers:depthwise",
        "label-head": "edgeseg.lint.rules.slow_layers:label_head",
    },
)
