import json

from edgeseg.runtime.engine.layer_report import LayerReport, layers_from_inspector


def tensor(text: str, *shape: int) -> dict:
    return {"Name": "t", "Dimensions": list(shape), "Format/Datatype": text}


ROWS = [
    # TensorRT 8's words, then those of later releases.
    {"Name": "Reformatting CopyNode for Input Tensor 0 to conv1", "LayerType": "Reformat",
     "Inputs": [tensor("Row major linear FP32", 1, 3, 4, 4)],
     "Outputs": [tensor("Thirty-two wide channel vectorized row major Int8 format", 1, 3, 4, 4)]},
    {"Name": "conv1 + relu1", "LayerType": "CaskConvolution", "TacticName": "sm80_xmma",
     "Inputs": [tensor("Thirty-two wide channel vectorized row major Int8 format", 1, 3, 4, 4)],
     "Outputs": [tensor("Int8", 1, 8, 4, 4)], "Weights": {"Type": "Int8", "Count": 216}},
    {"Name": "head", "LayerType": "CaskConvolution", "Inputs": [tensor("Half", 1, 8, 4, 4)],
     "Outputs": [tensor("Float", 1, 3, 4, 4)], "Weights": {"Type": "Half", "Count": 24}},
    {"Name": "argmax", "LayerType": "TopK", "Inputs": [tensor("Float", 1, 3, 4, 4)],
     "Outputs": [tensor("Int32", 1, 1, 4, 4)]},
    {"Name": "cast", "LayerType": "kgen", "Inputs": [tensor("Int32", 1, 1, 4, 4)],
     "Outputs": [tensor("UInt8", 1, 1, 4, 4)]},
]  # fmt: skip


def test_types_reformats_and_bytes_are_read():
    report = layers_from_inspector(json.dumps({"Layers": ROWS, "Bindings": ["frame", "labels"]}))
    assert [layer.precision for layer in report.layers] == ["FP32", "INT8", "FP16", "FP32", "INT32"]
    assert report.counts == {"INT8": 1, "FP16": 1, "FP32": 1, "INT32": 1}
    assert [layer.name for layer in report.reformats] == [ROWS[0]["Name"]]
    assert report.precision == "int8+f16+f32"
    assert report.layers[0].bytes_moved == 48 * 4 + 48
    assert report.layers[4].outputs == ("UINT8",)
    assert report.layers[1].tactic == "sm80_xmma"
    assert LayerReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_names_alone_and_no_json_say_nothing_of_types():
    for text in (json.dumps({"Layers": ["conv1", "conv2"]}), "no json", "[]"):
        report = layers_from_inspector(text)
        assert report.layers == ()
        assert report.precision == "unknown"
