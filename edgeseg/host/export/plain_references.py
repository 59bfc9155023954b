"""Plain rows of a bench: the same network without edgeseg, to measure edgeseg's bundles against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeseg.core.bundle import Bundle, read_bundle
from edgeseg.core.packages import is_installed
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.zoo import find_bundle, zoo_checkpoint, zoo_names
from edgeseg.errors import UsageError
from edgeseg.runtime.backends.base import Backend, BackendIo
from edgeseg.runtime.bench.references import CallableBackend, bare_onnxruntime
from edgeseg.runtime.bench.row import Entry

REFERENCES = ("fp32", "bare", "torch")


def reference_rows(
    kinds: Sequence[str],
    bundles: Sequence[Bundle],
    checkpoint: Path | None,
    threads: int,
    folder: Path,
    progress: ProgressCallback = silent,
) -> list[Entry]:
    """Return the plain rows that were asked for, the reference of all the others first.

    Args:
        kinds: of REFERENCES: the network in FP32 on onnxruntime; that file in a bare loop around
            the runtime's own session; the network in eager torch.
        bundles: what is benched; an FP32 one among them is the FP32 row's.
        checkpoint: float or quantized weights of the first bundle; the zoo's own where it is None.
        threads: of each row.
        folder: where an FP32 export may be written.
        progress: told that an export begins.

    Raises:
        UsageError: a row needs a checkpoint and there is none, or it is of another network.
    """
    if not kinds:
        return []
    path = checkpoint or zoos_own(bundles[0])
    if checkpoint is not None and is_installed("torch"):
        _check_same_task(checkpoint, bundles[0])
    plain = next((b for b in bundles if b.precision == "fp32"), None)
    if plain is None:
        plain = _exported(path, folder, progress)
    rows = []
    if "fp32" in kinds:
        options = {"threads": threads or None}
        rows.append(Entry("reference FP32", plain, "onnxruntime", options, reference=True))
    if "bare" in kinds:
        rows.append(
            Entry(
                "reference bare loop",
                plain,
                "onnxruntime",
                opener=lambda: bare_onnxruntime(plain, threads or None),
            )
        )
    if "torch" in kinds:
        weights = _weights(path, "torch")
        rows.append(
            Entry(
                "reference torch eager",
                plain,
                "torch",
                opener=lambda: _eager(weights, plain, threads),
            )
        )
    return rows


def zoos_own(bundle: Bundle) -> Path | None:
    """Return the zoo's checkpoint where the bundle was made from it, whatever its precision.

    A name says nothing: an export is named after its checkpoint's folder.
    """
    made_as = read_bundle(bundle.path).name
    if made_as not in zoo_names():
        return None
    zoo = find_bundle(made_as)
    same = (bundle.spec, bundle.steps) == (zoo.spec, zoo.steps)
    return zoo_checkpoint(made_as) if same else None


def _check_same_task(path: Path, bundle: Bundle) -> None:
    from edgeseg.host.checkpoint import load_checkpoint

    given = load_checkpoint(path).spec
    for what in ("arch", "class_names", "size_hw"):
        theirs, ours = getattr(given, what), getattr(bundle.spec, what)
        if theirs != ours:
            raise UsageError(
                f"--checkpoint {path} has {what} {theirs}, the bundle {bundle.path} has {ours}; "
                "give the weights that the bundle was made from"
            )


def _exported(path: Path | None, folder: Path, progress: ProgressCallback) -> Bundle:
    weights = _weights(path, "FP32")
    # Imported late: a bench whose bundles include an FP32 one needs no torch.
    from edgeseg.host.checkpoint import load_checkpoint
    from edgeseg.host.export.export import bundle_from_checkpoint

    tell(progress, "exporting the reference in FP32")
    return bundle_from_checkpoint(load_checkpoint(weights), "fp32", folder / "reference-fp32")


def _weights(path: Path | None, row: str) -> Path:
    if path is None:
        raise UsageError(
            f"the {row} reference needs the network's weights; give --checkpoint FILE, or an FP32 "
            "bundle among BUNDLES"
        )
    if not is_installed("torch"):
        raise UsageError(
            f"the {row} reference needs torch, which is not installed here; give an FP32 bundle "
            "among BUNDLES and no --reference torch, or pip install 'edgeseg[host]'"
        )
    return path


def _eager(path: Path, bundle: Bundle, threads: int) -> Backend:
    import torch

    from edgeseg.host.export.torch_reference import eager_labels

    shape = (1, *bundle.spec.size_hw, 3)
    io = BackendIo(f"torch {torch.__version__} eager", "cpu", "f32", threads or None, shape)
    return CallableBackend(eager_labels(path, threads or None), io)
