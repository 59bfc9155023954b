import base64

import cv2
import numpy as np
import pytest

from edgeseg.cli.pages.html import markup, picture, write_page


def test_a_picture_survives_as_a_data_uri():
    rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    head, _, body = picture(rgb).partition(",")
    assert head == "data:image/png;base64"
    data = np.frombuffer(base64.b64decode(body), np.uint8)
    assert np.array_equal(
        cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), rgb
    )


def context() -> dict:
    return {
        "version": "0",
        "columns": ("run", "mIoU"),
        "rows": [("a & b", None)],
        "seconds": 1.0,
        "pictures": [[("frame <0>", "data:,")]],
        "classes": [],
        "frames": 2,
        "size": "4x6",
        "memory_method": "none",
        "bars": markup("<svg></svg>"),
        "curve": markup("<svg></svg>"),
        "train_text": "2 epochs <of> data",
        "machine": "this",
        "seen": [("frame", "data:,")],
        "shipped": [("net", "0.5")],
        "shipped_frames": 2,
        "video": "shipped.mp4",
    }


def test_a_photo_is_a_jpeg_and_close_to_the_picture():
    rgb = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    head, _, body = picture(rgb, photo=True).partition(",")
    assert head == "data:image/jpeg;base64"
    found = cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(found[..., ::-1].astype(int) - rgb).max() < 12


def test_text_is_escaped_and_charts_are_not(tmp_path):
    write_page(tmp_path / "sub" / "page.html", "demo.html", **context())
    html = (tmp_path / "sub" / "page.html").read_text()
    assert "2 epochs &lt;of&gt; data" in html
    assert "a &amp; b" in html
    assert "<svg></svg>" in html
    assert "<td>-</td>" in html


def test_a_page_asks_nothing_of_the_network(tmp_path):
    write_page(tmp_path / "page.html", "demo.html", **context())
    html = (tmp_path / "page.html").read_text()
    assert "http" not in html
    assert "prefers-color-scheme: dark" in html


def test_a_forgotten_value_is_an_error_and_leaves_no_page(tmp_path):
    given = context()
    del given["rows"]
    with pytest.raises(Exception, match="rows"):
        write_page(tmp_path / "page.html", "demo.html", **given)
    assert not (tmp_path / "page.html").exists()
