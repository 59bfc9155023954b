import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trained_nets import spec_of

from edgeseg.core.recipe import StepDone
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.export.calibration_ranges import (
    Calibration,
    calibration_of,
    cross_check,
    read_cache,
    read_table,
    version_number,
)
from edgeseg.host.models import build_model
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize, quantizers_of

SMALL = Calibration("net", "observer max", {"stem/Conv": 0.5 / 127, "a b/Relu": 3e-5}, ("x/Add",))


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(2.0**-90, 2.0**90, width=32), min_size=1)
)
def test_both_texts_give_every_float32_back(scales: dict[str, float]) -> None:
    calibration = Calibration("net", "observer max", scales, ())
    assert read_cache(calibration.to_cache()) == scales
    assert read_table(calibration.to_table()) == scales
    cross_check(calibration, {"cache": read_cache(calibration.to_cache())})


def test_the_cache_is_what_tensorrt_writes() -> None:
    # The input's line of a file that TensorRT 8.2.5 wrote (NVIDIA/TensorRT issue 2958).
    assert read_cache("TRT-8205-EntropyCalibration2\ninput: 3b810a13\n") == {
        "input": struct.unpack("!f", bytes.fromhex("3b810a13"))[0]
    }
    lines = SMALL.to_cache("8.6.1").splitlines()
    assert lines[0] == "TRT-8601-EntropyCalibration2"
    assert lines[1] == "stem/Conv: " + np.array(0.5 / 127, ">f4").tobytes().hex()


@pytest.mark.parametrize(("text", "number"), [("8.6.1", 8601), ("8.2.5", 8205), ("10.7", 100700)])
def test_versions_are_numbered_as_tensorrt_does(text: str, number: int) -> None:
    assert version_number(text) == number


@pytest.mark.parametrize("text", ["11.0.0", "10", "x", "5.1.2"])
def test_releases_without_a_cache_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="7 to 10"):
        version_number(text)


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (read_cache, "", "first line is ''"),
        (read_cache, "TRT-8601-MinMaxCalibration\n", "first line"),
        (read_cache, "TRT-8601-EntropyCalibration2\nx: 3c\n", "line 2"),
        (read_cache, "TRT-8601-EntropyCalibration2\nx: bc840000\n", "positive"),
        (read_table, "1.27 0.01 3c23d70a\n", "line 1: expected range"),
        (read_table, "1.27 0.01 3c23d70b x\n", "disagree"),
        (read_table, "1.5 0.01 3c23d70a x\n", "disagree"),
        (read_table, "1.27 0.01 3c23d70a x\n1.27 0.01 3c23d70a x\n", "line 2.*twice"),
    ],
)
def test_a_damaged_text_is_refused_with_its_line(read, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(text)


def test_a_range_that_was_edited_is_found() -> None:
    text = SMALL.to_cache()
    cross_check(SMALL, {"cache": read_cache(text)})
    edited = read_cache(text.replace("a b/Relu: 37", "a b/Relu: 38"))
    with pytest.raises(
        CheckpointError, match=r"cache is not .* 1 tensors differ, first 'a b/Relu'"
    ):
        cross_check(SMALL, {"cache": edited})
    with pytest.raises(CheckpointError, match="1 tensors differ"):
        cross_check(SMALL, {"table": {**SMALL.scales, "more": 0.5}})


def test_every_scale_of_a_checkpoint_finds_its_tensor_in_the_fp32_graph() -> None:
    torch.manual_seed(0)
    spec = spec_of("segnet-basic", (32, 48))
    options = QuantizeOptions("max")
    batches = [torch.randn(1, 3, 32, 48)]
    module, metadata = quantize(build_model(spec).eval(), options, batches)
    step = StepDone("quantize", options.to_step(), metadata)
    checkpoint = Checkpoint(spec, (StepDone("train"), step), module.state_dict())
    calibration = calibration_of(checkpoint, "tiny")
    held = {np.float32(float(layer.step())) for layer in quantizers_of(module).values()}
    assert {np.float32(scale) for scale in calibration.scales.values()} == held
    scale = calibration.scales
    assert scale["encoder.0.0/Conv"] == scale["encoder.0.2/Relu"] == scale["lowered_pool/MaxPool"]
    assert "classifier/Conv" in calibration.without
    with pytest.raises(UsageError, match="no INT8 ranges"):
        calibration_of(Checkpoint(spec, (StepDone("train"),), {}), "tiny")
