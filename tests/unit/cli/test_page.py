import base64

import cv2
import numpy as np
import pytest

from edgeseg.cli.page import markup, picture, write_page


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
        "intro": "2 rows <of> data",
        "scatter": markup("<svg></svg>"),
        "columns": ("row", "mIoU"),
        "rows": [("a & b", None)],
        "ratio_columns": ("a", "b", "c", "d"),
        "ratios": [("a", "b", "1.0", "+0.1")],
        "memory_method": "none",
        "machine": "this",
    }


def test_text_is_escaped_and_charts_are_not(tmp_path):
    write_page(tmp_path / "sub" / "page.html", "bench.html", **context())
    html = (tmp_path / "sub" / "page.html").read_text()
    assert "2 rows &lt;of&gt; data" in html
    assert "a &amp; b" in html
    assert "<svg></svg>" in html
    assert "<td>-</td>" in html


def test_a_page_asks_nothing_of_the_network(tmp_path):
    write_page(tmp_path / "page.html", "bench.html", **context())
    html = (tmp_path / "page.html").read_text()
    assert "http" not in html
    assert "prefers-color-scheme: dark" in html


def test_a_forgotten_value_is_an_error_and_leaves_no_page(tmp_path):
    given = context()
    del given["rows"]
    with pytest.raises(Exception, match="rows"):
        write_page(tmp_path / "page.html", "bench.html", **given)
    assert not (tmp_path / "page.html").exists()
