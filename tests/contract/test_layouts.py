"""One painted data set in every layout reads alike, pixel for pixel; half of one is told."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.formats.base import ReadOptions
from edgeseg.core.data.open import FORMATS, load_format, open_dataset, recognize
from edgeseg.errors import DataError
from tests.painted_layouts import LAYOUTS, SPLITS, labels

PAINTED = pytest.mark.parametrize("name", LAYOUTS)


def test_every_format_is_painted() -> None:
    assert {layout.format for layout in LAYOUTS.values()} | {"camvid"} == set(FORMATS.own)


@PAINTED
def test_it_is_recognized_and_reads_the_labels_that_were_painted(name: str, tmp_path: Path) -> None:
    layout, root = LAYOUTS[name], tmp_path / "my data"
    root.mkdir()
    layout.write(root)
    assert recognize(root)[0] == layout.format
    order = [one for names in SPLITS.values() for one in names]
    read = []
    for split, names in SPLITS.items():
        dataset = open_dataset(str(root), split)
        assert dataset.class_names == layout.names
        samples = [dataset[k] for k in range(len(dataset))]
        read += samples
        if not layout.held_back:
            assert len(samples) == len(names)
    assert len(read) == len(order)
    painted = {labels(one).tobytes(): one for one in order}
    found = []
    for sample in read:
        assert sample.labels is not None
        one = painted[np.ascontiguousarray(sample.labels).tobytes()]
        assert (sample.rgb[..., 0] == 80 * labels(one) + len(one)).all()
        found.append(one)
    assert sorted(found) == sorted(order)


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, layout in LAYOUTS.items() for part in layout.lost]
)
def test_a_half_written_export_is_told_in_one_line(name: str, part: str, tmp_path: Path) -> None:
    LAYOUTS[name].write(tmp_path)
    lost = tmp_path / part
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(DataError) as caught:
        open_dataset(str(tmp_path), "train")
    said = str(caught.value)
    assert "\n" not in said
    assert str(tmp_path) in said
    assert Path(part).stem in said or "labelmap.txt" in said
    assert any(
        word in said for word in ("expected", "--unlabelled", "copy", "export", "needs", "write")
    )


@PAINTED
def test_a_file_that_is_cut_off_is_named_or_harmless(name: str, tmp_path: Path) -> None:
    LAYOUTS[name].write(tmp_path)
    kinds = {path.suffix: path for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    for path in kinds.values():
        whole = path.read_bytes()
        for kept in (whole[: len(whole) // 2], b""):
            path.write_bytes(kept)
            said = what_is_said(tmp_path)
            assert said is None or str(tmp_path) in said
            assert "\n" not in (said or "")
        path.write_bytes(whole)


def what_is_said(root: Path) -> str | None:
    """What is wrong with the training data; None where every sample can be read."""
    try:
        dataset = open_dataset(str(root), "train")
        assert all(dataset[index].labels is not None for index in range(len(dataset)))
    except DataError as error:
        return str(error)
    return None


@PAINTED
def test_a_users_classes_go_before_those_of_the_layout(name: str, tmp_path: Path) -> None:
    LAYOUTS[name].write(tmp_path)
    own = tmp_path / "mine.txt"
    own.write_text(LAYOUTS[name].own)
    dataset = open_dataset(str(tmp_path), "train", options=ReadOptions(classes=own))
    assert dataset.class_names == ("background", "person")
    wanted = {
        np.choose(labels(one), (0, dataset.ignore_index, 1)).astype(np.uint8).tobytes()
        for names in SPLITS.values()
        for one in names
    }
    for index in range(len(dataset)):
        found = dataset[index].labels
        assert found is not None
        assert np.ascontiguousarray(found).tobytes() in wanted


@PAINTED
def test_a_picture_without_labels_is_refused_left_out_or_background(
    name: str, tmp_path: Path
) -> None:
    LAYOUTS[name].write(tmp_path)
    before = len(open_dataset(str(tmp_path), "train"))
    LAYOUTS[name].unlabel(tmp_path)
    with pytest.raises(DataError, match=r"--unlabelled skip, or .* --unlabelled background"):
        open_dataset(str(tmp_path), "train")
    without, blank = (
        open_dataset(str(tmp_path), "train", options=ReadOptions(unlabelled=asked))
        for asked in ("skip", "background")
    )
    assert (len(without), len(blank)) == (before - 1, before)
    plain = [k for k in range(before) if not np.any(blank[k].labels)]
    assert len(plain) == 1


@PAINTED
def test_its_fingerprint_changes_with_a_label(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    layout.write(tmp_path / "a")
    layout.write(tmp_path / "b")
    one, same = (open_dataset(str(tmp_path / key), "train") for key in "ab")
    assert one.fingerprint() == same.fingerprint()
    assert one.fingerprint([0]) != one.fingerprint([1])


def test_the_document_has_each_format_and_its_tree() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    for name in FORMATS.own:
        assert f"## `{name}`: " in text
        assert load_format(name).tree in text
    assert text.count("\n## `") == len(FORMATS.own)
