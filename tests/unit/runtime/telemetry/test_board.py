import pytest
from board_trees import BOARDS, write_tree

from edgeseg.runtime.telemetry.board import fingerprint, is_jetson


@pytest.mark.parametrize(
    ("name", "board", "l4t", "mode", "mode_name"),
    [
        ("nano", "NVIDIA Jetson Nano Developer Kit", "32.7.1", "0000", "MAXN"),
        ("xavier", "Jetson-AGX", "35.4.1", "0003", None),
        ("orin-nano", "NVIDIA Jetson Orin Nano Developer Kit", "36.4.3", "0002", "MAXN_SUPER"),
        ("agx-orin", "NVIDIA Jetson AGX Orin Developer Kit", "36.4.0", "0000", None),
        ("thor", "NVIDIA Jetson AGX Thor Developer Kit", "38.2.0", "0001", None),
        ("pc", None, None, None, None),
    ],
)
def test_the_fingerprint_of_a_machine(tmp_path, name, board, l4t, mode, mode_name):
    root = write_tree(tmp_path, BOARDS[name])
    found = fingerprint(root)
    assert (found["board"], found["l4t"]) == (board, l4t)
    assert (found["power_mode"], found["power_mode_name"]) == (mode, mode_name)
    assert found["cpu"] == ("Example CPU 3000" if name == "pc" else None)
    assert is_jetson(root) is (name != "pc")


def test_nothing_readable_names_no_board(tmp_path):
    assert fingerprint(tmp_path)["board"] is None
    assert fingerprint(tmp_path)["power_mode"] is None
