"""The runtimes a bundle can run on: one module each, imported when it is asked for."""

from edgeseg.runtime.backends.base import Backend, BackendIo
from edgeseg.runtime.backends.open import BACKENDS, open_backend, why_unavailable

__all__ = ["BACKENDS", "Backend", "BackendIo", "open_backend", "why_unavailable"]
