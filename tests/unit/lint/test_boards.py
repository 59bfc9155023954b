import pytest

from edgeseg.errors import UsageError
from edgeseg.lint.boards import BOARDS, find_board


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_names_its_source_and_its_peaks_have_the_right_order(name):
    board = BOARDS[name]
    assert "http" in board.source or "Data Sheet" in board.source
    # Tensor cores do INT8 at twice FP16's rate on every one of them, CUDA cores far less.
    assert board.int8_tops / board.fp16_tflops == pytest.approx(2, rel=0.05)
    assert board.fp32_tflops < board.fp16_tflops
    assert board.bandwidth_gb_s > 10


@pytest.mark.parametrize(
    ("name", "sms", "ghz"),
    [("orin-nano", 8, 0.625), ("orin-nano-super", 8, 1.02), ("orin-nx", 8, 0.918),
     ("agx-orin", 16, 1.3)],
)  # fmt: skip
def test_an_ampere_boards_peaks_are_its_sms_at_their_clock(name, sms, ghz):
    board = BOARDS[name]
    for peak, rate in (
        (board.int8_tops, 4096),
        (board.fp16_tflops, 2048),
        (board.fp32_tflops, 256),
    ):
        assert peak == pytest.approx(sms * rate * ghz / 1000, rel=0.03)


@pytest.mark.parametrize("name", ["thor", "xavier-nx"])
def test_what_no_document_was_found_for_is_called_unverified(name):
    assert "unverified" in BOARDS[name].source


def test_a_board_without_support_says_why():
    assert "JetPack 5" in find_board("xavier-nx").support


def test_an_unknown_board_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'orin-nano'"):
        find_board("orin-nanno")
