"""`edgeseg verify`: does a bundle give here what it gave where it was exported?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.common.options import backends_option, json_option
from edgeseg.cli.common.output import bundle_json, print_json, print_table
from edgeseg.cli.common.runtimes import backend_options
from edgeseg.errors import AccuracyMissed

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle

# Runtimes round differently, and a pixel between two classes may go either way. INT8 moves most: a
# value on the other side of a grid step is a whole step off, and each runtime fuses its own layers
# (0.963 and 0.966 on a sound DeepLabv3+). A wrong kernel or a damaged weight moves far more.
MIN_AGREEMENT = {"int8": 0.9, "fp16": 0.98, "fp32": 0.99}


@click.command(name="verify", epilog="Example: edgeseg verify runs/export/model")
@click.argument("bundle")
@backends_option
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    help="Smallest share of the golden frame's pixels that must get the same label.  "
    f"[default: {', '.join(f'{least} for {name}' for name, least in MIN_AGREEMENT.items())}]",
)
@json_option
def command(
    bundle: str,
    backends: tuple[str, ...],
    threads: int,
    min_agreement: float | None,
    as_json: bool,
) -> None:
    """Check BUNDLE's files, then resize a picture and run its golden frame on this machine.

    Exit code 3 when a runtime's labels differ from the recorded ones in too many pixels, or when
    frames are resized otherwise here than where the bundle was exported.
    """
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.backends.choose import chosen_backends

    loaded = find_bundle(bundle)
    golden = loaded.golden()
    if min_agreement is None:
        min_agreement = MIN_AGREEMENT[loaded.precision]
    rows: list[dict[str, Any]] = []
    for name in chosen_backends(backends):
        with open_backend(name, loaded, **backend_options(name, threads)) as backend:
            agreement = float((backend.infer(golden.frame) == golden.labels).mean())
            rows.append(
                {
                    "backend": name,
                    **backend.io.to_json(),
                    "agreement": agreement,
                    "ok": agreement >= min_agreement,
                }
            )
    preprocess = _preprocess(loaded)
    resized = preprocess is None or preprocess["ok"]
    if as_json:
        print_json(
            {
                "bundle": bundle_json(loaded),
                "min_agreement": min_agreement,
                "results": rows,
                "preprocess": preprocess,
                "ok": all(row["ok"] for row in rows) and resized,
            }
        )
    else:
        print_table(
            ("backend", "runtime", "runs in", "agreement", "verdict"),
            [
                (
                    row["backend"],
                    row["runtime"],
                    row["precision"],
                    f"{row['agreement']:.6f}",
                    "ok" if row["ok"] else "differs",
                )
                for row in rows
            ],
        )
        if preprocess is not None and resized:
            steps = preprocess["max_difference"]
            same = "to the bit" if steps == 0 else f"within {steps} of 255"
            print(f"frames are resized as where the bundle was exported: {same}")
    bad = [f"{row['backend']} {row['agreement']:.4f}" for row in rows if not row["ok"]]
    if bad:
        raise AccuracyMissed(
            f"golden labels of {loaded.name} agree too little on {', '.join(bad)}, expected at "
            f"least {min_agreement}; update the runtime or export the bundle again"
        )
    if preprocess is not None and not resized:
        raise AccuracyMissed(
            f"OpenCV {preprocess['opencv']} resizes a picture by up to "
            f"{preprocess['max_difference']} of 255 otherwise than where {loaded.name} was "
            f"exported, expected at most {preprocess['tolerance']}; use OpenCV 4.11 to 4.x"
        )


def _preprocess(bundle: Bundle) -> dict[str, Any] | None:
    """Return how a picture is resized here, None for a bundle exported without one."""
    there = bundle.fitted_probe()
    if there is None:
        return None
    import cv2

    from edgeseg.core.images.resize_probe import TOLERANCE, digest, fit_probe, largest_difference

    here = fit_probe(bundle.spec.preprocess.resize)
    steps = largest_difference(here, there)
    return {
        "opencv": cv2.__version__,
        "sha256": digest(here),
        "expected_sha256": digest(there),
        "max_difference": steps,
        "tolerance": TOLERANCE,
        "ok": steps <= TOLERANCE,
    }
