import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.files import sha256_file
from edgeseg.core.zoo import (
    CHECKPOINTS_FILE,
    DEFAULT,
    ZOO,
    default_bundle,
    find_bundle,
    find_checkpoint,
    zoo_checkpoint,
    zoo_checkpoints,
    zoo_names,
)
from edgeseg.core.zoo_fetch import fetch_checkpoints
from edgeseg.errors import BundleError, DataError, UsageError


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


def test_the_known_hash_of_every_checkpoint_is_its_own(regen: bool):
    # calibration/tools/publish.py writes the file; so does --regen.
    found = {
        path.parent.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(ZOO.glob("*/checkpoint.safetensors"))
    }
    if regen:
        (ZOO / CHECKPOINTS_FILE).write_text(json.dumps(found, indent=1) + "\n")
    assert zoo_checkpoints() == found


@pytest.fixture
def bare(zoo: Path) -> Path:
    """A zoo of which the checkpoints are known and not there."""
    data = b"weights"
    known = {"aaa": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    (zoo / CHECKPOINTS_FILE).write_text(json.dumps(known))
    return zoo


def clone_of(folder: Path, data: bytes = b"weights") -> Path:
    place = folder / "edgeseg" / "zoo" / "aaa" / "checkpoint.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    return folder


@pytest.mark.parametrize("kind", ["clone", "zoo", "file", "address", "wheel"])
def test_a_checkpoint_is_fetched_from_where_it_lies(bare: Path, tmp_path: Path, kind: str):
    clone = clone_of(tmp_path / "clone")
    inside = clone / "edgeseg" / "zoo"
    wheel = tmp_path / "edgeseg_zoo-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("edgeseg_zoo/aaa/checkpoint.safetensors", b"weights")
    source = {
        "clone": str(clone),
        "zoo": str(inside),
        "file": str(inside / "aaa" / "checkpoint.safetensors"),
        "address": inside.as_uri(),
        "wheel": wheel.as_uri(),
    }[kind]
    with pytest.raises(UsageError, match="edgeseg models aaa --fetch FROM"):
        find_checkpoint(Path("aaa"), bare)
    (found,) = fetch_checkpoints(source, ["aaa"], bare)
    assert found == ("aaa", bare / "aaa" / "checkpoint.safetensors")
    assert find_checkpoint(Path("aaa"), bare).read_bytes() == b"weights"


def test_another_checkpoint_or_none_is_refused_and_writes_nothing(bare: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"SHA-256 \w{12}…, expected"):
        list(fetch_checkpoints(str(clone_of(tmp_path / "other", b"else")), root=bare))
    with pytest.raises(DataError, match="cannot be read"):
        list(fetch_checkpoints(str(tmp_path / "nowhere"), root=bare))
    with pytest.raises(UsageError, match="no checkpoint of bbb"):
        list(fetch_checkpoints(str(tmp_path), ["bbb"], bare))
    assert zoo_checkpoint("aaa", bare) is None


@pytest.mark.parametrize("where", ["package", "clone"])
def test_an_install_without_checkpoints_finds_those_of_the_package_or_the_clone(
    bare: Path, tmp_path: Path, monkeypatch, where: str
):
    clone = clone_of(tmp_path / "clone")
    monkeypatch.setattr("edgeseg.core.zoo._clone", lambda: None)
    monkeypatch.setattr(f"edgeseg.core.zoo._{where}", lambda: clone / "edgeseg" / "zoo")
    assert zoo_checkpoint("aaa", bare) == clone / "edgeseg/zoo/aaa/checkpoint.safetensors"
    (clone / "edgeseg/zoo/aaa/checkpoint.safetensors").write_bytes(b"newer")
    assert zoo_checkpoint("aaa", bare) is None
