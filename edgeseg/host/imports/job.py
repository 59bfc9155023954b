"""The job of `edgeseg import`: a network that others made becomes a bundle or a checkpoint."""

from __future__ import annotations

from edgeseg.core.bundle import Bundle
from edgeseg.core.progress import ProgressCallback, silent
from edgeseg.errors import UsageError
from edgeseg.host.imports.job_options import ImportOptions
from edgeseg.host.imports.onnx_file.job import import_onnx


def import_job(options: ImportOptions, progress: ProgressCallback = silent) -> Bundle:
    """Import a network.

    Args:
        options: by the names of the verb's options.
        progress: told what was found.

    Raises:
        UsageError: the source is neither an ONNX file nor a module, or options do not fit it.
        ExportError: the file cannot be taken.
    """
    if options.is_onnx:
        return import_onnx(options, progress)
    raise UsageError(f"{options.source} is no ONNX file")
