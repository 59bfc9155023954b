"""`edgeseg data`: what a data set is, what is wrong with it, and its plain layout."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import PATH, SIZE, json_option, needs, reading_options, refuse_given
from edgeseg.cli.common.output import print_json, say, shown
from edgeseg.core.data.read_options import ReadOptions
from edgeseg.errors import DataError


@click.command(
    name="data",
    cls=Verb,
    epilog="Example: edgeseg data mine/    edgeseg data clip.mp4 -o frames --every 30",
)
@click.argument("data")
@reading_options
@click.option("-o", "--out", type=PATH, help="Write images/, masks/, classes.txt and lists there.")
@click.option("--size", type=SIZE, help="Size of what is written.  [default: as it is]")
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Write only each so many-th picture, or frame of a video.",
)
@click.option(
    "--val",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Hold this share back for validation in what is written.  [default: the data's splits]",
)
@click.option("--html", type=PATH, help="Where the page goes.  [default: runs/data/NAME.html]")
@json_option
@needs("cv2")
def command(
    data: str,
    read: ReadOptions,
    out: Path | None,
    size: tuple[int, int] | None,
    every: int,
    val: float | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Tell what DATA is: its layout, classes, splits and faults, and write a page about it.

    DATA is what --data takes elsewhere, or a video whose frames are to be labelled. It is never
    changed; -o writes a copy in the plain layout.
    """
    from edgeseg.cli.data.page import write_data_page
    from edgeseg.core.data.census import (
        census_line,
        notes_of,
        refusals,
        take_census,
        warnings_of,
    )
    from edgeseg.core.data.open import open_dataset, recognize
    from edgeseg.core.output_checks import check_file
    from edgeseg.runtime.data.write import PlainOptions, default_val, write_frames, write_plain

    if out is None:
        refuse_given(("size", "every", "val"), "nothing is written without -o")
    options = PlainOptions(size, every, val, read.split_by)
    path = Path(data)
    if path.is_file():
        if out is None:
            raise DataError(f"{path}: a file; give a data folder, or a video with -o FOLDER")
        with shown() as progress:
            count = write_frames(path, out, options, progress)
        say(f"{count} frames in {out / 'images'}; label them into {out / 'masks'}, one PNG of the "
            f"same name each, and write {out / 'classes.txt'}")  # fmt: skip
        return
    page = html or Path("runs") / "data" / f"{path.resolve().name or 'data'}.html"
    check_file("--html", page, "data.html", (data,))
    seen = " by ".join(recognize(path)) if path.is_dir() else data
    splits = {"train": open_dataset(data, "train", options=read)}
    for split in ("val", "test"):
        with contextlib.suppress(DataError):
            found = open_dataset(data, split, options=read)
            if "those of train and val" not in found.name:
                splits[split] = found
    with shown() as progress:
        parts = {split: take_census(dataset, progress) for split, dataset in splits.items()}
    train, validation = parts["train"], parts.get("val")
    refused = refusals(train, validation)
    warned = [note for part in parts.values() for note in notes_of(part)]
    findings = [*refused, *warnings_of(train, validation), *dict.fromkeys(warned)]
    say(f"{data}: read as {seen}")
    say(census_line(train, validation))
    for text in findings:
        say(text if text in warned else f"warning: {text}")
    damaged = any(part.errors for part in parts.values())
    if train.facts and not damaged:
        write_data_page(page, path.resolve().name, seen, parts, findings)
        say(f"page: {page}")
    if damaged:
        raise DataError("; ".join(refused))
    written = {}
    if out is not None:
        with shown() as progress:
            written = write_plain(splits, out, default_val(options, splits), progress)
        told = ", ".join(f"{count} {split}" for split, count in written.items())
        say(f"{told} in {out}; train with: edgeseg train segnet-light --data {out}")
    if as_json:
        document = {split: part.to_json() for split, part in parts.items()}
        print_json({"data": data, "read_as": seen, "splits": document, "findings": findings})
