"""Names from files, made safe."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.core.spec import ModelSpec
from edgeseg.core.text.names import component, is_plain, markdown_cell, printable, prometheus
from edgeseg.errors import BundleError, SpecError

HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07", "a\nb", "a\r\nb", "\x9b31m", "safe\u202egnp.exe", "a\u200bb",
    "\u2028line", "\ud800",
)  # fmt: skip


@given(st.text())
def test_nothing_steers_a_terminal(text):
    shown = printable(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert printable(shown) == shown


@given(st.text())
def test_a_component_stays_where_it_is(text):
    name = component(text)
    assert len(PurePosixPath(name).parts) == 1
    assert name not in (".", "..", "")
    assert not name.startswith(".")


@given(st.text())
def test_xml_can_hold_it(text):
    element = ElementTree.Element("a", name=printable(text))
    element.text = printable(text)
    found = ElementTree.fromstring(ElementTree.tostring(element, encoding="unicode"))
    assert (found.get("name"), found.text or "") == (printable(text), printable(text))


@given(st.text())
def test_a_label_of_prometheus_ends_where_it_should(text):
    label = prometheus(text)
    assert "\n" not in label
    assert not re.search(r'(?<!\\)(?:\\\\)*"', label)


def test_markdown_has_no_mark_up_of_the_name():
    text = markdown_cell("m|x\n### pass\n<img src=x> [a](b) `c`")
    assert "\n" not in text
    assert "<" not in text
    for mark in "|#[`":
        assert re.search(rf"\\{re.escape(mark)}", text)


@pytest.mark.parametrize("name", HOSTILE)
def test_such_a_name_does_not_come_in(name):
    assert not is_plain(name)
    with pytest.raises(SpecError, match="class name"):
        ModelSpec("tiny", class_names=(name, "b"), palette=((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("name", ["Straße", "車", "café au lait", "a|b", "naïve\u0301"])
def test_names_of_every_language_do(name):
    assert is_plain(name)
    assert printable(name) == name


def test_a_bundle_of_such_a_name_is_refused_in_plain_text(tmp_path):
    import json

    from tinybundle import tiny_bundle

    from edgeseg.core.bundle import read_bundle

    path = tiny_bundle(tmp_path / "b").path / "manifest.json"
    manifest = json.loads(path.read_text())
    for key in ("name", "format", "precision"):
        path.write_text(json.dumps({**manifest, key: "\x1b[31mevil"}))
        with pytest.raises(BundleError) as caught:
            read_bundle(path.parent)
        assert "evil" in printable(str(caught.value))
        assert "\x1b" not in printable(str(caught.value))
