import importlib.util

import pytest
from tinybundle import tiny_bundle

from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.runtime import backends
from edgeseg.runtime.backends import BACKENDS, missing_package, open_backend


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


def test_a_package_that_cannot_be_imported_is_said_so(bundle, monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "broken", "edgeseg.runtime.backends.nowhere:Class")
    monkeypatch.setitem(backends.PACKAGES, "broken", ())
    with pytest.raises(BackendUnavailable, match="installed but cannot be imported"):
        open_backend("broken", bundle)


def test_every_backend_says_which_packages_it_needs():
    assert set(backends.PACKAGES) == set(BACKENDS)
    assert missing_package("onnxruntime") in (None, "onnxruntime", "onnx")


def test_parity_mode_runs_the_files_own_arithmetic(tmp_path):
    pytest.importorskip("onnxruntime")
    int8 = tiny_bundle(tmp_path / "int8", precision="int8")
    with open_backend("onnxruntime", int8, optimize=False) as backend:
        assert backend.io.precision == "f32"
        golden = int8.golden()
        assert (backend.infer(golden.frame) == golden.labels).all()
