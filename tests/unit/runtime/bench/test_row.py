"""Which rows a bench has."""

from tinybundle import tiny_bundle

from edgeseg.runtime.bench.row import bundle_entries


def test_each_bundle_gets_a_row_on_each_backend(tmp_path):
    bundles = [tiny_bundle(tmp_path / precision, precision=precision) for precision in
               ("fp32", "int8")]  # fmt: skip
    entries = bundle_entries(
        bundles, ["onnxruntime", "openvino"], lambda name: {"threads": 2}, native_float=True
    )
    assert [entry.name.split(" ", 1)[1] for entry in entries] == [
        "onnxruntime", "openvino", "openvino native float",
    ] * 2  # fmt: skip
    assert entries[2].options == {"threads": 2, "float_precision": "default"}
    assert entries[1].options == {"threads": 2}


def test_bundles_of_one_name_are_told_apart_by_their_paths(tmp_path):
    bundles = [tiny_bundle(tmp_path / folder) for folder in ("a", "b")]
    entries = bundle_entries(bundles, ["onnxruntime"], lambda name: {})
    assert [entry.name for entry in entries] == [f"{tmp_path}/{x} onnxruntime" for x in "ab"]
