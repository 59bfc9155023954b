from board_trees import ORIN_NANO, PC, THOR, write_tree

from edgeseg.runtime.telemetry.memory import nvmap_client_bytes, pss_bytes, read_memory


def test_the_drivers_memory_is_there_on_orin_and_absent_on_thor(tmp_path):
    orin = write_tree(tmp_path / "orin", ORIN_NANO)
    assert read_memory(orin).available == 5_000_000 * 1024
    assert read_memory(orin).nvmap == 300_000 * 1024
    for name, tree in (("thor", THOR), ("pc", PC)):
        root = write_tree(tmp_path / name, tree)
        assert read_memory(root).nvmap is None
        assert nvmap_client_bytes(root, 4711) is None


def test_only_the_own_process_counts(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    assert nvmap_client_bytes(root, 4711) == 204_800 * 1024
    assert nvmap_client_bytes(root, 1) is None


def test_this_process_has_a_share():
    assert pss_bytes() > 5 << 20
