"""Reading an ONNX file: damage, circles, weights elsewhere, other people's operators."""

import numpy as np
import onnx
import pytest
from foreign_onnx import network
from onnx import TensorProto, helper

from edgeseg.errors import ExportError
from edgeseg.host.imports.onnx_file import read
from edgeseg.host.imports.onnx_file.read import read_network


def test_nodes_in_another_order_are_sorted(tmp_path):
    def reverse(model):
        nodes = list(model.graph.node)[::-1]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    straight = network(tmp_path / "a.onnx")
    network(tmp_path / "b.onnx", change=reverse)
    names = [node.name for node in read_network(tmp_path / "a.onnx").graph.node]
    assert names == [node.name for node in straight.graph.node]
    turned = [node.name for node in read_network(tmp_path / "b.onnx").graph.node]
    assert sorted(turned) == sorted(names)
    assert turned.index("stem") < turned.index("block") < turned.index("scores")


def circle(model):
    next(n for n in model.graph.node if n.name == "stem").input[0] = "sum"


def twice(model):
    model.graph.node.append(helper.make_node("Relu", ["sum"], ["stem"]))


def foreign_operator(model):
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def quantized(model):
    model.graph.node[0].op_type = "QLinearConv"


def old(model):
    model.opset_import[0].version = 9


def unknown_operator(model):
    model.graph.node[2].op_type = "Reluu"


def calls_itself(model):
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    node = helper.make_node("Again", ["x"], ["y"], domain="mine")
    model.functions.append(helper.make_function("mine", "Again", ["x"], ["y"], [node], opset))
    model.graph.node.append(helper.make_node("Again", ["sum"], ["more"], domain="mine"))


def grows(model):
    # Each function calls the one before ten times.
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    for level in range(6):
        called, domain = (f"f{level - 1}", "mine") if level else ("Relu", "")
        nodes = [
            helper.make_node(called, [f"x{i}"], [f"x{i + 1}"], domain=domain) for i in range(10)
        ]
        made = helper.make_function("mine", f"f{level}", ["x0"], ["x10"], nodes, opset)
        model.functions.append(made)
    model.graph.node.append(helper.make_node("f5", ["sum"], ["more"], domain="mine"))
    model.opset_import.append(opset[1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (circle, "has a circle: node 'stem"),
        (twice, "two nodes make 'stem'"),
        (foreign_operator, r"operators that are not ONNX's own \(com.microsoft.Conv\)"),
        (quantized, r"is quantized already \(QLinearConv\); give the float file"),
        (old, "has opset 9, expected 11 or later"),
        (unknown_operator, "is not valid ONNX: .*Reluu"),
        (calls_itself, "has a function 'Again' that calls itself"),
        (grows, r"has 1000\d\d\d nodes, more than the 20000"),
        (lambda model: model.graph.ClearField("node"), "holds no graph"),
    ],
)
def test_what_cannot_be_taken_is_named(change, reason, tmp_path):
    path = tmp_path / "net.onnx"
    network(path, change=change)
    with pytest.raises(ExportError, match=reason) as caught:
        read_network(path)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_onnx_file_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"gone\.onnx is not a file"):
        read_network(tmp_path / "gone.onnx")
    words = tmp_path / "words.onnx"
    words.write_text("these are words " * 9)
    with pytest.raises(ExportError, match="is not an ONNX file, or is damaged"):
        read_network(words)
    network(tmp_path / "whole.onnx")
    (tmp_path / "half.onnx").write_bytes((tmp_path / "whole.onnx").read_bytes()[:900])
    with pytest.raises(ExportError, match=r"half\.onnx"):
        read_network(tmp_path / "half.onnx")


def test_a_function_is_written_out(tmp_path):
    def call(model):
        opset = [helper.make_opsetid("", 17)]
        node = helper.make_node("Relu", ["x"], ["y"])
        model.functions.append(helper.make_function("mine", "Bend", ["x"], ["y"], [node], opset))
        model.opset_import.append(helper.make_opsetid("mine", 1))
        bend = next(n for n in model.graph.node if n.op_type == "Relu")
        bend.op_type, bend.domain = "Bend", "mine"

    network(tmp_path / "net.onnx", change=call)
    made = read_network(tmp_path / "net.onnx")
    assert [n.op_type for n in made.graph.node].count("Relu") == 1
    assert not made.functions


@pytest.fixture
def outside(tmp_path):
    """A network whose weights lie in a file beside it."""
    model = network(tmp_path / "whole.onnx")
    folder = tmp_path / "net"
    folder.mkdir()
    onnx.save(
        model, folder / "net.onnx", save_as_external_data=True, location="weights", size_threshold=0
    )
    return folder / "net.onnx"


def pointed(path, where):
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = where
    path.write_bytes(model.SerializeToString())


def test_weights_beside_the_file_are_read(outside):
    made = read_network(outside)
    assert not any(t.data_location == TensorProto.EXTERNAL for t in made.graph.initializer)
    weight = next(t for t in made.graph.initializer if t.name == "stem.weight")
    assert np.abs(onnx.numpy_helper.to_array(weight)).max() > 0


def test_weights_outside_the_folder_are_not_read(outside, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes((outside.parent / "weights").read_bytes())
    for where in ("../secret", str(secret), "./../net/../secret"):
        pointed(outside, where)
        with pytest.raises(ExportError, match="outside the file's folder, which is not read"):
            read_network(outside)
    link = outside.parent / "link"
    link.symlink_to(secret)
    pointed(outside, "link")
    with pytest.raises(ExportError, match="outside the file's folder"):
        read_network(outside)


def test_missing_and_short_weights_are_named(outside):
    weights = outside.parent / "weights"
    data = weights.read_bytes()
    weights.write_bytes(data[:100])
    with pytest.raises(ExportError, match=r"weights has 100 bytes, '.*' ends at"):
        read_network(outside)
    weights.unlink()
    with pytest.raises(ExportError, match="its weights weights are missing"):
        read_network(outside)


def test_a_file_larger_than_protobuf_holds_is_named(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    network(path)
    monkeypatch.setattr(read, "MOST_BYTES", 1000)
    with pytest.raises(ExportError, match="holds less than 2; save its weights as external data"):
        read_network(path)
