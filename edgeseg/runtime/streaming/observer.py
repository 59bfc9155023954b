"""Observer: gets each finished prediction and adds a field to the report."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from edgeseg.runtime.closeable import Closeable
from edgeseg.runtime.sinks.base import Prediction


class Observer(Closeable):
    """Called after a frame's times were taken, so that it costs no frame its latency.

    Attributes:
        name: the field of Report that it fills.
    """

    name: str

    @abc.abstractmethod
    def add(self, prediction: Prediction) -> None:
        """Look at one prediction, in order, from one thread; its arrays must not be changed."""

    @abc.abstractmethod
    def result(self) -> Mapping[str, Any] | None:
        """Return plain JSON values after the last prediction; None when there is nothing to say."""
