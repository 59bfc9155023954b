"""Files: written whole or not at all (atomic.py), read within limits (bounded.py)."""

from edgeseg.core.files.atomic import (
    atomic_dir,
    atomic_write_bytes,
    atomic_write_text,
    is_device,
    sha256_file,
)

__all__ = ["atomic_dir", "atomic_write_bytes", "atomic_write_text", "is_device", "sha256_file"]
