"""The job of `edgeseg import`: a network that others made becomes a bundle or a checkpoint."""

from __future__ import annotations

from edgeseg.core.bundle import Bundle
from edgeseg.core.progress import ProgressCallback, silent
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.imports.job_options import ImportOptions
from edgeseg.host.imports.module import Imported, import_module
from edgeseg.host.imports.onnx_file.job import import_onnx


@trusting
def import_job(options: ImportOptions, progress: ProgressCallback = silent) -> Bundle | Imported:
    """Import a network.

    Args:
        options: by the names of the verb's options.
        progress: told what was found.

    Returns:
        The bundle of an ONNX file, or the checkpoint of a module.

    Raises:
        UsageError: the source is neither an ONNX file nor a module, or options do not fit it.
        CheckpointError: a module's package or weights cannot be had.
        ExportError: the file or module cannot be taken.
    """
    if options.is_onnx:
        return import_onnx(options, progress)
    return import_module(options, progress)
