"""The bundle: the folder that the host exports and a board runs.

NAME/
  model.onnx      frame uint8 1,H,W,3 -> labels uint8 1,H,W; Q/DQ nodes when INT8
  model.fp16islands.onnx   INT8 only: the same network with its float parts typed FP16, for runtimes
                  that take every type from the graph (TensorRT 11)
  golden.npz      one frame and the labels that the host computed; a small picture as the host
                  resized it by the model's rule (images/resize_probe.py)
  manifest.json   format, spec, precision, steps, opset, SHA-256 of both, reference scores
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.files import atomic_dir, sha256_file
from edgeseg.core.files.bounded import (
    ARRAYS_BYTES,
    GRAPH_BYTES,
    hashed_bytes,
    read_arrays,
    read_json,
)
from edgeseg.core.spec import PRECISIONS, ModelSpec
from edgeseg.core.text.names import is_plain
from edgeseg.errors import BundleError, SpecError

FORMAT = 1
MODEL_FILE = "model.onnx"
ISLANDS_FILE = "model.fp16islands.onnx"
GOLDEN_FILE = "golden.npz"
MANIFEST_FILE = "manifest.json"
COPY_AGAIN = "copy the whole bundle folder again"
FILES = (MANIFEST_FILE, MODEL_FILE, ISLANDS_FILE, GOLDEN_FILE)


@dataclasses.dataclass(frozen=True)
class Golden:
    """One frame and the labels the host computed for it.

    Attributes:
        frame: RGB frame at the model's input size.
        labels: what the exported network must give for it.
    """

    frame: UInt8[np.ndarray, "1 h w 3"]
    labels: UInt8[np.ndarray, "1 h w"]


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose hashes have been checked.

    Attributes:
        path: the folder.
        name: the model's name, for tables and file names.
        spec: what the model is, sees and means.
        precision: "int8", "fp16" or "fp32".
        steps: what was done to the model, in order, as JSON values.
        opset: ONNX operator set of the graph.
        reference: scores measured on the host, with what they were measured on.
        digest: SHA-256 of model.onnx, which names the bundle in reports.
        islands_digest: SHA-256 of model.fp16islands.onnx, None where the bundle has none.
        golden_digest: SHA-256 of golden.npz; empty for a bundle that nobody has read.
    """

    path: Path
    name: str
    spec: ModelSpec
    precision: str
    steps: tuple[Mapping[str, Any], ...]
    opset: int
    reference: Mapping[str, Any]
    digest: str
    islands_digest: str | None = None
    golden_digest: str = ""

    @property
    def onnx_path(self) -> Path:
        """The graph."""
        return self.path / MODEL_FILE

    @property
    def islands_path(self) -> Path | None:
        """The graph with FP16 islands, for strongly typed runtimes; None if the bundle has none."""
        return None if self.islands_digest is None else self.path / ISLANDS_FILE

    @property
    def size_bytes(self) -> int:
        """Bytes of all files of the bundle."""
        files = [self.onnx_path, self.path / GOLDEN_FILE, self.path / MANIFEST_FILE]
        if self.islands_path is not None:
            files.append(self.islands_path)
        return sum(path.stat().st_size for path in files)

    def onnx_bytes(self) -> bytes:
        """Read model.onnx again, as long as it is the file whose hash was checked.

        Raises:
            BundleError: it has changed since, or cannot be read.
        """
        return hashed_bytes(
            self.onnx_path, self.digest, BundleError, most=GRAPH_BYTES, advice=COPY_AGAIN
        )

    def islands_bytes(self) -> bytes | None:
        """Read model.fp16islands.onnx likewise; None if the bundle has none."""
        if self.islands_path is None or self.islands_digest is None:
            return None
        return hashed_bytes(
            self.islands_path, self.islands_digest, BundleError, most=GRAPH_BYTES,
            advice=COPY_AGAIN,
        )  # fmt: skip

    def golden(self) -> Golden:
        """Read the golden pair.

        Raises:
            BundleError: the file has changed, is damaged, or does not fit the spec.
        """
        arrays = self._golden_arrays()
        missing = [name for name in ("frame", "labels") if name not in arrays]
        if missing:
            raise BundleError(
                f"{self.path / GOLDEN_FILE} has no {' and no '.join(missing)}; export it again"
            )
        frame, labels = arrays["frame"], arrays["labels"]
        _check_golden(self.path, frame, labels, self.spec)
        return Golden(frame, labels)

    def fitted_probe(self) -> UInt8[np.ndarray, ...] | None:
        """Read the resized probe picture (images/resize_probe.py) as the exporting machine made it.

        None for a bundle that was exported without it.

        Raises:
            BundleError: the file has changed or is damaged.
        """
        fitted = self._golden_arrays().get("fitted")
        if fitted is not None and fitted.dtype != np.uint8:
            raise BundleError(
                f"{self.path / GOLDEN_FILE}: its resized picture is {fitted.dtype}, expected "
                "uint8; export it again"
            )
        return fitted

    def _golden_arrays(self) -> Mapping[str, np.ndarray]:
        path = self.path / GOLDEN_FILE
        data = hashed_bytes(
            path, self.golden_digest, BundleError, most=ARRAYS_BYTES, advice=COPY_AGAIN
        )
        return read_arrays(data, path, BundleError, advice="export it again")


