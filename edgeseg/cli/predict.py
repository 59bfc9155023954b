"""`edgeseg predict`: labels of pictures."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import backend_option, json_option
from edgeseg.cli.common.output import answer, print_json, say, track
from edgeseg.core.images.palettes import PALETTES

KINDS = ("overlay", "mask", "labels", "side")


@click.command(
    name="predict",
    cls=Verb,
    epilog="Example: edgeseg predict deeplabv3plus-mobilenetv2-camvid photo.jpg -o labelled.png",
)
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="File for one picture (.png, .jpg), else a folder.",
)
@click.option(
    "--as",
    "kind",
    type=click.Choice(KINDS),
    default="overlay",
    show_default=True,
    help="Colours over the picture; a mask with the colours as palette; the class index of each "
    "pixel; or picture and overlay side by side.",
)
@click.option("--legend", is_flag=True, help="Write class names and shares into the picture.")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of the colour in an overlay.",
)
@click.option(
    "--palette",
    type=click.Choice(PALETTES),
    default="own",
    show_default=True,
    help="The network's own colours, or ones that cannot be mistaken for one another.",
)
@backend_option
@json_option
def command(
    model: str,
    pictures: tuple[Path, ...],
    out: Path,
    kind: str,
    legend: bool,
    alpha: float,
    palette: str,
    backend: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Label PICTURES, files or folders, with MODEL: a shipped model's name or a bundle's folder.

    Labels come back at each picture's own size. A picture that cannot be read is told of, the rest
    goes on, and the exit code is 1.
    """
    from edgeseg.errors import DataError
    from edgeseg.runtime.prediction.files import label_files, plan_files
    from edgeseg.runtime.prediction.model import load

    pairs = plan_files(pictures, out, ".png")
    rows, problems = [], []
    with load(model, backend=backend or "auto", threads=threads) as loaded:
        files = label_files(loaded, pairs, kind, alpha=alpha, legend=legend, palette=palette)
        for done in track(files, "pictures", len(pairs)):
            if done.result is None:
                problems.append(done.problem)
                say(done.problem)
                continue
            rows.append({**done.result.to_json(), "written": str(done.target)})
        classes = list(loaded.names)
    if as_json:
        print_json({"model": model, "classes": classes, "pictures": rows, "problems": problems})
    elif len(rows) == 1:
        shares = sorted(rows[0]["shares"].items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {share:.1%}" for name, share in shares if share >= 0.0005)
        answer(f"{rows[0]['written']}: {shown}")
    else:
        answer(f"{len(rows)} of {len(pairs)} pictures labelled below {out}")
    if problems:
        raise DataError(f"{len(problems)} of {len(pairs)} pictures could not be read")
