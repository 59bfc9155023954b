"""`edgeseg demo`: trains, quantizes, exports and streams a small network on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import PATH, SEED, json_option, needs
from edgeseg.cli.common.output import print_json, print_table, say


@click.command(name="demo", cls=Verb, epilog="Example: edgeseg demo -o runs/demo")
@click.option("--epochs", type=click.IntRange(min=1), default=10, show_default=True)
@click.option(
    "--images",
    type=click.IntRange(min=16),
    default=240,
    show_default=True,
    help="Training images, painted by the synthetic drive.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=2),
    default=200,
    show_default=True,
    help="Frames to stream on each runtime.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option(
    "-o",
    "--out",
    type=PATH,
    default=Path("runs/demo"),
    show_default=True,
    help="Folder of the results; what an earlier demo left there is replaced.",
)
@json_option
@needs("torch", "safetensors", "onnx", "onnxscript", "cv2")
def command(epochs: int, images: int, frames: int, seed: int, out: Path, as_json: bool) -> None:
    """Show what the shipped networks do, then train, quantize, export and stream a small one.

    Everything happens on the built-in synthetic drive. The first part takes a minute and leaves a
    video and a page; the rest takes minutes on a laptop's CPU and adds to the page a table of
    accuracy against latency and memory.
    """
    from edgeseg.cli.demo import run as demo_run
    from edgeseg.cli.demo.page import write_demo_page, write_shipped_page

    started = time.perf_counter()
    from edgeseg.runtime.backends.choose import chosen_backends

    backends = chosen_backends(())
    demo_run.check_out(out)
    plan = demo_run.DemoPlan(epochs=epochs, images=images, frames=frames, seed=seed)
    page = out / "index.html"
    say(f"1/5 what the shipped networks do, on {backends[0]}")
    shipped = demo_run.stream_shipped(plan, backends[0], out)
    write_shipped_page(page, plan, shipped)
    if not as_json:
        print_table(demo_run.COLUMNS, [run.cells() for run in shipped], title="Shipped networks")
    say(f"video: {out / demo_run.SHIPPED_VIDEO}   page, so far: {page}")
    say(f"2/5 training on {images} painted frames")
    trained = demo_run.train_float(plan, out)
    say("3/5 quantizing, and training on with INT8 rounding")
    quantized = demo_run.train_int8(plan, trained, out)
    say("4/5 exporting FP32 and INT8")
    bundles = demo_run.export_both(trained, quantized, out)
    say(f"5/5 streaming {frames} unseen frames on {', '.join(backends)}")
    runs = demo_run.stream_all(plan, bundles, backends, out)
    seconds = time.perf_counter() - started
    write_demo_page(page, plan, shipped, trained, quantized, bundles, runs, seconds)
    if as_json:
        print_json(
            {
                "page": str(page),
                "shipped": [{"name": run.name, "report": run.report.to_json()} for run in shipped],
                "seconds": seconds,
                "runs": [{"name": run.name, "report": run.report.to_json()} for run in runs],
            }
        )
        return
    print_table(demo_run.COLUMNS, [run.cells() for run in runs], title="Accuracy against cost")
    say(f"page: {page}   ({seconds:.0f} s)")
