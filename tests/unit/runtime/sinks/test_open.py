import dataclasses
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from entry_points import install
from tinybundle import PALETTE, expected_labels, random_frame, spec

import edgeseg.runtime.http.server as server_module
from edgeseg.core.data.masks import read_labels
from edgeseg.core.images.io import write_png
from edgeseg.core.images.paint import overlay
from edgeseg.errors import BackendUnavailable, SinkError, UsageError
from edgeseg.runtime.sinks import files
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.open import SINKS, check_sinks, open_sink
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.sources.open import open_source


def prediction(index: int = 0, size_hw: tuple[int, int] = (48, 64), name: str = "") -> Prediction:
    rgb = random_frame(index, size_hw)
    frame = Frame(rgb, index, 0, name=name)
    return Prediction(frame, expected_labels(rgb), 0, 0, 0)


def test_null_takes_everything():
    with open_sink("null", spec()) as sink:
        sink.write(prediction())
    assert sink.uri == "null"


def test_a_videos_name_may_hold_a_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_sink("2026-05-01T12:30.mp4", spec()) as sink:
        sink.write(prediction())
    with open_source("2026-05-01T12:30.mp4", spec()) as source:
        assert source.length == 1


def test_a_video_holds_every_annotated_frame_in_rgb_order(tmp_path):
    path = tmp_path / "out.avi"
    flat = np.zeros((48, 64, 3), np.uint8)
    flat[:, :32] = (200, 40, 40)
    flat[:, 32:] = (40, 40, 200)
    labels = expected_labels(flat)
    with open_sink(str(path), spec(), fps=12.0) as sink:
        for i in range(3):
            sink.write(Prediction(Frame(flat, i, 0), labels, 0, 0, 0))
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out.avi"]
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 12.0
    frames = []
    while (got := capture.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
    capture.release()
    assert len(frames) == 3
    error = np.abs(frames[1].astype(int) - overlay(flat, labels, PALETTE, 0.5)).mean()
    assert error < 6


def frames_in(path) -> int:
    capture = cv2.VideoCapture(str(path))
    found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return found


def after_drops(index: int, dropped: int) -> Prediction:
    found = prediction(index)
    return dataclasses.replace(
        found, frame=dataclasses.replace(found.frame, dropped_before=dropped)
    )


def test_a_video_of_a_camera_lasts_as_long_as_the_scene(tmp_path):
    path = tmp_path / "out.avi"
    with open_sink(str(path), spec(), fps=10.0) as sink:
        for index, dropped in ((2, 2), (3, 0), (29, 25)):
            sink.write(after_drops(index, dropped))
    assert frames_in(path) == 30


def test_one_frame_stands_for_ten_seconds_of_a_video_at_most(tmp_path):
    path = tmp_path / "out.avi"
    with open_sink(str(path), spec(), fps=10.0) as sink:
        sink.write(after_drops(5000, 5000))
    assert frames_in(path) == 101


def test_a_slow_encoder_is_not_held_up_by_repeats(tmp_path):
    sink = open_sink(str(tmp_path / "out.avi"), spec(), fps=10.0)
    sink.write(prediction())
    writer = sink._writer
    written = []

    class Slow:
        """An encoder that takes as long as the camera's period."""

        def write(self, bgr: np.ndarray) -> None:
            time.sleep(0.1)
            written.append(bgr)

    sink._writer = Slow()
    sink.write(after_drops(11, 10))
    sink._writer = writer
    sink.close()
    # Half of a second for the ten, and the frame itself.
    assert 2 <= len(written) <= 6


def test_repeats_too_end_while_there_is_room_to_finish(tmp_path, monkeypatch):
    path, room = tmp_path / "out.avi", [1 << 30] * 3
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        files.shutil, "disk_usage", lambda at: usage._replace(free=room.pop() if room else 0)
    )
    sink = open_sink(str(path), spec(), fps=10.0)
    with pytest.raises(SinkError, match="disk is nearly full"):
        sink.write(after_drops(9, 9))
    sink.close()
    assert frames_in(path) == 3


