import json
import re
import time

import cv2
import numpy as np
import pytest
from board_trees import ORIN_NANO, write_tree
from page_run import HandSource, as_array, ask, open_page, playing, prediction, status, unpack
from tinybundle import expected_labels, random_frame

from edgeseg.errors import SinkError
from edgeseg.runtime.sources.base import SourceEvent, State
from edgeseg.runtime.telemetry import Telemetry


def wait_for(condition, seconds: float = 5.0):
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came true")


def test_the_page_is_one_file_that_asks_nobody_else(tmp_path):
    with open_page(tmp_path) as page:
        code, headers, body = ask(page, "/")
    text = body.decode()
    assert code == 200
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=(?!\"data:)", text)
    assert "innerHTML" not in text
    assert "/*SCRIPT*/" not in text
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2
    assert "access-control-allow-origin" not in headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "Python" not in headers["server"]


def test_figures_of_a_camera(tmp_path):
    source = HandSource()
    with open_page(tmp_path) as page:
        sink = page.camera(source)
        for index in range(30):
            sink.write(prediction(index, dropped=2))
        wait_for(lambda: sink.pictures.shares)
        page.tick()
        found = status(page)
        again = json.loads(ask(page, f"/status?since={found['series']['t'][-1:] or 99}")[2])
    camera = found["cameras"][0]
    assert camera["frames"] == 30
    assert camera["dropped"] == 60
    assert camera["state"] == "live"
    assert camera["latency_ms"]["infer"]["p50"] == pytest.approx(5.0)
    assert camera["frame_age_ms"]["p50"] == pytest.approx(20.0)
    assert sum(camera["shares"]) == pytest.approx(1.0)
    assert camera["series"]["infer"][-1] == pytest.approx(5.0)
    assert [one["name"] for one in found["classes"]] == ["red", "green", "blue"]
    assert found["system"] is None
    drops = [event for event in found["events"] if event["kind"] == "drop"]
    assert [event["count"] for event in drops] == [60]
    assert again["cameras"][0]["frames"] == 30


def test_nothing_measured_is_null_and_never_zero(tmp_path):
    with open_page(tmp_path) as page, Telemetry(tmp_path / "bare", sample_s=60.0) as telemetry:
        page._telemetry = telemetry
        page.camera(HandSource())
        page.tick()
        found = status(page)
        text = ask(page, "/metrics")[2].decode()
    camera, system = found["cameras"][0], found["system"]
    for key in ("fps", "frame_age_ms", "shares", "shadow", "silent_s"):
        assert camera[key] is None, key
    assert camera["latency_ms"] == {}
    for key in ("memory_bytes", "power_w", "rails_w", "temperature_c", "gpu_load", "throttle"):
        assert system[key] is None, key
    for name in ("power_watts", "memory_bytes", "edgeseg_fps", "agreement", "gpu_load"):
        assert name not in text


def test_a_board_is_shown_with_power_by_the_input_rail(tmp_path):
    root = write_tree(tmp_path / "root", ORIN_NANO)
    with Telemetry(root, sample_s=60.0) as telemetry, open_page(tmp_path, telemetry=telemetry) as p:
        p.tick()
        system = status(p)["system"]
        text = ask(p, "/metrics")[2].decode()
    assert system["power_w"] == pytest.approx(6.0)
    assert system["gpu_load"] == 0.437
    assert system["temperature_c"] == {"cpu-thermal": 49.0, "tj-thermal": 51.25}
    assert "edgeseg_power_watts 6\n" in text
    assert 'edgeseg_temperature_celsius{zone="tj-thermal"} 51.25' in text
    assert 'edgeseg_throttle_events_total{event="oc3"} 0' in text


