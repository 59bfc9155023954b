import xml.etree.ElementTree as ElementTree

import pytest

from edgeseg.cli.pages.bench_charts import distribution_chart, grouped_bars, stacked_bars


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))


def test_a_slower_rows_hill_stands_further_right():
    svg = distribution_chart([("fast", 0, [5.0, 5.1, 5.2]), ("slow", 1, [9.0, 9.1, 20.0])], "ms")
    marks = [float(line.get("x1")) for line in elements(svg, "line") if "mark" in line.get("class")]
    assert marks[0] < marks[1]
    assert len(elements(svg, "polygon")) == 2


def test_grouped_bars_are_as_long_as_their_values_and_leave_unknown_ones_out():
    svg = grouped_bars(["Road", "Pole"], [("a", [0.8, 0.4]), ("b", [0.2, None])], "IoU")
    widths = [float(bar.get("width")) for bar in elements(svg, "rect")]
    assert len(widths) == 3
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)
    assert widths[0] == pytest.approx(2 * widths[2], rel=0.01)


def test_stages_stand_side_by_side():
    svg = stacked_bars([("row", {"infer": 3.0, "preprocess": 1.0})], ("preprocess", "infer"), "ms")
    first, second = elements(svg, "rect")
    end = float(first.get("x")) + float(first.get("width"))
    assert end == pytest.approx(float(second.get("x")), abs=0.2)
    assert "4.0 ms" in svg


def test_a_long_name_is_folded_inside_the_drawing():
    name = "deeplabv3plus-mobilenetv2-camvid <int8> onnxruntime"
    svg = stacked_bars([(name, {"infer": 3.0})], ("infer",), "ms")
    texts = [text.text for text in elements(svg, "text") if text.get("class") == "name"]
    assert len(texts) > 1
    assert "".join(texts).replace(" ", "") == name.replace(" ", "")
    assert max(map(len, texts)) * 6.6 < 210
    layer = "backbone.low_level.1.0.body.1.0/Conv"
    svg = stacked_bars([(layer, {"infer": 3.0})], ("infer",), "ms")
    texts = [text.text for text in elements(svg, "text") if text.get("class") == "name"]
    assert "".join(texts) == layer
    assert max(map(len, texts)) * 6.6 < 210


def test_nothing_gives_nothing():
    assert (
        distribution_chart([], "ms") == grouped_bars([], [], "x") == stacked_bars([], (), "") == ""
    )
