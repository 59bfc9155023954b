import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest

from edgeseg.core.charts import (
    HEIGHT,
    Point,
    bar_chart,
    line_chart,
    scatter_chart,
    standalone,
    ticks,
)


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 0.03), (0.42, 0.47), (0, 987), (5, 5), (0, 1e-4)]
)
def test_ticks_are_even_and_enclose_the_data(low, high):
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    gaps = {round(b - a, 9) for a, b in itertools.pairwise(found)}
    assert len(gaps) == 1
    assert 2 <= len(found) <= 8


def test_lines_keep_the_order_of_their_values():
    svg = line_chart([("loss", [(1, 3.0), (2, 1.0)]), ("a<b", [(1, 0.2), (2, 0.9)])], "epoch", "")
    lines = [line.get("points").split() for line in elements(svg, "polyline")]
    heights = [[float(pair.split(",")[1]) for pair in line] for line in lines]
    assert heights[0][0] < heights[0][1]  # a falling loss falls: y grows downwards
    assert heights[1][0] > heights[1][1]
    assert "a&lt;b" in svg
    drawing = ElementTree.fromstring(svg)
    names = [text for text in drawing.iter("text") if "key" in text.get("class")]
    height = float(drawing.get("viewBox").split()[3])
    assert all(HEIGHT <= float(text.get("y")) < height for text in names), "a name covers a line"


def test_a_line_of_one_point_is_a_dot_over_whole_epochs():
    svg = line_chart([("mIoU", [(1, 0.4)]), ("loss", [(1, 0.2), (2, 0.1)])], "epoch", "")
    (dot,) = elements(svg, "circle")
    assert 0 < float(dot.get("cx")) < 640
    alone = line_chart([("mIoU", [(1, 0.4)])], "epoch", "")
    below = [t.text for t in ElementTree.fromstring(alone).iter() if t.get("class") == "tick"]
    # Heights first; they may have decimals, epochs may not.
    assert below[-2:] == ["0", "1"]
    assert "0.2" not in below[-3:]


def test_bars_are_as_long_as_their_values():
    svg = bar_chart([("x", 10.0, "fp32"), ("y", 5.0, "int8")], "ms")
    long, short = (float(bar.get("width")) for bar in elements(svg, "rect"))
    assert long == pytest.approx(2 * short, rel=0.01)
    assert "5.0 ms" in svg


def test_a_scatter_joins_only_the_front():
    points = [
        Point(10, 0.6, "slow good", "a", True),
        Point(5, 0.5, "fast", "b", True),
        Point(12, 0.4, "beaten", "a", False),
    ]
    svg = scatter_chart(points, "ms", "mIoU")
    assert len(elements(svg, "circle")) == 3
    (front,) = elements(svg, "polyline")
    assert len(front.get("points").split()) == 2
    assert len(re.findall(r'class="s\d ring"', svg)) == 1


def test_names_of_neighbours_do_not_cover_each_other():
    points = [Point(10 + i / 100, 0.5, f"a name like any other {i}", "a", True) for i in range(5)]
    points.append(Point(11, 0.6, "far", "a", True))
    texts = [e for e in elements(scatter_chart(points, "", ""), "text") if e.get("class") == "name"]
    places = [(float(text.get("x")), float(text.get("y"))) for text in texts]
    near = [
        (a, b) for a, b in itertools.combinations(places, 2)
        if abs(a[0] - b[0]) < 100 and abs(a[1] - b[1]) < 13
    ]  # fmt: skip
    assert not near


def test_a_name_covers_no_circle():
    # Large circles close together, as of rows with much memory.
    points = [Point(10 + i, 0.5 + i / 500, f"a long name {i}", "a", True, 1.0) for i in range(4)]
    drawing = scatter_chart(points, "", "")
    circles = [
        tuple(float(c.get(k)) for k in ("cx", "cy", "r")) for c in elements(drawing, "circle")
    ]
    for text in elements(drawing, "text"):
        if text.get("class") != "name":
            continue
        left, base = float(text.get("x")), float(text.get("y"))
        right = left + 6.6 * len(text.text)
        for x, y, r in circles:
            apart = x + r <= left or x - r >= right or y + r <= base - 11 or y - r >= base + 3
            assert apart, text.text


def test_nothing_gives_nothing():
    assert line_chart([], "x", "y") == scatter_chart([], "x", "y") == bar_chart([], "ms") == ""


def test_a_drawing_that_stands_alone_has_its_style_and_its_parts_below_each_other():
    charts = [line_chart([(name, [(1, 3.0), (2, 1.0)])], "epoch", "") for name in ("a", "b")]
    root = ElementTree.fromstring(standalone(charts))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    first, second = root.findall(f"{space}svg")
    assert float(second.get("y")) == float(first.get("height")) >= HEIGHT
    assert float(root.get("viewBox").split()[-1]) == 2 * float(second.get("y"))
    assert "prefers-color-scheme: dark" in root.find(f"{space}style").text
    assert len(list(root.iter(f"{space}polyline"))) == 2
