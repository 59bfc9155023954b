import http.client
import json
import os
import resource
import signal
import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from entry_points import install
from tinybundle import expected_labels, random_frame, spec

import edgeseg.runtime.http.server as server_module
from edgeseg.core.data.masks import read_labels
from edgeseg.errors import BackendUnavailable, SinkError, UsageError
from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.sinks.open import SINKS, check_sinks, open_sink
from edgeseg.runtime.sources.base import Frame


def prediction(index: int = 0, size_hw: tuple[int, int] = (48, 64), name: str = "") -> Prediction:
    rgb = random_frame(index, size_hw)
    frame = Frame(rgb, index, 0, name=name)
    return Prediction(frame, expected_labels(rgb), 0, 0, 0)


def test_null_takes_everything():
    with open_sink("null", spec()) as sink:
        sink.write(prediction())
    assert sink.uri == "null"


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
    frame = Frame(rgb, 7, now, 2_000_000, truth, dropped_before=3, name="Straße.png", media_s=0.28)
    with open_sink(str(path), spec()) as sink:
        sink.write(Prediction(frame, labels, 1_000_000, 5_500_000, now + 9_000_000))
        assert len(lines(path)) == 1
        sink.write(prediction(8))
    first, second = lines(path)
    assert first.pop("unix_s") == pytest.approx(time.time(), abs=5)
    assert first == {
        "index": 7,
        "name": "Straße.png",
        "media_s": 0.28,
        "dropped_before": 3,
        "latency_ms": {"capture": 2.0, "preprocess": 1.0, "infer": 5.5, "ready": 9.0},
        "shares": {"red": 0.75, "green": 0.25, "blue": 0.0},
        "global_accuracy": round(16 / 24, 5),
    }
    assert second["index"] == 8
    assert second["global_accuracy"] is None


def test_lines_of_an_earlier_run_stay(tmp_path):
    path = tmp_path / "frames.jsonl"
    path.write_text('{"index": 5}\n')
    # As a usage error or a camera that is away: the run ends before a frame.
    open_sink(str(path), spec()).close()
    assert [line["index"] for line in lines(path)] == [5]
    told = []
    with open_sink(str(path), spec(), tell=told.append) as sink:
        sink.write(prediction(0))
        sink.write(prediction(1))
    assert [line["index"] for line in lines(path)] == [5]
    assert [line["index"] for line in lines(tmp_path / "frames-2.jsonl")] == [0, 1]
    assert "this run goes to" in told[0]


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
