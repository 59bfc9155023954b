import numpy as np
import pytest
from tinybundle import expected_labels, random_frame, spec

from edgeseg.core.data.open import open_dataset
from edgeseg.errors import UsageError
from edgeseg.runtime.streaming import hard_frames as harvest
from edgeseg.runtime.streaming.hard_frames import HardFrames


def filled(folder, agreements, **options) -> HardFrames:
    found = HardFrames(folder, spec(), **options)
    for index, agreement in enumerate(agreements):
        rgb = random_frame(index)
        assert found.offer(rgb, expected_labels(rgb), index=index, agreement=agreement)
    return found


def names(folder) -> dict[str, set[str]]:
    return {kind: {p.name for p in (folder / kind).iterdir()} for kind in ("images", "masks")}


@pytest.mark.parametrize("fails", ["masks", "images", "harvest.json"])
def test_a_frame_that_cannot_be_written_leaves_a_data_set_of_those_before(
    tmp_path, monkeypatch, fails
):
    found = filled(tmp_path, [0.5])
    write_png, write_text = harvest.write_png, harvest.atomic_write_text

    def full(write):
        def call(path, content):
            if fails in (path.name, path.parent.name):
                raise OSError(28, "No space left on device")
            write(path, content)

        return call

    monkeypatch.setattr(harvest, "write_png", full(write_png))
    monkeypatch.setattr(harvest, "atomic_write_text", full(write_text))
    with pytest.raises(OSError, match="No space"):
        found.offer(random_frame(9), expected_labels(random_frame(9)), index=9, agreement=0.1)
    assert len(found) == 1
    left = {"run001-0000000.png"}
    assert names(tmp_path) == {"images": left, "masks": left}
    assert len(open_dataset(str(tmp_path), "test")) == 1


def test_what_a_killed_run_left_is_removed_but_nobody_elses_files(tmp_path):
    filled(tmp_path, [0.5])
    for name in ("images/run001-0000007.png", "masks/run001-0000008.png", "images/mine.png"):
        (tmp_path / name).write_bytes(b"")
    HardFrames(tmp_path, spec())
    listed = {"run001-0000000.png"}
    assert names(tmp_path) == {"images": {*listed, "mine.png"}, "masks": listed}


def test_a_smaller_limit_removes_the_frames_with_the_most_agreement(tmp_path):
    filled(tmp_path, [0.5, 0.9, 0.1, 0.7])
    again = HardFrames(tmp_path, spec(), limit=2)
    assert len(again) == 2
    left = {"run001-0000000.png", "run001-0000002.png"}
    assert names(tmp_path) == {"images": left, "masks": left}
    labels = np.zeros((48, 64), np.uint8)
    assert not again.offer(random_frame(5), labels, index=0, agreement=0.6)


def test_frames_that_were_deleted_make_room_and_a_damaged_list_is_named(tmp_path):
    filled(tmp_path, [0.5, 0.7])
    (tmp_path / "images/run001-0000000.png").unlink()
    again = HardFrames(tmp_path, spec())
    assert len(again) == 1
    assert names(tmp_path)["masks"] == {"run001-0000001.png"}
    rgb = random_frame(0)
    assert again.offer(rgb, expected_labels(rgb), index=3, agreement=0.9)
    for text in ("{", '{"frames": [{"other": 1}], "runs": 1}', '{"runs": 1}'):
        (tmp_path / "harvest.json").write_text(text)
        with pytest.raises(UsageError, match=r"is damaged|is not JSON"):
            HardFrames(tmp_path, spec())
