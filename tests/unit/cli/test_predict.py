"""`edgeseg predict`: files, folders, damaged pictures."""

import json

import cv2
import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.core.images.io import write_png
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_PALETTE

pytest.importorskip("onnxruntime")


def picture(path, label, size_hw=(40, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.full((*size_hw, 3), CAMVID_PALETTE[label], np.uint8))


def test_one_picture_gives_one_file(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "road.png", 3)
    out = tmp_path / "new" / "labels.png"
    words = ["predict", str(colour_bundle.path), str(tmp_path / "road.png"), "-o", str(out)]
    assert run([*words, "--as", "labels"]) == 0
    assert (cv2.imread(str(out), -1) == 3).all()
    assert f"{CAMVID_CLASSES[3]} 100.0%" in capsys.readouterr().out


def test_a_folder_keeps_its_folders_and_junk_is_left(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "in" / "a.png", 1)
    picture(tmp_path / "in" / "deeper" / "b.png", 2)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    out = tmp_path / "out"
    words = ["predict", str(colour_bundle.path), str(tmp_path / "in"), "-o", str(out), "--json"]
    assert run(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == [
        "a.png",
        "deeper/b.png",
    ]
    shares = [row["shares"] for row in document["pictures"]]
    assert shares[0][CAMVID_CLASSES[1]] == shares[1][CAMVID_CLASSES[2]] == 1


def test_a_damaged_picture_is_named_and_the_rest_is_done(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "in" / "b.png", 1)
    (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    out = tmp_path / "out"
    assert run(["predict", str(colour_bundle.path), str(tmp_path / "in"), "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert "a.png: not an image" in said.err
    assert "1 of 2 pictures could not be read" in said.err
    assert (out / "b.png").is_file()


def test_pictures_that_would_meet_are_refused_before_anything_runs(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "x" / "a.png", 1)
    picture(tmp_path / "y" / "a.png", 1)
    folders = [str(tmp_path / "x"), str(tmp_path / "y")]
    out = tmp_path / "out"
    assert run(["predict", str(colour_bundle.path), *folders, "-o", str(out)]) == 2
    assert "would both be written" in capsys.readouterr().err
    assert not out.exists()
    again = [str(tmp_path / "x" / "a.png"), "-o", str(tmp_path / "x" / "a.png")]
    assert run(["predict", str(colour_bundle.path), *again]) == 2
    assert "would be overwritten" in capsys.readouterr().err


def test_equal_names_keep_their_endings_and_earlier_outputs_are_no_pictures(
    colour_bundle, tmp_path, capsys
):
    picture(tmp_path / "in" / "a.png", 1)
    picture(tmp_path / "in" / "a.bmp", 1)
    out = tmp_path / "in" / "out"
    for _ in range(2):
        words = ["predict", str(colour_bundle.path), str(tmp_path / "in"), "-o", str(out)]
        assert run(words) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.bmp.png", "a.png.png"]


def odd_pictures(folder) -> dict[str, tuple[int, int]]:
    """Pictures as cameras, phones, printers and scanners make them, and their upright size."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    rgb = np.full((40, 60, 3), CAMVID_PALETTE[3], np.uint8)
    plain = image.fromarray(rgb)
    exif = image.Exif()
    exif[0x0112] = 6
    plain.save(folder / "turned.jpg", exif=exif)
    plain.convert("L").save(folder / "grey.png")
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    plain.convert("RGBA").save(folder / "alpha.png")
    plain.quantize(8).save(folder / "palette.png")
    plain.crop((0, 0, 1, 1)).save(folder / "one.png")
    deep = np.full((40, 60), 3000, np.uint16)
    image.fromarray(deep).save(folder / "deep.png")
    found = dict.fromkeys(("grey", "cmyk", "alpha", "palette", "deep"), (40, 60))
    return {**found, "turned": (60, 40), "one": (1, 1)}


def test_pictures_of_every_kind_are_labelled_and_cut_ones_named(colour_bundle, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    sizes = odd_pictures(folder)
    whole = (folder / "cmyk.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "empty.png").write_bytes(b"")
    words = ["predict", str(colour_bundle.path), str(folder), "-o", str(tmp_path / "out")]
    assert run([*words, "--json", "--legend", "--palette", "readable"]) == 1
    said = capsys.readouterr()
    rows = json.loads(said.out)["pictures"]
    assert {row["source"].split("/")[-1].split(".")[0]: (row["height"], row["width"])
            for row in rows} == sizes  # fmt: skip
    for row in rows:
        assert cv2.imread(row["written"]).shape[:2] == (row["height"], row["width"])
    assert "cut.jpg: not an image that OpenCV can read, though it begins as a JPEG" in said.err
    assert "empty.png: not an image" in said.err
    assert "2 of 9 pictures could not be read" in said.err


def test_a_mask_shows_colours_and_holds_labels(colour_bundle, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    picture(tmp_path / "road.png", 3)
    out = tmp_path / "mask.png"
    words = ["predict", str(colour_bundle.path), str(tmp_path / "road.png"), "-o", str(out)]
    assert run([*words, "--as", "mask"]) == 0
    with image.open(out) as found:
        assert (np.asarray(found) == 3).all()
        assert tuple(found.convert("RGB").getpixel((0, 0))) == CAMVID_PALETTE[3]
