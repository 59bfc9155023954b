import pytest

from edgeseg.core.boards import BOARDS, find_board
from edgeseg.errors import UsageError


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_names_its_source_and_its_peaks_have_the_right_order(name):
    board = BOARDS[name]
    assert "http" in board.source or "Data Sheet" in board.source
    # Tensor cores do INT8 at twice FP16's rate on every one of them, CUDA cores far less.
    assert board.int8_tops / board.fp16_tflops == pytest.approx(2, rel=0.05)
    assert board.fp32_tflops < board.fp16_tflops
    assert board.bandwidth_gb_s > 10


def test_a_board_without_support_says_why():
    assert "JetPack 5" in find_board("xavier-nx").support


def test_an_unknown_board_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'orin-nano'"):
        find_board("orin-nanno")
