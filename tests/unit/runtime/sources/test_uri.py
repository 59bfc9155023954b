"""No secret of a URI is shown, whichever way it is written, and what is none stays."""

import pytest

from edgeseg.runtime.sources.uri import public_uri


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
