"""Which runtime runs, and the options it is opened with."""

from pathlib import Path

import pytest

from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.backends import choose
from edgeseg.runtime.backends.choose import (
    chosen_backends,
    first_backend,
    installed_backends,
    options_for,
)


def test_a_named_backend_comes_before_the_installed_ones():
    assert installed_backends()[0] == "onnxruntime"
    assert chosen_backends(()) == installed_backends()
    assert chosen_backends(("openvino",)) == ["openvino"]
    assert first_backend(None) == installed_backends()[0]
    assert first_backend("openvino") == "openvino"


def test_without_any_runtime_the_pip_line_is_given(monkeypatch):
    monkeypatch.setattr(choose, "installed_backends", lambda: [])
    with pytest.raises(BackendUnavailable, match=r"pip install 'edgeseg\[onnxruntime\]'"):
        first_backend(None)


def test_only_backends_that_build_engines_get_a_cache_and_plugins():
    cache, plugin = Path("engines"), Path("libplugin.so")
    assert options_for("onnxruntime", 0, cache=cache, plugin=plugin) == {"threads": None}
    assert options_for("openvino", 3) == {"threads": 3}
    assert options_for("tensorrt", 0, cache=cache, plugin=plugin) == {
        "threads": None,
        "cache": cache,
        "plugin": plugin,
    }
    assert options_for("torch_tensorrt", 2, plugin=plugin) == {"threads": 2, "cache": None}
