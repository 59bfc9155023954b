"""No secret of a URI is shown, whichever way it is written, and what is none stays."""

import pytest

from edgeseg.core.text import redact as module
from edgeseg.core.text.redact import (
    encode_credentials,
    public_uri,
    public_words,
    redact,
    remember,
)


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
        "rtsp:/admin:secret@127.0.0.1:1/live",
        "admin:secret@127.0.0.1:1/live",
        "rtsp://admin:my secret@127.0.0.1:1/live",
        "rtsp://john.doe:123/secret@127.0.0.1:1/live",
        "rtsp://admin:a'b/secret@127.0.0.1:1/live",
        "rtsp://admin:x@secret/9@127.0.0.1:9/cam",
        "rtsp://admin:a?secret#x@cam.local/1",
        "rtsp://127.0.0.1:1/live?u=admin&p=secret",
        "rtsp://127.0.0.1:1/live?session=secret",
        "rtsp://127.0.0.1:1/live?pw%64=secret",
        "v4l2://admin:secret@x",
        "rtsps://192.168.1.1:7441/aB3secretXyZ09Qr7",
        "postgresql://me:secret@127.0.0.1:1/db",
        "sqlite:///study.db?timeout=5&password=secret",
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


def test_what_was_given_is_taken_out_of_any_words(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", set())
    remember("rtsp://admin:x@Hunter2abc/9@cam/1?key=Xyzzy99&channel=main")
    said = redact("Failed to resolve x@Hunter2abc: main; Hunter2abc, x%40Hunter2abc%2F9, Xyzzy99")
    assert "Hunter2" not in said
    assert "Xyzzy" not in said
    assert "Failed to resolve" in said
    assert "main" in said


def test_libraries_get_the_password_encoded_once():
    raw = "rtsp://ad min:x@y/z#%@cam.local:554/a@b?c=1"
    encoded = "rtsp://ad%20min:x%40y%2Fz%23%25@cam.local:554/a@b?c=1"
    assert encode_credentials(raw) == encoded
    assert encode_credentials(encoded) == encoded
    for plain in ("rtsp://cam/1", "rtsp://cam.local:554/a@b", "v.mp4", "rtsp://me:pw@cam/1"):
        assert encode_credentials(plain) == plain


def test_words_of_a_command():
    words = ["stream", "b", "rtsp://me:pw@cam/1", "--token", "abc", "--storage=mysql://a:b@h/d"]
    assert public_words([*words, "--token=abc", "--tokens"]) == [
        "stream", "b", "rtsp://cam/1", "--token", "***", "--storage=mysql://h/d", "--token=***",
        "--tokens",
    ]  # fmt: skip
