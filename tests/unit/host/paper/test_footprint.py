import pytest
import torch
from small_models import small

from edgeseg.core.spec import ModelSpec
from edgeseg.host.paper.footprint import LiveBytes, count_memory, decoder_storage, time_passes
from edgeseg.host.paper.published import TABLE_1, TABLE_2_METHODS, TABLES


def test_live_bytes_are_counted_by_hand() -> None:
    with LiveBytes() as live:
        a = torch.zeros(100)
        b = a + 1
        view = b[:50]
        assert live.now == 800
        del a
        assert live.now == 400
        del b
        assert live.now == 400  # the view keeps the storage
        del view
        assert live.now == 0
    assert live.peak == 800


def test_training_keeps_what_inference_drops() -> None:
    memory = count_memory(small("segnet-basic"))
    assert memory.model == 4 * (216 + 7 * 576 + 8 * 16 + 99)
    assert memory.training > 4 * memory.inference > 4 * memory.model


@pytest.mark.parametrize("row", TABLE_1, ids=lambda row: row.arch)
def test_storage_multipliers_are_the_papers(row) -> None:
    ours, basic = (
        decoder_storage(ModelSpec(arch, size_hw=(352, 480))) for arch in (row.arch, "segnet-basic")
    )
    # 64 channels, two bits a window, at 1/4 + 1/16 + 1/64 + 1/256 of the pixels
    assert basic.bytes == 64 * 352 * 480 * (64 + 16 + 4 + 1) // 256 * 2 // 8
    assert ours.first_bits / basic.first_bits == (row.storage or 0)


def test_storage_at_an_odd_size_is_that_of_the_tensors_kept() -> None:
    size = (45, 61)  # pooled to 23x31, 12x16 and 6x8
    cells = 23 * 31 + 12 * 16 + 6 * 8
    assert decoder_storage(ModelSpec("fcn-basic", size_hw=size)).bytes == 11 * 4 * cells
    full = 45 * 61 + cells
    added = decoder_storage(ModelSpec("segnet-basic-encoderaddition", size_hw=size))
    # the maps before pooling, and the indices as well
    assert added.bytes == 64 * 4 * full + 64 * (cells + 3 * 4) * 2 // 8
    assert added.first_bits == 64 * 32
    # Three poolings of 144, 240 and 672 channels, from 90x120, 45x60 and 23x30 cells.
    windows = 144 * 45 * 60 + 240 * 23 * 30 + 672 * 12 * 15
    maps = 4 * (144 * 90 * 120 + 240 * 45 * 60 + 672 * 23 * 30)
    for upsampling, kept in (
        ("indices", windows // 4),
        ("bilinear", 0),
        ("skip", maps),
        ("addition", windows // 4 + maps),
    ):
        options = {"upsampling": upsampling}
        spec = ModelSpec("segnet-efficientnetlite0", output_stride=32, options=options)
        assert decoder_storage(spec).bytes == kept
    skips = decoder_storage(ModelSpec("fcn-8s", size_hw=size, output_stride=32))
    assert skips.bytes == 11 * 4 * (6 * 8 + 3 * 4)


def test_every_network_of_a_round_is_timed() -> None:
    done = []
    specs = {name: small(name) for name in ("segnet-basic", "fcn-basic")}
    times = time_passes(specs, rounds=2, progress=done.append)
    assert done == [1, 2, 3, 4, 5, 6]
    assert set(times) == set(specs)
    assert all(row["forward_ms"] > 0 and row["backward_ms"] > 0 for row in times.values())


def test_the_printed_tables_are_whole() -> None:
    assert {name: len(rows) for name, rows in TABLES.items()} == {
        "table1": 8, "table2": 1, "table3": 6, "table4": 5, "table6": 4,
    }  # fmt: skip
    # The mean that is printed is that of the classes.
    for method in TABLE_2_METHODS:
        if None not in method.per_class:
            mean = sum(value or 0 for value in method.per_class) / len(method.per_class)
            assert abs(mean - method.class_accuracy) < 0.001, method.title
    assert TABLE_1[1].to_json()["balanced"]["miou"] == 0.477
    assert TABLES["table6"][0].to_json()["model_bytes"] == 117_000_000
