import numpy as np
import pytest

from edgeseg.cli.pages.error_pictures import (
    CELL,
    GAP,
    LEAST_MARGIN,
    LISTED,
    MOST_MARGIN,
    WRONG,
    check_panels,
    confusion_chart,
    error_panel,
    write_panels,
)
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_PALETTE
from edgeseg.errors import UsageError
from edgeseg.runtime.evaluation.evaluate import WorstFrame


def test_a_panel_is_image_truth_prediction_difference() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    truth = rng.integers(0, 12, (20, 30), dtype=np.uint8)
    prediction = rng.integers(0, 11, (20, 30), dtype=np.uint8)
    panel = error_panel(WorstFrame("a", 0.5, rgb, truth, prediction), CAMVID_PALETTE, 11)
    assert panel.shape == (20, 4 * 30 + 3 * GAP, 3)
    parts = [panel[:, k * (30 + GAP) :][:, :30] for k in range(4)]
    palette = np.array([*CAMVID_PALETTE, (0, 0, 0)], np.uint8)
    assert np.array_equal(parts[0], rgb)
    assert np.array_equal(parts[1], palette[truth])
    assert np.array_equal(parts[2], palette[prediction])
    red = (parts[3] == WRONG).all(2)
    assert np.array_equal(red, (truth != prediction) & (truth != 11))
    assert not parts[3][truth == 11].any()


def test_the_confusion_chart_darkens_with_the_share_and_has_a_cell_for_each_pair() -> None:
    counts = np.zeros((11, 12), np.int64)
    counts[0, 0], counts[1, 0], counts[1, 1] = 5, 30, 10
    chart = confusion_chart(counts, CAMVID_CLASSES)
    assert chart.shape == (LEAST_MARGIN + 11 * CELL + GAP, LEAST_MARGIN + 11 * CELL + GAP, 3)

    def corner(row: int, column: int) -> list[int]:
        return chart[LEAST_MARGIN + row * CELL + 2, LEAST_MARGIN + column * CELL + 2].tolist()

    assert corner(0, 0) == [20, 60, 130]
    assert corner(0, 1) == corner(2, 2) == [255, 255, 255]
    assert corner(1, 0)[0] < corner(1, 1)[0] < 255
    # names are written above and to the left
    assert (chart[:LEAST_MARGIN, LEAST_MARGIN:] < 128).any(axis=(0, 2)).sum() > 60
    assert (chart[LEAST_MARGIN:, :LEAST_MARGIN] < 128).any()
    # and in the corner between them, what is what
    assert (chart[:64, : LEAST_MARGIN - 6] < 128).any()


def test_figures_stand_in_the_middle_of_their_cells_with_one_decimal() -> None:
    counts = np.zeros((2, 3), np.int64)
    counts[0, 0], counts[1, 0], counts[1, 1] = 5, 20, 80
    chart = confusion_chart(counts, ("a", "b"))
    widths = []
    for row, column in ((0, 0), (1, 0), (1, 1)):
        top, left = LEAST_MARGIN + row * CELL, LEAST_MARGIN + column * CELL
        cell = chart[top + 2 : top + CELL - 4, left : left + CELL - 2].astype(int)
        inked = np.flatnonzero((np.abs(cell - cell[0, 0]).max(2) > 60).any(0))
        assert inked[0] + 1 == pytest.approx(CELL - 2 - inked[-1], abs=3)
        widths.append(inked[-1] - inked[0])
    # 100, 20.0 and 80.0: a round figure has its decimal too
    assert widths[0] < min(widths[1:])


def test_predictions_of_no_class_get_a_column_of_their_own() -> None:
    counts = np.eye(3, 4, dtype=np.int64)
    counts[2, 3] = 1
    chart = confusion_chart(counts, ("a", "b", "c"))
    assert chart.shape[1] == LEAST_MARGIN + 4 * CELL + GAP


def worst(*names: str) -> list[WorstFrame]:
    labels = np.zeros((4, 6), np.uint8)
    return [WorstFrame(name, 0.5, np.zeros((4, 6, 3), np.uint8), labels, labels) for name in names]


def test_only_panels_that_an_evaluation_noted_are_removed(tmp_path) -> None:
    folder = tmp_path / "worst"
    write_panels(folder, worst("a", "b"), CAMVID_PALETTE, 11)
    write_panels(folder, worst("c"), CAMVID_PALETTE, 11)
    assert {path.name for path in folder.iterdir()} == {"001_c.png", LISTED}
    (folder / "100_cam.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"100_cam\.png, which no evaluation"):
        write_panels(folder, worst("d"), CAMVID_PALETTE, 11)
    assert (folder / "100_cam.png").read_bytes() == b"mine"
    assert (folder / "001_c.png").is_file()


def test_a_list_that_somebody_wrote_names_no_file_elsewhere(tmp_path) -> None:
    precious = tmp_path / "001_x.png"
    precious.touch()
    folder = tmp_path / "worst"
    folder.mkdir()
    (folder / LISTED).write_text("../001_x.png\nnotes.txt\n")
    (folder / "notes.txt").touch()
    check_panels(folder)
    write_panels(folder, worst("a"), CAMVID_PALETTE, 11)
    assert precious.is_file()
    assert (folder / "notes.txt").is_file()


def test_long_names_get_room_and_foreign_letters_their_nearest() -> None:
    counts = np.eye(3, 4, dtype=np.int64)
    short = confusion_chart(counts, ("a", "b", "c"))
    long = confusion_chart(counts, ("a", "b", "TrafficSignAndSomethingElse"))
    assert long.shape[0] > short.shape[0]
    assert confusion_chart(counts, ("a", "b", "x" * 300)).shape[0] == MOST_MARGIN + 3 * CELL + GAP
    plain = confusion_chart(counts, ("Strasse", "Baume", "class 2"))
    assert np.array_equal(confusion_chart(counts, ("Straße", "Bäume", "도로")), plain)
