"""output_checks: places where nothing could be written, or where something would be lost."""

import pytest

from edgeseg.core.output_checks import check_bundle, check_file, check_files, check_folder
from edgeseg.errors import BundleError, UsageError


def test_a_free_place_is_fine_and_nothing_is_made(tmp_path):
    check_file("--csv", tmp_path / "new" / "a.csv", "a.csv")
    check_file("--csv", None, "a.csv")
    check_folder("-o", tmp_path / "run")
    check_bundle("-o", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--csv .* is a folder; give the file .*a\.csv"):
        check_file("--csv", tmp_path, "a.csv")
    with pytest.raises(UsageError, match="is a file, expected a folder; give another -o"):
        check_folder("-o", tmp_path / "file" / "run")
    with pytest.raises(BundleError, match="not a bundle"):
        check_bundle("-o", tmp_path)


def test_what_is_read_is_not_written_over(tmp_path):
    read = tmp_path / "net.safetensors"
    read.touch()
    with pytest.raises(UsageError, match="would be written over"):
        check_file("--csv", read, "a.csv", (None, "synthetic", read))


def test_two_options_need_two_places(tmp_path):
    place = tmp_path / "a"
    with pytest.raises(UsageError, match=r"--html .* is the file of --csv too"):
        check_files([("--csv", place, "a.csv"), ("--html", place, "a.html")])