def check_replaceable(path: Path) -> None:
    """Refuse an output folder whose content a bundle would destroy.

    Raises:
        BundleError: something stands there that is not a bundle, or a bundle with other files.
    """
    if not path.exists():
        return
    if not (path / MANIFEST_FILE).is_file():
        raise BundleError(f"{path} exists and is not a bundle; give a new or a bundle's path")
    foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in FILES)
    if foreign:
        raise BundleError(
            f"{path} holds {', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''} beside its "
            "bundle, and a new bundle takes the folder's place; give another path, or move them"
        )


def write_bundle(
    path: Path,
    onnx_bytes: bytes,
    golden: Golden,
    *,
    name: str,
    spec: ModelSpec,
    precision: str,
    opset: int,
    steps: Sequence[Mapping[str, Any]] = (),
    reference: Mapping[str, Any] | None = None,
    islands: bytes | None = None,
) -> Bundle:
    """Write a bundle folder; it appears complete or not at all.

    Args:
        path: the folder.
        onnx_bytes: model.onnx.
        golden: one frame and its labels.
        name: the model's name.
        spec: what the model is.
        precision: "int8", "fp16" or "fp32".
        opset: ONNX operator set of the graph.
        steps: what was done to the model, as JSON values.
        reference: scores for the manifest.
        islands: model.fp16islands.onnx, where the bundle carries it.

    Raises:
        BundleError: `precision` is unknown, check_replaceable refuses `path`, the golden pair does
            not fit the spec, or a score is NaN.
        OSError: the disk is full or not writable; nothing is left at `path`.
    """
    if precision not in PRECISIONS:
        raise BundleError(f"precision {precision!r} is not one of {PRECISIONS}")
    check_replaceable(path)
    _check_golden(path, golden.frame, golden.labels, spec)
    # Here, since reading a bundle needs no OpenCV.
    from edgeseg.core.images.resize_probe import fit_probe

    fitted = fit_probe(spec.preprocess.resize)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, frame=golden.frame, labels=golden.labels, fitted=fitted)
    contents = {MODEL_FILE: onnx_bytes, GOLDEN_FILE: buffer.getvalue()}
    if islands is not None:
        contents[ISLANDS_FILE] = islands
    manifest = {
        "format": FORMAT,
        "name": name,
        "spec": spec.to_json(),
        "precision": precision,
        "steps": [dict(step) for step in steps],
        "opset": opset,
        "files": {
            file: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for file, data in contents.items()
        },
        "reference": dict(reference or {}),
    }
    text = _manifest_text(path, manifest)
    with atomic_dir(path) as folder:
        for file, data in contents.items():
            (folder / file).write_bytes(data)
        (folder / MANIFEST_FILE).write_text(text)
    return read_bundle(path)


