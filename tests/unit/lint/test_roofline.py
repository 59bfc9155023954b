import dataclasses

import pytest

from edgeseg.lint.boards import BOARDS
from edgeseg.lint.engine_prediction import Layer
from edgeseg.lint.roofline import NOTE, roofline, table_rows

ORIN = BOARDS["orin-nano"]


def layer(**changes: object) -> Layer:
    return dataclasses.replace(
        Layer("conv", "convolution", ("conv",), "INT8", 0, 0, 0, 0, False),
        **changes,  # type: ignore[arg-type]
    )


def test_a_layer_waits_for_the_slower_of_memory_and_arithmetic():
    # 68 MB at 68 GB/s is a millisecond; 10 GMAC are 20 G operations, a millisecond at 20 TOPS.
    moving = layer(read_bytes=40_000_000, written_bytes=27_000_000, weight_bytes=1_000_000)
    counting = layer(macs=10_000_000_000)
    result = roofline([moving, counting], ORIN)
    assert [f.bound for f in result.floors] == ["memory", "compute"]
    assert [f.floor_ms for f in result.floors] == pytest.approx([1.0, 1.0])
    assert result.floor_ms == pytest.approx(2.0)
    assert result.memory_share == pytest.approx(0.5)


def test_precision_and_sparsity_choose_the_rate():
    floors = roofline(
        [
            layer(macs=10**9, precision="INT8"),
            layer(macs=10**9, precision="INT8", sparse=True),
            layer(macs=10**9, precision="FP16"),
            layer(macs=10**9, precision="FP32", sparse=True),
        ],
        ORIN,
    ).floors
    assert [f.compute_ms for f in floors] == pytest.approx([0.1, 0.05, 0.2, 2 / 1.28])
    dense = roofline([layer(macs=10**9, sparse=True)], BOARDS["xavier-nx"])
    assert dense.floor_ms == pytest.approx(2 / 13.5)


def test_a_selection_has_a_floor_that_says_little():
    result = roofline([layer(name="index", kind="argmax", read_bytes=68_000_000)], ORIN)
    assert result.floors[0].bound == "unknown"
    assert result.selections == ["index"]
    assert result.floor_ms == pytest.approx(1.0)
    assert result.memory_share == 0


def test_a_faster_board_is_never_slower():
    plan = [layer(macs=10**8, read_bytes=10**6), layer(read_bytes=10**7, precision="FP16")]
    order = ["orin-nano", "orin-nano-super", "agx-orin", "thor"]
    totals = [roofline(plan, BOARDS[name]).floor_ms for name in order]
    assert totals == sorted(totals, reverse=True)


def test_the_document_says_that_nothing_was_measured():
    result = roofline([layer(name="a", macs=10**9), layer(name="b", read_bytes=10**8)], ORIN)
    document = result.to_json()
    assert document["note"] == NOTE
    assert "never a measurement" in NOTE
    assert document["source"] == ORIN.source
    assert [row["name"] for row in document["layers"]] == ["a", "b"]
    # The table has the slowest first.
    assert [row[0] for row in table_rows(result)] == ["b", "a"]
    assert len(table_rows(result, 1)) == 1


def test_an_empty_engine_takes_no_time():
    assert roofline([], ORIN).memory_share == 0.0
