"""`edgeseg verify`: does a bundle give here what it gave where it was exported?"""

from __future__ import annotations

from typing import Any

import click

from edgeseg.cli.options import backends_option, json_option
from edgeseg.cli.output import bundle_json, print_json, print_table
from edgeseg.cli.runtimes import backend_options, chosen_backends
from edgeseg.errors import AccuracyMissed

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
    """Check BUNDLE's files, then run its golden frame on this machine.

    Exit code 3 when a runtime's labels differ from the recorded ones in too many pixels.
    """
    from edgeseg.core.zoo import find_bundle
    from edgeseg.target.backends import open_backend

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
    if as_json:
        print_json(
            {
                "bundle": bundle_json(loaded),
                "min_agreement": min_agreement,
                "results": rows,
                "ok": all(row["ok"] for row in rows),
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
    bad = [f"{row['backend']} {row['agreement']:.4f}" for row in rows if not row["ok"]]
    if bad:
        raise AccuracyMissed(
            f"golden labels of {loaded.name} agree too little on {', '.join(bad)}, expected at "
            f"least {min_agreement}; update the runtime or export the bundle again"
        )
