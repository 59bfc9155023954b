"""Whether a package is installed."""

import sys

from edgeseg.core.packages import is_installed


def test_what_can_be_imported_is_installed_and_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "some_runtime").mkdir()
    (tmp_path / "some_runtime" / "__init__.py").write_text("raise SystemExit('no driver')\n")
    (tmp_path / "only_a_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert is_installed("some_runtime")
    assert "some_runtime" not in sys.modules
    assert not is_installed("only_a_folder")
    assert not is_installed("no_such_package")
    assert not is_installed("no_such_package.part")
