import shutil
from pathlib import Path

import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.zoo import DEFAULT, default_bundle, find_bundle, zoo_checkpoint, zoo_names
from edgeseg.errors import BundleError, UsageError


@pytest.fixture
def zoo(tmp_path: Path, colour_bundle: Bundle) -> Path:
    for name in ("aaa", DEFAULT, "zebra"):
        shutil.copytree(colour_bundle.path, tmp_path / name)
    (tmp_path / "not-a-bundle").mkdir()
    return tmp_path


def test_names_list_bundles_with_the_default_first(zoo: Path):
    assert zoo_names(zoo) == [DEFAULT, "aaa", "zebra"]


def test_a_bundle_is_found_by_name_and_by_path(zoo: Path):
    assert find_bundle("zebra", zoo).path == zoo / "zebra"
    assert find_bundle(str(zoo / "aaa"), Path("nowhere")).path == zoo / "aaa"
    assert default_bundle(zoo).path == zoo / DEFAULT


def test_a_bundle_given_by_its_folder_is_called_by_it(zoo: Path, monkeypatch):
    assert find_bundle(str(zoo / "aaa"), Path("nowhere")).name == "aaa"
    (zoo / "link").symlink_to(zoo / "zebra")
    monkeypatch.chdir(zoo / "aaa")
    assert [find_bundle(given).name for given in (".", "../zebra/", "../link")] == [
        "aaa",
        "zebra",
        "zebra",
    ]


def test_an_unknown_name_offers_the_nearest(zoo: Path):
    with pytest.raises(UsageError, match="'zebro'; did you mean 'zebra'"):
        find_bundle("zebro", zoo)


def test_a_missing_path_says_so(zoo: Path, tmp_path: Path):
    with pytest.raises(BundleError, match="does not exist"):
        find_bundle(str(tmp_path / "gone" / "zebra"), zoo)


def test_an_empty_zoo_has_no_default(tmp_path: Path):
    with pytest.raises(BundleError, match="give a bundle folder"):
        default_bundle(tmp_path / "empty")


def test_a_checkpoint_is_found_beside_its_bundle(zoo: Path):
    assert zoo_checkpoint("aaa", zoo) is None
    (zoo / "aaa" / "checkpoint.safetensors").write_bytes(b"")
    assert zoo_checkpoint("aaa", zoo) == zoo / "aaa" / "checkpoint.safetensors"
