"""One painted data set in every layout reads alike, pixel for pixel; half of one is told."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.open import FORMATS, load_format, open_dataset, recognise
from edgeseg.errors import DataError
from tests.painted_layouts import LAYOUTS, SPLITS, labels

PAINTED = pytest.mark.parametrize("name", LAYOUTS)


def test_every_format_is_painted() -> None:
    assert {layout.format for layout in LAYOUTS.values()} | {"camvid"} == set(FORMATS.own)


@PAINTED
def test_it_is_recognised_and_reads_the_labels_that_were_painted(name: str, tmp_path: Path) -> None:
    layout, root = LAYOUTS[name], tmp_path / "my data"
    root.mkdir()
    layout.write(root)
    assert recognise(root)[0] == layout.format
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


@PAINTED
def test_a_half_written_export_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    layout.write(tmp_path)
    lost = tmp_path / layout.lost
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(DataError) as caught:
        open_dataset(str(tmp_path), "train")
    said = str(caught.value)
    assert "\n" not in said
    assert str(tmp_path) in said
    stem = Path(layout.lost).stem
    assert stem in said or "labelmap.txt" in said
    assert any(
        word in said for word in ("expected", "--unlabelled", "copy", "export", "needs", "write")
    )


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