def _manifest_text(path: Path, manifest: Mapping[str, Any]) -> str:
    """Return the manifest as JSON, which has no NaN.

    Raises:
        BundleError: a score, or what a step recorded, is NaN or infinite.
    """
    try:
        return json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    except ValueError:
        raise BundleError(
            f"{path} was not written: a score or a step of its manifest is NaN or infinite; "
            "measure again, or train again with a lower --lr"
        ) from None


def _check_golden(path: Path, frame: np.ndarray, labels: np.ndarray, spec: ModelSpec) -> None:
    """Refuse a pair that no board should get.

    Raises:
        BundleError: the golden pair does not fit the spec.
    """
    if frame.shape != (1, *spec.size_hw, 3) or frame.dtype != np.uint8:
        raise BundleError(f"{path}: the golden frame is {frame.dtype} {frame.shape}, expected "
                          f"uint8 {(1, *spec.size_hw, 3)}; export it again")  # fmt: skip
    if labels.shape != frame.shape[:3] or labels.dtype != np.uint8:
        raise BundleError(f"{path}: the golden labels are {labels.dtype} {labels.shape}, expected "
                          f"uint8 {frame.shape[:3]}; export it again")  # fmt: skip
    if int(labels.max()) >= spec.n_classes:
        raise BundleError(f"{path}: the golden labels go up to {int(labels.max())}, the network "
                          f"has {spec.n_classes} classes; export it again")  # fmt: skip


def read_bundle(path: Path) -> Bundle:
    """Read a bundle folder and check every file against its manifest.

    Raises:
        BundleError: the folder, a file or a key is missing, or a hash differs.
    """
    manifest_path = path / MANIFEST_FILE
    if not path.exists():
        raise BundleError(f"{path} does not exist; give a bundle folder or a zoo name")
    if not manifest_path.is_file():
        raise BundleError(f"{path} has no {MANIFEST_FILE}; give a folder written by edgeseg export")
    manifest = read_json(manifest_path, BundleError, advice="export it again")
    try:
        if manifest["format"] != FORMAT:
            raise BundleError(
                f"{path} has bundle format {manifest['format']}, this edgeseg reads {FORMAT}; "
                "export it again"
            )
        files = manifest["files"]
        for file in (MODEL_FILE, GOLDEN_FILE, *({ISLANDS_FILE} & set(files))):
            _check_file(path / file, files[file])
        precision = manifest["precision"]
        if precision not in PRECISIONS:
            raise BundleError(f"{manifest_path}: precision {precision!r} is not in {PRECISIONS}")
        name = manifest["name"]
        if not isinstance(name, str) or not is_plain(name):
            raise BundleError(f"{manifest_path}: the name {name!r} is not one plain line")
        return Bundle(
            path=path,
            name=name,
            spec=ModelSpec.from_json(manifest["spec"]),
            precision=precision,
            steps=tuple({**step} for step in manifest["steps"]),
            opset=int(manifest["opset"]),
            reference={**manifest["reference"]},
            digest=str(files[MODEL_FILE]["sha256"]),
            islands_digest=files[ISLANDS_FILE]["sha256"] if ISLANDS_FILE in files else None,
            golden_digest=str(files[GOLDEN_FILE]["sha256"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, SpecError) as error:
        raise BundleError(f"{manifest_path} is malformed ({error}); export it again") from error


def _check_file(path: Path, entry: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise BundleError(f"{path} is missing; {COPY_AGAIN}")
    size, wanted = path.stat().st_size, entry["bytes"]
    if size != wanted:
        raise BundleError(f"{path} has {size} bytes, the manifest says {wanted}; {COPY_AGAIN}")
    most = ARRAYS_BYTES if path.name == GOLDEN_FILE else GRAPH_BYTES
    if size > most:
        raise BundleError(f"{path} has {size} bytes, more than is read; {COPY_AGAIN}")
    found = sha256_file(path)
    if found != entry["sha256"]:
        raise BundleError(
            f"{path} has sha256 {found[:12]}…, the manifest says {str(entry['sha256'])[:12]}…; "
            f"{COPY_AGAIN}"
        )