def test_a_video_that_gets_no_frame_leaves_no_file(tmp_path):
    open_sink(str(tmp_path / "out.mp4"), spec()).close()
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_vanished_is_said_so(tmp_path):
    sink = open_sink(str(tmp_path / "o.avi"), spec())
    sink.write(prediction())
    next(tmp_path.iterdir()).unlink()
    with pytest.raises(SinkError, match="was not written"):
        sink.close()
    sink.close()


def test_a_video_ends_whole_while_there_is_room_to_finish_it(tmp_path, monkeypatch):
    path, free = tmp_path / "o.mp4", [1 << 30]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda at: usage._replace(free=free[0]))
    with open_sink(str(path), spec()) as sink:
        for i in range(3):
            sink.write(prediction(i))
        free[0] = 1 << 20
        with pytest.raises(SinkError, match="disk is nearly full"):
            sink.write(prediction(3))
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    capture.release()


def test_a_video_whose_disk_hangs_is_left_as_it_is(tmp_path):
    sink = open_sink(str(tmp_path / "o.avi"), spec())
    sink.write(prediction())
    writer, freed, begun = sink._writer, threading.Event(), threading.Event()

    class Hung:
        """A writer whose disk does not answer."""

        def write(self, bgr: np.ndarray) -> None:
            begun.set()
            freed.wait(10)

        def release(self) -> None:
            raise AssertionError("released while it writes")

    sink._writer = Hung()
    thread = threading.Thread(target=sink.write, args=(prediction(1),))
    thread.start()
    assert begun.wait(5)
    try:
        with pytest.raises(SinkError, match=r"still being written; .* \.o\.partial\.avi holds"):
            sink.close()
    finally:
        freed.set()
        thread.join(5)
    sink._writer = writer
    sink.close()
    assert frames_in(tmp_path / "o.avi") == 1


def test_a_video_that_cannot_be_played_does_not_get_its_name(tmp_path, monkeypatch):
    sink = open_sink(str(tmp_path / "o.mp4"), spec())
    sink.write(prediction())
    release = sink._writer.release

    class Cut:
        """A writer whose end of the file found no room."""

        def release(self) -> None:
            release()
            partial = next(tmp_path.iterdir())
            partial.write_bytes(partial.read_bytes()[:48])

    sink._writer = Cut()
    with pytest.raises(SinkError, match="cannot be played"):
        sink.close()
    assert not (tmp_path / "o.mp4").exists()


def test_a_video_refuses_a_change_of_size(tmp_path):
    with open_sink(str(tmp_path / "o.avi"), spec()) as sink:
        sink.write(prediction())
        with pytest.raises(SinkError, match="the source now gives"):
            sink.write(prediction(size_hw=(64, 48)))


def test_masks_are_named_like_their_frames(tmp_path):
    with open_sink(f"{tmp_path}/masks/", spec()) as sink:
        sink.write(prediction(3, name="street_7.jpg"))
        sink.write(prediction(4))
    found = {p.name: read_labels(p) for p in (tmp_path / "masks").iterdir()}
    assert set(found) == {"street_7.png", "000004.png"}
    assert np.array_equal(found["street_7.png"], expected_labels(random_frame(3)))


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_frame_is_one_line_at_once(tmp_path):
    path = tmp_path / "frames.jsonl"
    rgb = np.zeros((4, 8, 3), np.uint8)
    labels = np.zeros((4, 8), np.uint8)
    labels[0] = 1
    truth = np.zeros((4, 8), np.uint8)
    truth[3] = 255
    now = time.perf_counter_ns()
    frame = Frame(rgb, 7, now, 2_000_000, truth, dropped_before=3, name="Straße.png")
    with open_sink(str(path), spec()) as sink:
        sink.write(Prediction(frame, labels, 1_000_000, 5_500_000, now + 9_000_000))
        assert len(lines(path)) == 1
        sink.write(prediction(8))
    first, second = lines(path)
    assert first.pop("unix_s") == pytest.approx(time.time(), abs=5)
    assert first == {
        "index": 7,
        "name": "Straße.png",
        "dropped_before": 3,
        "latency_ms": {"capture": 2.0, "preprocess": 1.0, "infer": 5.5, "ready": 9.0},
        "shares": {"red": 0.75, "green": 0.25, "blue": 0.0},
        "global_accuracy": round(16 / 24, 5),
    }
    assert second["index"] == 8
    assert second["global_accuracy"] is None


