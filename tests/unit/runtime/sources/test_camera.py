import importlib.util

import pytest
from tinybundle import spec

from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.runtime.sources import camera, gst_device
from edgeseg.runtime.sources.base import SourceRequest
from edgeseg.runtime.sources.camera import CameraSource, csi_pipeline
from edgeseg.runtime.sources.device import Device


def request(uri: str, query=None, **changes) -> SourceRequest:
    scheme, rest = uri.split("://", 1)
    return SourceRequest(uri, scheme, rest, query or {}, spec(), **changes)


def test_a_csi_sensor_asked_for_through_v4l2_is_refused_with_the_cure(tmp_path):
    facts = tmp_path / "sys/class/video4linux/video0"
    facts.mkdir(parents=True)
    (facts / "name").write_text("vi-output, imx219 9-0010\n")
    with pytest.raises(UsageError, match=r"imx219.*raw Bayer.*csi://0"):
        CameraSource(request("v4l2:///dev/video0", root=tmp_path))
    (facts / "name").write_text("HD Pro Webcam C920\n")
    with pytest.raises(BackendUnavailable, match="does not exist"):
        CameraSource(request("v4l2:///dev/video0", root=tmp_path))


@pytest.mark.parametrize("uri", ["csi://0", "gst://videotestsrc ! appsink"])
def test_without_any_gstreamer_a_pipeline_is_refused_with_the_cure(uri, monkeypatch):
    monkeypatch.setattr(camera, "has_gstreamer", lambda: False)
    monkeypatch.setattr(gst_device, "has_bindings", lambda: False)
    with pytest.raises(BackendUnavailable, match=r"apt-get install python3-gi.*no pip opencv"):
        CameraSource(request(uri))


def test_the_csi_pipeline_asks_for_what_the_uri_says_and_drops_old_frames():
    pipeline = csi_pipeline(request("csi://1", {"size": "720x1280", "fps": "60", "flip": "2"}))
    assert "sensor-id=1 " in pipeline
    assert "width=1280,height=720,framerate=60/1" in pipeline
    assert "flip-method=2" in pipeline
    assert pipeline.endswith("appsink drop=true max-buffers=1 sync=false")


@pytest.mark.parametrize(
    ("uri", "query", "message"),
    [
        ("csi://front", {}, "sensor's number"),
        ("csi://0", {"flip": "9"}, "flip is 9"),
        ("csi://0", {"size": "720"}, "HEIGHTxWIDTH"),
        ("csi://0", {"rate": "30"}, "unknown option of csi"),
    ],
)
def test_a_csi_uri_that_cannot_work_is_answered(uri, query, message):
    with pytest.raises(UsageError, match=message):
        csi_pipeline(request(uri, query))


def test_rtsp_goes_through_pyav_where_it_is_installed(monkeypatch):
    if importlib.util.find_spec("av") is None:
        pytest.skip("PyAV is not installed; pip install 'edgeseg[rtsp]'")
    from edgeseg.runtime.sources import av_device, opencv_device

    asked = []

    def opens(name):
        class Opened(Device):
            def __init__(self, *a, **limits):
                asked.append(name)

            def grab(self):
                return None

            def close(self):
                pass

        return Opened

    monkeypatch.setattr(av_device, "AvDevice", opens("av"))
    monkeypatch.setattr(opencv_device, "OpenCvDevice", opens("cv2"))
    camera._connector(request("rtsp://cam/1"), 1.0)(1.0)
    monkeypatch.setattr(camera, "is_installed", lambda name: False)
    camera._connector(request("rtsp://cam/1"), 1.0)(1.0)
    assert asked == ["av", "cv2"]
