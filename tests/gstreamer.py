"""GStreamer's Python bindings, which belong to the system's Python, for the tests' own."""

import importlib.util
import sys
import warnings

import pytest

from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.sources.gst_device import load_gstreamer

SYSTEM_PACKAGES = "/usr/lib/python3/dist-packages"


def use_bindings(monkeypatch: pytest.MonkeyPatch, *elements: str) -> None:
    """Make `import gi` work; skip where it cannot, or where an element is not installed.

    Args:
        monkeypatch: takes the path away again.
        elements: that the test's pipeline names.
    """
    if importlib.util.find_spec("gi") is None:
        monkeypatch.setattr(sys, "path", [*sys.path, SYSTEM_PACKAGES])
    try:
        with warnings.catch_warnings():
            # Of PyGObject's own importer.
            warnings.simplefilter("ignore", ImportWarning)
            gst = load_gstreamer()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    absent = [name for name in elements if gst.ElementFactory.find(name) is None]
    if absent:
        pytest.skip(f"no GStreamer element {', '.join(absent)}")
