"""Names that come from folders and files: no verb lets them steer a terminal or forge a page.

One bundle, one data set and one report with hostile names go through every verb that shows names.
"""

import html.parser
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest
from tinybundle import SIZE_HW, graph, random_frame

from edgeseg.cli import run
from edgeseg.core.bundle import Golden, write_bundle
from edgeseg.core.spec import ModelSpec

# OSC 52 (writes the clipboard), a bidirectional override, a heading, a table's bar, an element.
HOSTILE = "m\x1b]52;c;ZXZpbA==\x07\u202e\n### forged pass|<img src=x onerror=alert(1)>"
# A class must be one plain line; mark-up is plain.
CLASSES = ("<img onerror>", "a|b", "c`d`")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A bundle and a data set, every name of theirs hostile."""
    root = tmp_path_factory.mktemp("names")
    spec = ModelSpec(
        "tiny",
        class_names=CLASSES,
        palette=((255, 0, 0), (0, 255, 0), (0, 0, 255)),
        ignore_index=255,
        size_hw=SIZE_HW,
    )
    frame = random_frame()
    write_bundle(
        root / HOSTILE,
        graph(int8=True).SerializeToString(),
        Golden(frame[None], frame.argmax(-1).astype(np.uint8)[None]),
        name="tiny",
        spec=spec,
        precision="int8",
        opset=18,
    )
    data = root / f"data {HOSTILE}"
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (data / kind / split).mkdir(parents=True)
        for index in range(3):
            rgb = random_frame(index)
            name = f"{index} {HOSTILE}.png"
            # OpenCV opens such names; it writes them too.
            assert cv2.imwrite(str(data / "images" / split / name), rgb[..., ::-1])
            assert cv2.imwrite(str(data / "masks" / split / name), rgb.argmax(-1).astype(np.uint8))
    (data / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


class Tags(html.parser.HTMLParser):
    """Collects what a page would run or load by name."""

    def __init__(self) -> None:
        super().__init__()
        self.forged: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("src") == "x" or "onerror" in given:
            self.forged.append(f"<{tag} {given}>")


def plain(text: str) -> bool:
    return not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def check(path: Path) -> None:
    """Look at one written file as its reader does."""
    if path.suffix in (".png", ".npz", ".onnx", ".mp4", ".jpg"):
        return
    text = path.read_text(encoding="utf8")
    if path.suffix == ".json":
        json.loads(text)
    assert plain(text), f"{path.name} steers a terminal"
    if path.suffix in (".html", ".svg"):
        tags = Tags()
        tags.feed(text)
        assert not tags.forged, (path.name, tags.forged)
    if path.suffix == ".md":
        assert not re.search("^ *### forged", text, re.MULTILINE), path.name
        assert "<img" not in text, path.name
        tables = [line for line in text.splitlines() if line.startswith("|")]
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
        assert len(bars) <= 1, (path.name, bars)
    if path.suffix == ".xml":
        ElementTree.fromstring(text)


VERBS = {
    "lint": ["lint", "{bundle}"],
    "lint layers": ["lint", "{bundle}", "--layers"],
    "verify": ["verify", "{bundle}", "--backend", "onnxruntime"],
    "eval": [
        "eval", "{bundle}", "--data", "{data}", "--backend", "onnxruntime", "--save-errors", "2",
        "--confusion", "{out}/c.png", "-o", "{out}/errors",
    ],
    "eval json": ["eval", "{bundle}", "--data", "{data}", "--backend", "onnxruntime", "--json"],
    "data": ["data", "{data}", "--html", "{out}/data.html"],
    "data written": ["data", "{data}", "-o", "{out}/plain", "--html", "{out}/data.html"],
    "bench": [
        "bench", "{bundle}", "--data", "{data}", "--backend", "onnxruntime", "--rounds", "2",
        "--html", "{out}/bench.html", "--markdown", "{out}/bench.md", "--csv", "{out}/bench.csv",
        "-o", "{out}/bench.json", "--export-times", "{out}/times.csv",
    ],
    "predict": ["predict", "{bundle}", "{data}/images/val", "-o", "{out}/shown", "--json"],
    "stream": [
        "stream", "{bundle}", "{data}/images/val", "--backend", "onnxruntime",
        "-o", "{out}/stream.json",
    ],
    "stream json": [
        "stream", "{bundle}", "{data}/images/val", "--backend", "onnxruntime", "--json",
    ],
    "doctor": ["doctor"],
    "a bundle that is missing": ["verify", "{bundle}x"],
    "data that is missing": ["eval", "{bundle}", "--data", "{data}x"],
    "a checkpoint that is none": ["export", "--int8", "{data}/classes.txt"],
    "a class that is missing": ["eval", "{bundle}", "--data", "{data}", "--classes", "{data}"],
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_no_name_gets_raw_into_terminal_or_page(verb, place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        word.format(bundle=place / HOSTILE, data=place / f"data {HOSTILE}", out=tmp_path)
        for word in VERBS[verb]
    ]
    code = run(words)
    said = capsys.readouterr()
    # The graph is no network of ours: lint has something to say.
    assert code == (1 if verb.startswith(("a ", "data that", "lint")) else 0), said.err
    for stream in said:
        assert plain(stream), repr(stream)
        assert not re.search("^### forged", stream, re.MULTILINE)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            check(path)


def test_the_pages_of_a_gate(place, tmp_path, capsys):
    bundle, data = place / HOSTILE, place / f"data {HOSTILE}"
    report = tmp_path / f"r {HOSTILE}.json"
    words = ["bench", bundle, "--data", data, "--backend", "onnxruntime", "--rounds", "2"]
    assert run([*map(str, words), "-o", str(report)]) == 0
    document = json.loads(report.read_text())
    for row in document["rows"]:
        row["run"]["name"] = HOSTILE
        row["run"]["backend"] = HOSTILE
    report.write_text(json.dumps(document))
    capsys.readouterr()
    gate = ["gate", report, "--baseline", report, "--markdown", "m.md", "--junit", "j.xml"]
    gate += ["--history", "h.jsonl", "--trend", "t.html", "-v"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        code = run([str(word) for word in gate])
    said = capsys.readouterr()
    assert code in (0, 1, 4), said.err
    for stream in said:
        assert plain(stream), repr(stream)
    for name in ("m.md", "j.xml", "h.jsonl", "t.html"):
        check(tmp_path / name)


def test_the_check_finds_a_raw_name(tmp_path):
    for name in ("a.html", "a.md", "a.csv"):
        (tmp_path / name).write_text(HOSTILE)
        with pytest.raises(AssertionError):
            check(tmp_path / name)
    (tmp_path / "a.xml").write_text("<a>\x1b</a>")
    with pytest.raises((AssertionError, ElementTree.ParseError)):
        check(tmp_path / "a.xml")
