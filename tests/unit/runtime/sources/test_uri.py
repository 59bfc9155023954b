"""No secret of a URI is shown, whichever way it is written, and what is none stays."""

from pathlib import Path

import pytest

from edgeseg.runtime.sources.uri import parse, public_uri, source_path


def test_credentials_never_show():
    assert public_uri("rtsp://me:secret@cam.local/1") == "rtsp://cam.local/1"
    assert public_uri("http://h/x?token=abc&y=1") == "http://h/x?token=***&y=1"
    assert public_uri("rtsp://cam.local/a@b") == "rtsp://cam.local/a@b"
    assert public_uri("rtsp://cam.local:554/a@b") == "rtsp://cam.local:554/a@b"


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://me:secret@cam/1",
        "rtsp://me:sec@secret@cam/1",
        "rtsp://me:sec/secret@cam/1",
        "rtsp://cam/1?user=secret&password=secret",
        "rtsp://cam/1?access_token=secret",
        "rtsp://cam/1?api_key=secret&x=1",
        "gst://rtspsrc location=rtsp://me:secret@cam/1 ! appsink",
        'gst://rtspsrc location=x user-id=secret user-pw="secret word" ! appsink',
        "gst://rtspsrc location=x user-pw='secret word' user-id='my secret' ! appsink",
        "rtsp://127.0.0.1:9/user=secret_password=tlJ_secret_channel=1_stream=0.sdp",
        "rtsp://cam/user=secret&password=secret&channel=1",
        "rtsp://cam/user=a/secret_password=ab/secret?secret_channel=1_stream=0.sdp",
        "http://cam/video.cgi?loginuse=secret&loginpas=secret",
        "rtsp://cam/1?username=secret",
        "rtsp://cam/1?jwt=secret.secret_a=secret",
        "http://cam/1?X-Amz-Credential=secret&X-Amz-Signature=secret",
        "rtsp://secret:554/secret@cam",
        "could not open 'rtsp://me:secret@cam/1': refused",
    ],
)
def test_no_way_to_write_a_secret_shows_it(uri):
    assert "secret" not in public_uri(uri)
    assert public_uri(public_uri(uri)) == public_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://cam:554/live?channel=1&stream=0&fps=15&size=720x1280&user-agent=edgeseg",
        "rtsp://cam/channel=1_stream=0.sdp?real_stream",
        "rtsp://localhost:554/a@b",
        "v4l2:///dev/video0?fps=30&fourcc=MJPG",
        "http://cam/user/login/live_1.mjpg",
        "gst://nvarguscamerasrc sensor-id=0 ! souphttpsrc user-agent=edgeseg ! appsink",
    ],
)
def test_what_is_no_secret_stays(uri):
    assert public_uri(uri) == uri


def test_only_the_secret_of_a_cheap_cameras_path_goes():
    uri = "rtsp://127.0.0.1:9/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp"
    assert public_uri(uri) == "rtsp://127.0.0.1:9/user=***_password=***_channel=1_stream=0.sdp"


@pytest.mark.parametrize(
    ("uri", "scheme", "rest", "query"),
    [
        ("synthetic://?frames=4&seed=", "synthetic", "", {"frames": "4", "seed": ""}),
        ("V4L2:///dev/video0?size=480x640", "v4l2", "/dev/video0", {"size": "480x640"}),
        # A server's query is the server's, and a pipeline's question mark the pipeline's.
        ("rtsp://cam/1?channel=2", "rtsp", "cam/1?channel=2", {}),
        ("gst://filesrc location=what? ! appsink", "gst", "filesrc location=what? ! appsink", {}),
        ("drive/*.png", "folder", "drive/*.png", {}),
        ("one.PNG", "folder", "one.PNG", {}),
        ("clip.mp4", "video", "clip.mp4", {}),
    ],
)
def test_a_uri_is_taken_apart(uri, scheme, rest, query):
    assert parse(uri) == (scheme, rest, query)


def test_only_what_reads_files_has_a_path(tmp_path):
    assert source_path(str(tmp_path)) == tmp_path
    assert source_path("clip.mp4") == Path("clip.mp4")
    assert source_path("rtsp://cam/1") is None
    assert source_path("synthetic://") is None