def test_lines_of_an_earlier_run_stay_until_there_is_a_first_one(tmp_path):
    path = tmp_path / "frames.jsonl"
    path.write_text('{"index": 5}\n')
    # As a usage error or a camera that is away: the run ends before a frame.
    open_sink(str(path), spec()).close()
    assert [line["index"] for line in lines(path)] == [5]
    with open_sink(str(path), spec()) as sink:
        sink.write(prediction(0))
        sink.write(prediction(1))
    assert [line["index"] for line in lines(path)] == [0, 1]


def test_lines_that_get_no_frame_leave_no_file(tmp_path):
    open_sink(str(tmp_path / "frames.jsonl"), spec()).close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_lines_is_said_before_the_run(tmp_path, monkeypatch):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(SinkError, match="it is a folder"):
        open_sink(str(tmp_path / "folder.jsonl"), spec())
    # The tests may run as root, who may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(SinkError, match="allow it or name another"):
        open_sink(str(tmp_path / "frames.jsonl"), spec())


def test_a_full_disk_ends_the_lines_with_a_whole_one(tmp_path):
    """A limit on the size of files stands for the disk; the kernel writes what still fits."""
    path = tmp_path / "frames.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open_sink(str(path), spec()) as sink:
            sink.write(prediction(0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, limits[1]))
            with pytest.raises(SinkError, match="whole line"):
                sink.write(prediction(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [line["index"] for line in lines(path)] == [0]


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("jsonl://", UsageError, "needs a file"),
        ("/nowhere/frames.jsonl", SinkError, "cannot be written"),
        ("nul", UsageError, r"give null, window, mjpeg"),
        ("mjpg://127.0.0.1:80", UsageError, "did you mean 'mjpeg'"),
        ("masks://", UsageError, "needs a folder"),
        ("mjpeg://0.0.0.0:8080", UsageError, "open to the network"),
        ("mjpeg://127.0.0.1:99999", UsageError, "expected HOST:PORT"),
        ("mjpeg://me:secret@127.0.0.1:8080", UsageError, "is '127.0.0.1:8080', expected HOST"),
        ("/nowhere/at/all/out.mp4", SinkError, "is no folder"),
    ],
)
def test_a_sink_that_cannot_be_is_answered(uri, error, message):
    with pytest.raises(error, match=message):
        open_sink(uri, spec())


