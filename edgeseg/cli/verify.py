"""`edgeseg verify`: checks that a bundle gives the recorded labels on this machine."""

from __future__ import annotations

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import backends_option, json_option
from edgeseg.cli.common.output import answer, bundle_json, print_json, print_table, say
from edgeseg.cli.common.runtimes import backend_options, engine_precision, precision_option


@click.command(
    name="verify", cls=Verb, epilog="Example: edgeseg verify deeplabv3plus-mobilenetv2-camvid"
)
@click.argument("bundle")
@backends_option
@precision_option("auto")
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    help="Smallest share of the golden frame's pixels that must get the same label.  "
    "[default: 0.9 for int8, 0.98 for fp16, 0.99 for fp32]",
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
    from edgeseg.runtime.backends.choose import chosen_backends
    from edgeseg.runtime.evaluation.verify import verify

    loaded = find_bundle(bundle)
    chosen = chosen_backends(backends)
    engine_precision(chosen)
    found = verify(
        loaded,
        chosen,
        lambda name: backend_options(name, threads),
        min_agreement,
    )
    if as_json:
        print_json({"bundle": bundle_json(loaded), **found.to_json()})
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
                for row in found.results
            ],
        )
        for row in found.results:
            if row["steadiness"] is not None:
                say(
                    f"{row['backend']}: this network gives {1 - row['steadiness']:.1%} of the "
                    "pixels another label when they change by one grey level, on the same runtime, "
                    "so that a runtime's rounding shows as much; compare mIoU with edgeseg eval"
                )
        if found.preprocess is not None and found.resized_alike:
            steps = found.preprocess["max_difference"]
            same = "to the bit" if steps == 0 else f"within {steps} of 255"
            answer(f"frames are resized as where the bundle was exported: {same}")
    found.check()