def test_a_picture_comes_with_its_own_labels(tmp_path):
    with open_page(tmp_path) as page, playing(page, HandSource()):
        code, _, body = ask(page, "/frame?camera=0&after=0")
        if code == 204:  # the first question only wakes the encoder
            code, _, body = ask(page, "/frame?camera=0&after=0")
        assert code == 200
        head, jpeg, png = unpack(body)
        later = unpack(ask(page, f"/frame?camera=0&after={head['number']}")[2])[0]
        assert ask(page, "/frame?camera=7")[0] == 404
        assert ask(page, "/frame?camera=x&after=y")[0] in (200, 204)
    assert later["number"] > head["number"]
    rgb = random_frame(head["index"])
    labels = cv2.imdecode(as_array(png), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(labels, expected_labels(rgb))
    bgr = cv2.imdecode(as_array(jpeg), cv2.IMREAD_COLOR)
    # JPEG cannot hold noise; still the channels must be where they belong.
    wrong, right = (np.abs(one.astype(int) - rgb).mean() for one in (bgr, bgr[..., ::-1]))
    assert right < 0.9 * wrong


def test_nothing_is_encoded_while_nobody_watches(tmp_path):
    with open_page(tmp_path) as page, playing(page, HandSource()) as sink:
        wait_for(lambda: sink.pictures.shares)
        time.sleep(0.3)
        assert sink.pictures._picture is None


def test_the_log_tells_of_drops_states_and_alarms(tmp_path):
    source = HandSource("rtsp://cam/x")
    shadow = {"agreement": 0.99, "threshold": 0.95, "alarm": False}
    with open_page(tmp_path) as page:
        sink = page.camera(source, lambda: shadow)
        source.events = (SourceEvent(1.0, State.LOST, "no route to host"),)
        sink.tick(5.0)
        source.events += (SourceEvent(2.0, State.LIVE, "frames again"),)
        shadow |= {"agreement": 0.5, "alarm": True}
        sink.tick(6.0)
        for at_s in (7.0, 8.0):
            sink.write(prediction(dropped=3))
            sink.tick(at_s)
        sink.tick(9.0)
        found = status(page)
        text = ask(page, "/metrics")[2].decode()
    lines = [(event["kind"], event["text"], event["count"]) for event in reversed(found["events"])]
    assert lines[0] == ("source", "lost: no route to host", 1)
    assert lines[1] == ("source", "live: frames again", 1)
    assert lines[2] == ("alarm", "agreement fell below 0.95", 1)
    assert lines[3][0] == "drop"
    assert lines[3][2] == 6
    assert found["cameras"][0]["shadow"]["agreement"] == 0.5
    assert 'edgeseg_agreement_ratio{camera="0",source="rtsp://cam/x"} 0.5' in text


def test_credentials_of_a_source_are_nowhere(tmp_path):
    source = HandSource("rtsp://admin:hunter2@cam/x?token=hunter2")
    source.events = (SourceEvent(1.0, State.LOST, "rtsp://admin:hunter2@cam/x refused"),)
    with open_page(tmp_path) as page:
        sink = page.camera(source)
        sink.write(prediction())
        page.tick()
        seen = b"".join(ask(page, path)[2] for path in ("/", "/status", "/metrics", "/healthz"))
        assert b"rtsp://cam/x" in seen
        assert b"hunter2" not in seen + sink.uri.encode()
        assert b"admin" not in seen


def test_metrics_are_prometheus_text(tmp_path):
    source = HandSource('rtsp://cam/"quoted"\\path\nline')
    with open_page(tmp_path) as page:
        sink = page.camera(source)
        for index in range(3):
            sink.write(prediction(index))
        page.tick()
        code, headers, body = ask(page, "/metrics")
    text = body.decode()
    assert code == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    sample = re.compile(
        r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\})? \S+'
    )
    seen, helped = [], set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in helped
            helped.add(name)
        elif not line.startswith("# TYPE "):
            assert sample.fullmatch(line), line
            float(line.rsplit(" ", 1)[1])
            assert line.split("{")[0].split(" ")[0] in helped
            seen.append(line)
    assert text.endswith("\n")
    assert any(line.startswith("edgeseg_frames_total{") and line.endswith(" 3") for line in seen)
    assert 'stage="infer",quantile="0.99"} 0.005' in text


def test_health_follows_the_frames(tmp_path):
    with open_page(tmp_path) as page:
        assert ask(page, "/healthz")[0] == 503
        sink = page.camera(HandSource())
        sink.write(prediction())
        page.tick()
        assert ask(page, "/healthz")[0] == 200
        sink._status["silent_s"] = 60.0
        assert ask(page, "/healthz")[0] == 503


def test_two_cameras_have_figures_of_their_own(tmp_path):
    with open_page(tmp_path) as page:
        first, second = page.camera(HandSource("cam://1")), page.camera(HandSource("cam://2"))
        first.write(prediction())
        for index in range(5):
            second.write(prediction(index))
        page.tick()
        found = status(page)["cameras"]
    assert [(one["source"], one["frames"]) for one in found] == [("cam://1", 1), ("cam://2", 5)]


def test_two_cameras_of_one_address_are_two_in_the_metrics(tmp_path):
    with open_page(tmp_path) as page:
        for _ in range(2):
            page.camera(HandSource("rtsp://nvr/live?token=***")).write(prediction())
        page.tick()
        lines = ask(page, "/metrics")[2].decode().splitlines()
    series = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))
    assert sum(line.startswith("edgeseg_frames_total{") for line in lines) == 2


def test_a_taken_port_is_named(tmp_path):
    with open_page(tmp_path) as page:
        port = page.url.rstrip("/").rsplit(":", 1)[1]
        with (
            pytest.raises(SinkError, match="give another port"),
            open_page(tmp_path / "other", address=f"127.0.0.1:{port}"),
        ):
            pass