def test_masks_below_a_file_and_a_wrong_alpha_are_answered(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be made"):
        open_sink(f"masks://{tmp_path}/file/x", spec())
    with pytest.raises(UsageError, match="alpha is 2"):
        open_sink("null", spec(), alpha=2.0)


def test_without_a_screen_a_window_is_refused_with_something_else_to_use():
    with pytest.raises(BackendUnavailable, match="mjpeg://") as caught:
        open_sink("window", spec(), has_display=False)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", SINKS)
def test_every_sink_takes_a_prediction_and_closes_twice(tmp_path, name):
    uri = SINKS.load(name).example.format(folder=tmp_path)
    assert uri, f"give the class of sink {name!r} an example URI, as edgeseg's own classes have one"
    if name == "window":
        with pytest.raises(BackendUnavailable):
            open_sink(uri, spec(), has_display=False)
        return
    with open_sink(uri, spec()) as sink:
        sink.write(prediction())
    sink.close()
    assert any(tmp_path.iterdir()) == SINKS.load(name).writes_path


KEPT = """
from pathlib import Path
from edgeseg.runtime.sinks.base import Sink

class Kept(Sink):
    example = "kept://{folder}/kept.txt"
    writes_path = True

    def __init__(self, request):
        self.uri = request.uri
        self._path = Path(request.rest)

    def write(self, prediction):
        self._path.write_text(str(prediction.frame.index))

    def close(self):
        pass
"""


def test_an_installed_package_adds_a_sink(tmp_path, monkeypatch):
    (tmp_path / "users_sink.py").write_text(KEPT)
    install(monkeypatch, tmp_path, SINKS, "kept", "users_sink:Kept")
    uri = f"kept://{tmp_path}/kept.txt"
    with open_sink(uri, spec()) as sink:
        sink.write(prediction(7))
    assert (tmp_path / "kept.txt").read_text() == "7"
    with pytest.raises(UsageError, match="would overwrite the source"):
        check_sinks([uri], [f"{tmp_path}/kept.txt"])


# mjpeg


OPENED: list[http.client.HTTPConnection | http.client.HTTPResponse] = []


@pytest.fixture(autouse=True)
def _hang_up():
    yield
    while OPENED:
        OPENED.pop().close()


def connect(uri: str, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(uri.removeprefix("mjpeg://"), timeout=2)
    connection.request("GET", path)
    response = connection.getresponse()
    OPENED.extend([connection, response])
    return response


def feed(sink, stop):
    while not stop.is_set():
        sink.write(prediction())
        stop.wait(0.02)


@pytest.fixture
def playing():
    threads = threading.active_count()
    stop = threading.Event()
    with open_sink("mjpeg://127.0.0.1:0", spec()) as sink:
        thread = threading.Thread(target=feed, args=(sink, stop))
        thread.start()
        yield sink
        stop.set()
        thread.join(30)
    # A thread that does not end is waited for and then left behind.
    assert threading.active_count() == threads


def test_a_browser_gets_a_page_and_then_pictures(playing):
    page = connect(playing.uri, "/")
    assert page.status == 200
    assert b"/stream" in page.read()
    assert connect(playing.uri, "/secret").status == 404
    stream = connect(playing.uri, "/stream")
    assert stream.status == 200
    assert stream.getheader("Content-Type").startswith("multipart/x-mixed-replace")
    for _ in range(2):
        assert stream.readline().startswith(b"--")
        stream.readline()
        length = int(stream.readline().split(b":")[1])
        stream.readline()
        jpeg = stream.read(length)
        stream.readline()
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (48, 64, 3)


def test_the_fifth_viewer_is_turned_away(playing):
    viewers = [connect(playing.uri, "/stream") for _ in range(4)]
    assert [v.status for v in viewers] == [200] * 4
    assert connect(playing.uri, "/stream").status == 503
    assert playing.clients == 4


def test_a_viewer_that_never_reads_holds_nothing_up(playing, monkeypatch):
    monkeypatch.setattr(server_module, "SEND_S", 10.0)
    host, port = playing.uri.removeprefix("mjpeg://").split(":")
    with socket.create_connection((host, int(port))) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        silent.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        # One write that waits for the viewer takes as long as the viewer is given.
        for _ in range(20):
            start = time.perf_counter()
            playing.write(prediction())
            assert time.perf_counter() - start < server_module.SEND_S / 2
            time.sleep(0.02)


def test_a_taken_port_is_named():
    first = open_sink("mjpeg://127.0.0.1:0", spec())
    with first, pytest.raises(SinkError, match="give another port"):
        open_sink(first.uri, spec())


def test_another_machine_watches_only_with_the_token():
    token = "a-token-of-some-length"
    with open_sink("mjpeg://0.0.0.0:0", spec(), token=token) as sink:
        address = sink.uri.replace("0.0.0.0", "127.0.0.1")
        assert connect(address, "/stream").status == 401
        assert connect(address, "/").status == 401
        found = connect(address, f"/?token={token}")
        assert found.status == 303
        assert token not in str(found.headers)
        assert token not in sink.uri


@pytest.fixture
def silent():
    """A camera that gives no frame by itself."""
    with open_sink("mjpeg://127.0.0.1:0", spec()) as sink:
        yield sink


def until_nobody_watches(sink) -> None:
    deadline = time.perf_counter() + 2
    while sink.clients and time.perf_counter() < deadline:
        time.sleep(0.01)
    assert sink.clients == 0


def next_picture(stream: http.client.HTTPResponse) -> np.ndarray:
    assert stream.readline() == b"--edgeseg-frame\r\n"
    headers = http.client.parse_headers(stream)
    body = stream.read(int(headers["Content-Length"]))
    assert stream.readline() == b"\r\n"
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)


def test_viewers_that_left_make_room_while_the_camera_is_silent(silent):
    for _ in range(2):
        viewers = [connect(silent.uri, "/stream") for _ in range(4)]
        assert [viewer.status for viewer in viewers] == [200] * 4
        while OPENED:
            OPENED.pop().close()
        until_nobody_watches(silent)


def test_a_new_viewer_gets_no_picture_from_before_the_last_one_left(silent):
    first = connect(silent.uri, "/stream")
    silent.write(prediction())
    assert next_picture(first).shape == (48, 64, 3)
    while OPENED:
        OPENED.pop().close()
    until_nobody_watches(silent)
    second = connect(silent.uri, "/stream")
    time.sleep(0.4)
    silent.write(prediction(1, size_hw=(64, 48)))
    assert next_picture(second).shape == (64, 48, 3)


def test_a_viewer_stays_while_the_camera_is_silent(silent):
    viewer = connect(silent.uri, "/stream")
    for index in range(3):
        time.sleep(0.6)
        silent.write(prediction(index))
        assert next_picture(viewer).shape == (48, 64, 3)
    assert silent.clients == 1


def test_every_viewer_that_left_makes_room(playing):
    for _ in range(6):
        viewer = connect(playing.uri, "/stream")
        assert viewer.status == 200
        viewer.readline()
        viewer.close()
        deadline = time.perf_counter() + 2
        while playing.clients and time.perf_counter() < deadline:
            time.sleep(0.01)
    assert playing.clients == 0


def test_masks_are_written_again_over_the_sinks_own_but_over_nobody_elses(tmp_path):
    for seed in (0, 1):
        with open_sink(f"{tmp_path}/", spec()) as sink:
            sink.write(prediction(seed, name="a.png"))
    assert np.array_equal(read_labels(tmp_path / "a.png"), expected_labels(random_frame(1)))
    write_png(tmp_path / "b.png", expected_labels(random_frame(2)))
    with pytest.raises(UsageError, match=r"holds b\.png, which is no mask that edgeseg"):
        open_sink(f"{tmp_path}/", spec())


@pytest.mark.parametrize(
    ("sink", "source"),
    [
        ("val/", "val"),
        ("val", "sub/../val"),
        ("masks://val", "val"),
        ("truth", "val"),
        ("v.mp4", "v.mp4"),
        ("video://v.mp4", "link.mp4"),
        ("jsonl://v.mp4", "v.mp4"),
    ],
)
def test_a_sink_that_would_overwrite_what_is_read_is_refused(tmp_path, monkeypatch, sink, source):
    monkeypatch.chdir(tmp_path)
    for folder in ("val", "truth", "sub"):
        (tmp_path / folder).mkdir()
    (tmp_path / "v.mp4").write_text("film")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "v.mp4")
    with pytest.raises(UsageError, match=r"would overwrite (the source|--labels)"):
        check_sinks(["null", sink], ["synthetic://", source], tmp_path / "truth")


def test_nor_does_the_report_overwrite_what_is_read_or_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").write_text("film")
    with pytest.raises(UsageError, match=r"-o .*v\.mp4 would overwrite the source v\.mp4"):
        check_sinks(["null"], ["v.mp4"], reports=[Path("../") / tmp_path.name / "v.mp4"])
    with pytest.raises(UsageError, match=r"sink out\.jsonl would overwrite the report"):
        check_sinks(["out.jsonl"], ["v.mp4"], reports=[Path("out.jsonl")])


def test_two_images_whose_masks_would_have_one_name_are_refused(tmp_path):
    for name in ("a/0.png", "b/0.jpg", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    check_sinks(["out/"], ["rtsp://cam/1", f"{tmp_path}/b/*.jpg", str(tmp_path / "a")])
    with pytest.raises(UsageError, match=r"0\.png for .*a/0\.png and for .*b/0\.jpg"):
        check_sinks(["null", "out/"], [f"{tmp_path}/*/*"])


def test_two_sinks_of_one_place_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"sink \./v\.mp4 would overwrite the sink v\.mp4"):
        check_sinks(["v.mp4", "./v.mp4"], ["synthetic://"])
