"""Which runtime runs, and the options it is opened with."""

from pathlib import Path

import pytest

from edgeseg.errors import BackendError, BackendUnavailable
from edgeseg.runtime.backends import choose
from edgeseg.runtime.backends.choose import (
    chosen_backends,
    first_backend,
    installed_backends,
    open_first,
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


def test_the_next_backend_is_taken_and_the_loss_is_told():
    told: list[str] = []

    def opener(name: str) -> str:
        if name != "onnxruntime":
            raise BackendError(f"{name} cannot build it")
        return "open"

    names = ["tensorrt", "onnxruntime", "openvino"]
    assert open_first(names, opener, told.append) == ("onnxruntime", "open")
    assert told == ["warning: tensorrt cannot build it; going on with onnxruntime"]
    with pytest.raises(BackendError, match="tensorrt cannot build it"):
        open_first(["tensorrt", "openvino"], opener, told.append)


def test_only_backends_that_build_engines_get_a_cache_and_plugins():
    cache, plugin = Path("engines"), Path("libplugin.so")
    assert options_for("onnxruntime", 0, cache=cache, plugin=plugin) == {"threads": None}
    assert options_for("openvino", 3) == {"threads": 3}
    assert options_for("tensorrt", 0, cache=cache, plugin=plugin) == {
        "threads": None,
        "cache": cache,
        "plugin": plugin,
    }
    assert options_for("onnxruntime", 0, precision="fp16") == {"threads": None}
    assert options_for("tensorrt", 0, precision="auto")["precision"] == "auto"
    assert options_for("torch_tensorrt", 2, plugin=plugin) == {"threads": 2, "cache": None}
