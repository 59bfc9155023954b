import json
import threading
import time

import numpy as np
import pytest
from stand_ins import ArgmaxBackend, ListSource
from tinybundle import SIZE_HW, expected_labels, random_frame, spec, tiny_bundle

from edgeseg.cli import LEFT_BEHIND
from edgeseg.core.data.masks import read_labels
from edgeseg.core.data.open import open_dataset
from edgeseg.core.images.io import read_rgb
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.streaming import shadow as shadow_module
from edgeseg.runtime.streaming.hard_frames import HardFrames
from edgeseg.runtime.streaming.loop import Loop
from edgeseg.runtime.streaming.shadow import Shadow, ShadowOptions

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture(autouse=True)
def plain_priority(monkeypatch):
    # Beside a busy program the lowest priority would stretch a test over minutes.
    monkeypatch.setattr(shadow_module, "LOWEST_PRIORITY", 0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def wrong_by(share: float, index: int = 0) -> Prediction:
    """A prediction of which so much of the pixels is wrong."""
    rgb = random_frame(index)
    labels = expected_labels(rgb)
    n = round(share * labels.size)
    labels.reshape(-1)[:n] = (labels.reshape(-1)[:n] + 1) % 3
    return Prediction(Frame(rgb, index, 0), labels, 0, 0, 0)


def compared(shadow: Shadow, shares) -> dict:
    for i, share in enumerate(shares):
        shadow.add(wrong_by(share, i))
        end = time.monotonic() + 30
        while shadow._n <= i and time.monotonic() < end:
            time.sleep(0.001)
    return shadow.result()


def made(bundle, harvest=None, **options) -> Shadow:
    return Shadow(ArgmaxBackend, bundle, spec(), ShadowOptions(**options), harvest)


def test_agreement_miou_and_trend_are_what_was_planted(bundle):
    found = compared(made(bundle, every=1), [0.0, 0.1, 0.2, 0.3])
    assert found["n"] == 4
    assert found["agreement"] == pytest.approx(0.85, abs=0.001)
    assert found["trend_per_1000_frames"] == pytest.approx(-100, rel=0.01)
    # Every wrong pixel is one of each class taken and one missed: IoU = 0.85 / 1.15.
    assert found["miou"] == pytest.approx(0.85 / 1.15, abs=0.01)
    assert found["reference"]["sha256"] == bundle.digest
    json.dumps(found, allow_nan=False)


def test_the_alarm_takes_several_bad_frames_and_says_when(bundle):
    lines: list[str] = []
    shadow = made(bundle, every=1, alarm=0.95, alert=lines.append)
    found = compared(shadow, [0.0] * 6 + [0.3] + [0.0] * 6 + [0.2] * 10 + [0.0] * 12)
    assert (found["alarms"], found["alarm_on"]) == (1, False)
    # One odd frame of ten costs 0.03; two of 0.2 and that one cost 0.07.
    assert found["first_alarm_frame"] in (14, 15)
    assert len(lines) == 1
    assert "below 0.95" in lines[0]


def test_every_nth_frame_is_compared_and_the_loop_reports_it(bundle):
    with made(bundle, every=4) as shadow:
        report = Loop(
            ArgmaxBackend(), bundle, ListSource(20, sleep_s=0.005), observers=[shadow]
        ).run().report  # fmt: skip
    found = report.shadow
    assert found["n"] + found["skipped"] == 5
    assert found["agreement"] == 1.0
    assert {index % 4 for index, _ in found["series"]} == {0}


def test_a_slow_reference_is_skipped_and_the_camera_does_not_wait(bundle):
    stuck = Stuck()
    shadow = Shadow(lambda: stuck, bundle, spec(), ShadowOptions(every=1))
    shadow.add(wrong_by(0.0, 0))
    assert stuck.entered.wait(20)
    # Each call would hang here if it waited: the reference goes on when this test says so.
    for i in range(1, 20):
        shadow.add(wrong_by(0.0, i))
    stuck.free.set()
    found = shadow.result()
    # The frame it was busy with, and the newest.
    assert (found["n"], found["skipped"]) == (2, 18)


def test_a_reference_that_fails_does_not_stop_the_loop(bundle):
    with Shadow(
        lambda: ArgmaxBackend(fail_at=0), bundle, spec(), ShadowOptions(every=1)
    ) as shadow:  # fmt: skip
        result = Loop(
            ArgmaxBackend(), bundle, ListSource(20, sleep_s=0.005), observers=[shadow]
        ).run()  # fmt: skip
    assert result.error is None
    assert result.report.frames == 20
    assert "kernel launch failed" in result.report.shadow["error"]
    assert result.report.shadow["n"] == 0


def test_a_reference_of_other_classes_is_refused(bundle):
    with pytest.raises(UsageError, match="give one of the same classes"):
        Shadow(ArgmaxBackend, bundle, ModelSpec("x"), ShadowOptions())


def test_the_harvest_is_a_data_set_of_the_worst_frames(bundle, tmp_path):
    harvest = HardFrames(tmp_path / "h", spec(), limit=3)
    shares = [0.1, 0.5, 0.0, 0.3, 0.2, 0.4]
    found = compared(made(bundle, harvest, every=1), shares)
    assert len(harvest) == 3
    assert found["harvested"] == 5
    listed = json.loads((tmp_path / "h/harvest.json").read_text())["frames"]
    assert [entry["index"] for entry in listed] == [1, 5, 3]
    names = {path.name for path in (tmp_path / "h/images").iterdir()}
    assert names == {path.name for path in (tmp_path / "h/masks").iterdir()}
    assert names == {entry["name"] for entry in listed}
    for entry in listed:
        rgb = read_rgb(tmp_path / "h/images" / entry["name"])
        assert np.array_equal(rgb, random_frame(entry["index"]))
        mask = read_labels(tmp_path / "h/masks" / entry["name"])
        assert np.array_equal(mask, expected_labels(rgb))
    data = open_dataset(str(tmp_path / "h"), "test")
    assert len(data) == 3
    assert data.class_names == spec().class_names


def test_the_harvest_keeps_one_of_frames_that_look_alike(tmp_path):
    harvest = HardFrames(tmp_path / "h", spec())
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    rgb = rgb.repeat(8, 0).repeat(8, 1)
    again = np.clip(rgb.astype(int) + 2, 0, 255).astype(np.uint8)
    labels = np.zeros(SIZE_HW, np.uint8)
    assert harvest.offer(rgb, labels, index=0, agreement=0.8)
    assert not harvest.offer(again, labels, index=1, agreement=0.9)
    assert harvest.offer(again, labels, index=2, agreement=0.7)
    assert len(harvest) == 1
    assert [path.name for path in (tmp_path / "h/images").iterdir()] == ["run001-0000002.png"]


def test_a_harvest_goes_on_in_its_folder_but_not_in_another_ones(tmp_path):
    labels = np.zeros(SIZE_HW, np.uint8)
    HardFrames(tmp_path / "h", spec()).offer(random_frame(0), labels, index=0, agreement=0.5)
    again = HardFrames(tmp_path / "h", spec())
    assert len(again) == 1
    again.offer(random_frame(1), labels, index=0, agreement=0.5)
    assert len(list((tmp_path / "h/images").iterdir())) == 2
    with pytest.raises(UsageError, match="other classes"):
        HardFrames(tmp_path / "h", ModelSpec("x"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        HardFrames(tmp_path / "mine", spec())


class Stuck(ArgmaxBackend):
    """A reference inside a library's call that ends when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.free = threading.Event(), threading.Event()

    def infer(self, frames):
        self.entered.set()
        self.free.wait(60)
        return super().infer(frames)


def test_a_run_that_is_told_to_end_does_not_wait_for_a_stuck_reference(bundle):
    stuck, hurry = Stuck(), threading.Event()
    shadow = Shadow(lambda: stuck, bundle, spec(), ShadowOptions(every=1, hurry=hurry))
    thread = shadow._thread
    shadow.add(wrong_by(0.1))
    assert stuck.entered.wait(20)
    hurry.set()
    start = time.monotonic()
    found = shadow.result()
    # It would wait so long for one that is not told to hurry.
    assert time.monotonic() - start < shadow_module.JOIN_S
    assert found["n"] == 0
    assert "still busy" in found["error"]
    # What the command line looks for, so as not to wait for it either.
    assert thread.name in LEFT_BEHIND
    assert thread.daemon
    stuck.free.set()
    thread.join(5)


def test_a_run_that_ends_by_itself_waits_for_the_frame_in_work(bundle):
    stuck = Stuck()
    shadow = Shadow(lambda: stuck, bundle, spec(), ShadowOptions(every=1))
    shadow.add(wrong_by(0.1))
    threading.Timer(1.3, stuck.free.set).start()
    found = shadow.result()
    assert (found["n"], found["error"]) == (1, None)
