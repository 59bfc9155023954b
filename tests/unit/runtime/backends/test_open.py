import importlib.util

import numpy as np
import pytest
from entry_points import install
from tinybundle import tiny_bundle

from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.runtime.backends.open import (
    BACKENDS,
    missing_package,
    open_backend,
    why_unavailable,
)
from edgeseg.runtime.doctor.checks import examine


@pytest.fixture
def bundle(tmp_path):
    return tiny_bundle(tmp_path / "tiny")


def test_an_unknown_name_is_answered_with_the_nearest(bundle):
    with pytest.raises(UsageError, match="did you mean 'onnxruntime'"):
        open_backend("onnxruntme", bundle)


def test_an_unknown_option_is_answered_with_the_nearest(bundle):
    pytest.importorskip("onnxruntime")
    with pytest.raises(UsageError, match="did you mean 'threads'"):
        open_backend("onnxruntime", bundle, thread=1)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_package_names_the_pip_extra_and_exits_5(bundle, name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    extra = name.replace("_", "-")
    with pytest.raises(BackendUnavailable, match=rf"pip install 'edgeseg\[{extra}\]'") as caught:
        open_backend(name, bundle)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


BROKEN = """
from edgeseg.runtime.backends import Backend

class Mine(Backend):
    packages = ("numpy",)

    def __init__(self, bundle, *, threads=None):
        import users_runtime

    def infer(self, frames):
        return frames[..., 0]

    def close(self):
        pass
"""


def test_a_package_that_cannot_be_imported_is_said_so(bundle, tmp_path, monkeypatch):
    (tmp_path / "users_broken.py").write_text(BROKEN)
    install(monkeypatch, tmp_path, BACKENDS, "mine", "users_broken:Mine")
    with pytest.raises(BackendUnavailable, match="installed but cannot be imported") as caught:
        open_backend("mine", bundle)
    assert "pip install --force-reinstall users_runtime" in str(caught.value)


def test_an_installed_package_adds_a_backend(bundle, tmp_path, monkeypatch):
    module = BROKEN.replace("import users_runtime", "self.io = threads")
    (tmp_path / "users_backend.py").write_text(module)
    install(monkeypatch, tmp_path, BACKENDS, "mine", "users_backend:Mine")
    assert list(BACKENDS)[-1] == "mine"
    assert why_unavailable("mine") is None
    with open_backend("mine", bundle, threads=3) as backend:
        assert backend.io == 3
        assert backend.infer(np.full((1, 2, 2, 3), 7, np.uint8)).tolist() == [[[7, 7], [7, 7]]]
    with pytest.raises(UsageError, match="did you mean 'threads'"):
        open_backend("mine", bundle, thread=3)
    (found,) = [finding for finding in examine() if finding.name == "runtime mine"]
    assert found.status == "ok"


def test_a_users_backend_names_its_own_package_as_the_cure(bundle, tmp_path, monkeypatch):
    (tmp_path / "users_lacking.py").write_text(BROKEN.replace('"numpy"', '"users_nowhere"'))
    install(monkeypatch, tmp_path, BACKENDS, "lacking", "users_lacking:Mine")
    assert why_unavailable("lacking") == "no package users_nowhere"
    with pytest.raises(BackendUnavailable, match=r"pip install users_nowhere$"):
        open_backend("lacking", bundle)


def test_a_users_backend_that_cannot_be_loaded_ends_nothing_else(bundle, tmp_path, monkeypatch):
    install(monkeypatch, tmp_path, BACKENDS, "gone", "users_gone:Mine")
    assert "users_gone" in why_unavailable("gone")
    (found,) = [finding for finding in examine() if finding.name == "runtime gone"]
    assert found.status == "missing"
    with pytest.raises(UsageError, match="mend or uninstall"):
        open_backend("gone", bundle)


def test_every_backend_says_which_packages_it_needs():
    assert all(BACKENDS.load(name).packages for name in BACKENDS)
    assert missing_package("onnxruntime") in (None, "onnxruntime", "onnx")


def test_parity_mode_runs_the_files_own_arithmetic(tmp_path):
    pytest.importorskip("onnxruntime")
    int8 = tiny_bundle(tmp_path / "int8", precision="int8")
    with open_backend("onnxruntime", int8, optimize=False) as backend:
        assert backend.io.precision == "f32"
        golden = int8.golden()
        assert (backend.infer(golden.frame) == golden.labels).all()
