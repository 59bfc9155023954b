"""Make a zoo entry of a quantized checkpoint: INT8 bundle, checkpoint in half storage, scores.

    python calibration/tools/publish.py runs/qat/…/last.safetensors NAME --camvid FOLDER

The checkpoint is rounded to float16 first, and all that follows is made and measured from the
rounded one: the INT8 bundle, and its FP32 twin (the same weights, quantizers off), each on every
installed runtime, on CamVid's validation clip and on the synthetic drive, and the INT8 bundle by
its file's own arithmetic too. The scores go into the bundle's manifest.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.data.open import open_dataset
from edgeseg.core.files import sha256_file
from edgeseg.core.zoo import CHECKPOINT_FILE, CHECKPOINTS_FILE, ZOO
from edgeseg.errors import BackendUnavailable
from edgeseg.host.checkpoint import load_checkpoint, save_checkpoint
from edgeseg.host.cost import checkpoint_cost
from edgeseg.host.export.export import ExportOptions, bundle_from_checkpoint
from edgeseg.runtime.backends import BACKENDS, open_backend
from edgeseg.runtime.evaluation.evaluate import evaluate

SYNTHETIC = "synthetic:60"


def scores_of(bundle: Bundle, data: dict[str, str]) -> dict[str, Any]:
    """Return the scores of a bundle by data set and runtime."""
    found: dict[str, Any] = {}
    for name, where in data.items():
        dataset = open_dataset(where, "val", size_hw=bundle.spec.size_hw)
        for runtime in BACKENDS:
            try:
                backend = open_backend(runtime, bundle)
            except BackendUnavailable as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            with backend:
                scores = evaluate(backend, bundle.spec, dataset).to_json()
            print(bundle.precision, name, runtime, f"{scores['miou']:.4f}", file=sys.stderr)
            found.setdefault(name, {})[runtime] = scores
    return found


def exact_scores(bundle: Bundle, data: dict[str, str]) -> dict[str, Any]:
    """Return the scores of a bundle by data set, by the file's own arithmetic (eval --exact)."""
    found = {}
    for name, where in data.items():
        dataset = open_dataset(where, "val", size_hw=bundle.spec.size_hw)
        with open_backend("onnxruntime", bundle, optimize=False) as backend:
            found[name] = evaluate(backend, bundle.spec, dataset).to_json()
        print(bundle.precision, name, "exact", f"{found[name]['miou']:.4f}", file=sys.stderr)
    return found


def main() -> None:
    """Read the command line and write the entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--camvid", required=True, help="folder in CamVid's layout")
    arguments = parser.parse_args()
    data = {"camvid val": arguments.camvid, f"{SYNTHETIC} val": SYNTHETIC}
    with tempfile.TemporaryDirectory() as scratch:
        rounded = Path(scratch) / CHECKPOINT_FILE
        save_checkpoint(rounded, load_checkpoint(arguments.checkpoint), half=True)
        checkpoint = load_checkpoint(rounded)
        bundles = {
            precision: bundle_from_checkpoint(checkpoint, precision, Path(scratch) / precision)
            for precision in ("int8", "fp32")
        }
        reference: dict[str, Any] = {
            precision: scores_of(bundle, data) for precision, bundle in bundles.items()
        }
        reference["exact"] = exact_scores(bundles["int8"], data)
        headline = reference["int8"]["camvid val"]["onnxruntime"]
        cost = checkpoint_cost(checkpoint)
        reference |= {
            "measured_on": "camvid val, onnxruntime, int8",
            "miou": headline["miou"],
            "params": cost.params,
            "macs": cost.macs,
        }
        (ZOO / arguments.name / CHECKPOINT_FILE).unlink(missing_ok=True)
        bundle = bundle_from_checkpoint(
            checkpoint,
            "int8",
            ZOO / arguments.name,
            # Two forms of the graph would not stay below 5 MB; `edgeseg export NAME --int8` makes
            # both from the checkpoint.
            options=ExportOptions(name=arguments.name, islands=False),
            reference=reference,
        )
        (bundle.path / CHECKPOINT_FILE).write_bytes(rounded.read_bytes())
        held = {
            path.parent.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
            for path in sorted(ZOO.glob(f"*/{CHECKPOINT_FILE}"))
        }
        (ZOO / CHECKPOINTS_FILE).write_text(json.dumps(held, indent=1) + "\n")
    print(f"{bundle.path}: {bundle.size_bytes} bytes, {bundle.digest}")


if __name__ == "__main__":
    main()
