"""Addresses from a variable or a file."""

import pytest

from edgeseg.cli.common.given import resolved
from edgeseg.core.text.redact import redact
from edgeseg.errors import UsageError


def test_an_address_comes_from_a_variable_a_file_or_the_words(tmp_path, monkeypatch):
    monkeypatch.setenv("CAM", " rtsp://me:pw-of-cam@cam/1 ")
    assert resolved("env:CAM") == "rtsp://me:pw-of-cam@cam/1"
    (tmp_path / "cam.txt").write_text("# front door\n\nrtsp://me:pw-of-door@cam/2\n")
    assert resolved(f"@{tmp_path}/cam.txt") == "rtsp://me:pw-of-door@cam/2"
    assert resolved("rtsp://cam/3") == "rtsp://cam/3"
    assert redact("pw-of-cam and pw-of-door") == "*** and ***"


def test_nothing_there_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("CAM", raising=False)
    (tmp_path / "empty").write_text("# nothing\n")
    for word, said in (
        ("env:CAM", "the variable CAM is not set"),
        (f"@{tmp_path}/none", "cannot be read"),
        (f"@{tmp_path}/empty", "is empty"),
    ):
        with pytest.raises(UsageError, match=said):
            resolved(word)
