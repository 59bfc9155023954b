"""Seeded mutations of the files that edgeseg reads: of their bytes, and of what they say."""

import copy
import io
import json
import random
import re
import struct
import zipfile
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

# A value where another kind is expected, or one that no computer can hold.
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 2**31, 2**63, -(2**63), 10**30, 10**400, 1e308, -0.5,
    float("nan"), float("inf"), "", " ", "x", "\0", "\x1b[2J", "\ud800", "é", "../../x", "/",
    "nan", "1e999", "0x10", "9" * 5000, "x" * 70_000, [], [[]], {}, {"": None}, [None], [0, 0],
    [1e400], {"kind": "train"}, [{}], [[1, 2], [3]],
)  # fmt: skip
DEEP = 100_000


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert, overwrite or empty."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        place = rng.randrange(len(found) + 1)
        span = rng.choice((1, 2, 4, 8, 64))
        kind = rng.randrange(9)
        if kind == 0 and found:
            found[place % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del found[place:]
        elif kind == 2:
            del found[place : place + span]
        elif kind == 3:
            found[place:place] = found[place : place + span] * rng.choice((1, 3, 100))
        elif kind == 4:
            found[place:place] = rng.randbytes(span)
        elif kind == 5:
            found[place : place + span] = rng.choice((b"\xff", b"\0", b"\x80", b"\x7f")) * span
        elif kind == 6:
            other = rng.randrange(len(found) + 1)
            found[place : place + span] = found[other : other + span]
        elif kind == 7:
            found[:0] = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\n", b"#!"))
        elif rng.random() < 0.1:
            found = bytearray()
    return bytes(found)


def mutated_text(data: bytes, rng: random.Random) -> bytes:
    """Exchange words and lines of a text of any grammar; now and then its bytes."""
    if rng.random() < 0.25:
        return mutated_bytes(data, rng)
    lines = data.decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(lines)) if lines else 0
        kind = rng.randrange(6)
        if kind == 0 and lines:
            del lines[at]
        elif kind == 1 and lines:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif kind == 2:
            lines.insert(at, rng.choice(("", "[", "]", "=", "#", "a = 1", "[x]", ",", "\0", ": 0")))
        elif kind == 3 and len(lines) > 1:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif lines:
            words = re.split(r"(\s+|[=,:\[\]\"])", lines[at])
            words[rng.randrange(len(words))] = _word(rng)
            lines[at] = "".join(words)
    ending = rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\u2028"))
    text = ending.join(lines) + rng.choice(("", ending))
    return text.encode("utf-8", "surrogatepass")


def mutated_json(data: bytes, rng: random.Random) -> bytes:
    """Change what a JSON document says; now and then its bytes."""
    if rng.random() < 0.2:
        return mutated_bytes(data, rng)
    return json_text(mutated_value(json.loads(data), rng), rng)


def json_text(value: Any, rng: random.Random) -> bytes:
    """Write a document; now and then with one value nested beyond any stack."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.02:
        opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
        nested = opening * DEEP + "1" + closing * DEEP
        text = text.replace(rng.choice(("1", "null", '"')), nested, 1)
    return text.encode("utf-8", "surrogatepass")


def mutated_value(document: Any, rng: random.Random) -> Any:
    """Return a JSON value with one to three of its parts removed, exchanged or made odd."""
    found = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(found))
        if not places or rng.random() < 0.02:
            return copy.deepcopy(rng.choice(ODD))
        holder, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other, name = rng.choice(places)
            holder[key] = copy.deepcopy(other[name])
        elif kind == 2 and isinstance(holder, dict):
            holder[rng.choice(("", "x", "\0", "__class__", f"{key} "))] = holder.pop(key)
        elif kind == 3 and isinstance(holder, list):
            holder[key:key] = [holder[key]] * rng.choice((1, 3, 1000))
        elif kind == 4 and isinstance(holder[key], (int, float)):
            holder[key] = rng.choice((-holder[key], holder[key] * 1000, str(holder[key])))
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD))
    return found


def mutated_arrays(data: bytes, rng: random.Random) -> bytes:
    """Change the arrays of an .npz, the headers alone, or the bytes."""
    if rng.random() < 0.3:
        return mutated_bytes(data, rng)
    arrays = dict(np.load(io.BytesIO(data)))
    if rng.random() < 0.4:
        return _lying_arrays(arrays, rng)
    name = rng.choice(list(arrays))
    array = arrays[name]
    kind = rng.randrange(8)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        types = (np.float16, np.float64, np.int8, np.int64, bool, np.complex64, "U3", "V4", "M8[s]")
        arrays[name] = np.zeros(array.shape, rng.choice(types))
    elif kind == 2:
        arrays[name] = array[..., : rng.randrange(3)]
    elif kind == 3:
        arrays[name] = np.full_like(array, rng.choice((254, 255, 3)))
    elif kind == 4:
        arrays[name] = rng.choice((np.array(3), np.zeros(0), np.zeros((0, 3), np.uint8)))
    elif kind == 5:
        arrays[name] = np.asfortranarray(array)
    elif kind == 6:
        arrays[rng.choice(("x", "file", "../x", "a\0b", "é"))] = arrays.pop(name)
    else:
        arrays[name] = array[None]
    held = io.BytesIO()
    np.savez_compressed(held, **{key: value for key, value in arrays.items() if key != "file"})
    return held.getvalue()


def _lying_arrays(arrays: dict[str, np.ndarray], rng: random.Random) -> bytes:
    """Write an .npz whose headers say other shapes and types than the bytes behind them have."""
    held = io.BytesIO()
    chosen = rng.choice(list(arrays))
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            header: Any = {"descr": "|u1", "fortran_order": False, "shape": array.shape}
            version = (1, 0)
            if name == chosen:
                key = rng.choice(list(header))
                header[key] = rng.choice(
                    {
                        "descr": ("|O", "<f8", "|V0", "x", 3, [("a", "|u1"), ("b", "|O")], "|S0"),
                        "fortran_order": (True, 2, "no"),
                        "shape": ((), (0,), (-1,), (2**40,), (2**62, 4), (3.5,), "x", (1, 10**400)),
                    }[key]
                )
                version = rng.choice(((1, 0), (1, 0), (2, 0), (3, 0), (9, 9)))
            words = f"{header!r:<100}\n".encode()
            if name == chosen and rng.random() < 0.2:
                words = b"(" * rng.choice((200, 50_000)) + b"\n"
            size = struct.pack("<H" if version == (1, 0) else "<I", len(words) % 65536)
            magic = b"\x93NUMPY" + bytes(version)
            archive.writestr(f"{name}.npy", magic + size + words + array.tobytes())
    return held.getvalue()


def mutated_safetensors(data: bytes, rng: random.Random) -> bytes:
    """Change the header of a .safetensors, the JSON texts in it, its length, or the bytes."""
    if rng.random() < 0.2:
        return mutated_bytes(data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    kind = rng.randrange(3)
    if kind == 0:
        key = rng.choice(list(header["__metadata__"]))
        inner = mutated_value(json.loads(header["__metadata__"][key]), rng)
        header["__metadata__"][key] = json_text(inner, rng).decode("utf-8", "replace")
        text = json.dumps(header).encode()
    elif kind == 1:
        text = json_text(mutated_value(header, rng), rng)
    else:
        text = data[8 : 8 + length]
        length = rng.choice((0, 1, length - 1, length + 8, 2**31, 2**63, 2**64 - 1))
        return struct.pack("<Q", length) + text + data[8 + len(text) :]
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def mutated_graph(data: bytes, rng: random.Random) -> bytes:
    """Change the nodes, names, types, shapes and weights of an ONNX model; or its bytes."""
    if rng.random() < 0.25:
        return mutated_bytes(data, rng)
    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _mutate_model(model, rng)
    return model.SerializeToString()


def _mutate_model(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)] or ["x"]
    if not graph.node or not graph.initializer:
        return
    node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
    value = rng.choice([*graph.input, *graph.output] or [helper.make_empty_tensor_value_info("x")])
    kind = rng.randrange(18)
    if kind == 0:
        graph.node.remove(node)
    elif kind == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nowhere"])
    elif kind == 2 and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice([*names, "", "nowhere"])
    elif kind == 3 and node.input:
        del node.input[rng.randrange(len(node.input)) :]
    elif kind == 4:
        node.op_type = rng.choice(("Cast", "If", "Loop", "Foo", "", "Conv", "Reshape", "é"))
    elif kind == 5:
        node.domain = rng.choice(("x", "com.microsoft", "ai.onnx.ml"))
    elif kind == 6:
        graph.initializer.remove(tensor)
    elif kind == 7:
        tensor.dims[:] = rng.choice(([], [0], [-1], [2**40], [3, 3], [1, 2, 3, 4, 5], [2**62, 4]))
    elif kind == 8:
        tensor.data_type = rng.choice((0, 2, 3, 7, 8, 10, 11, 14, 16, 22, 99))
    elif kind == 9:
        tensor.raw_data = tensor.raw_data[: rng.randrange(9)]
    elif kind == 10:
        tensor.name = rng.choice([*names, "", "x"])
    elif kind == 11:
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (("location", rng.choice(("/etc/passwd", "../x", "x"))), ("offset", "-1")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, text
    elif kind == 12:
        value.name = rng.choice([*names, "", "x"])
    elif kind == 13:
        value.type.tensor_type.elem_type = rng.choice((0, 1, 7, 8, 99))
    elif kind == 14 and value.type.tensor_type.shape.dim:
        rng.choice(value.type.tensor_type.shape.dim).dim_value = rng.choice((0, -1, 2**40, 1, 5))
    elif kind == 15:
        if not node.attribute:
            node.attribute.append(helper.make_attribute("axis", 1))
        attribute = rng.choice(node.attribute)
        name = attribute.name
        attribute.CopyFrom(
            helper.make_attribute(name, rng.choice((-9, 2**40, 1.5, "x", [0], [2**31, -1], [1.0])))
        )
    elif kind == 16:
        if not model.opset_import:
            return
        model.opset_import[0].version = rng.choice((0, -1, 1, 5, 99, 2**40))
        model.ir_version = rng.choice((0, 3, 10, 999))
    else:
        nested = onnx.GraphProto(name="deep")
        for _ in range(rng.choice((3, 20))):
            outer = onnx.GraphProto(name="deep")
            outer.node.append(helper.make_node("If", ["frame"], ["z"], then_branch=nested))
            nested = outer
        node.attribute.append(helper.make_attribute("then_branch", nested))


def _word(rng: random.Random) -> str:
    value = rng.choice(ODD)
    return value if isinstance(value, str) else json.dumps(value)


def _places(value: Any) -> Any:
    items = (
        list(value.items()) if isinstance(value, dict)
        else list(enumerate(value)) if isinstance(value, list) else []
    )  # fmt: skip
    for key, inner in items:
        yield value, key
        yield from _places(inner)
