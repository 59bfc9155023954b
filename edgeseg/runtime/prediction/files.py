"""Labels picture files: names the files to write first, then goes on past a damaged picture."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeseg.core.images.names import images_below
from edgeseg.core.images.palettes import display_palette
from edgeseg.errors import DataError, UsageError
from edgeseg.runtime.prediction.model import Model
from edgeseg.runtime.prediction.result import Result


@dataclasses.dataclass(frozen=True)
class Written:
    """One picture's outcome.

    Attributes:
        picture: the file that was read.
        target: the file that was written, None where the picture could not be read.
        result: its labels, None where the picture could not be read.
        problem: why not, empty where it was.
    """

    picture: Path
    target: Path | None
    result: Result | None
    problem: str = ""


def plan_files(given: Sequence[Path], out: Path, ending: str) -> list[tuple[Path, Path]]:
    """Return each picture with the file that its labels are written to.

    One picture file and an `out` with an ending give that very file. All else goes below the folder
    `out`, under the picture's name; a folder keeps its sub-folders.

    Raises:
        DataError: a path is missing, or a folder has no picture.
        UsageError: two pictures would be written to one file, or a picture over itself.
    """
    single = len(given) == 1 and given[0].is_file()
    if single and out.suffix and not out.is_dir():
        pairs = [(given[0], out)]
    else:
        pairs = []
        for path in given:
            if path.is_dir():
                # What an earlier call wrote below it is no picture to label.
                found = [each for each in images_below(path) if out not in each.parents]
                if not found:
                    raise DataError(f"{path}: no picture there; expected .png, .jpg and the like")
                pairs += [
                    (each, out / each.relative_to(path).with_suffix(ending)) for each in found
                ]
            elif path.exists():
                pairs.append((path, out / f"{path.stem}{ending}"))
            else:
                raise DataError(f"{path}: no such file or folder; expected pictures")
    # a.jpg beside a.png: each keeps its ending, as a.jpg.png.
    clashes = {t for t, n in collections.Counter(target for _, target in pairs).items() if n > 1}
    pairs = [
        (picture, target.with_name(f"{picture.name}{ending}") if target in clashes else target)
        for picture, target in pairs
    ]
    seen: dict[Path, Path] = {}
    for picture, target in pairs:
        if target in seen:
            raise UsageError(
                f"{seen[target]} and {picture} would both be written to {target}; give the folders "
                "one at a time, each with an -o of its own"
            )
        seen[target] = picture
        if target.exists() and target.resolve() == picture.resolve():
            raise UsageError(f"{picture} would be overwritten by its labels; give another -o")
    return pairs


def label_files(
    model: Model,
    pairs: Sequence[tuple[Path, Path]],
    kind: str,
    *,
    alpha: float = 0.5,
    legend: bool = False,
    palette: str = "own",
) -> Iterator[Written]:
    """Label each picture and write it; a damaged one is told of, and the rest goes on.

    Args:
        model: what labels them.
        pairs: of `plan_files`.
        kind: one of PICTURES.
        alpha: share of the colour in an overlay, 0-1.
        legend: write the names of the classes into it.
        palette: one of PALETTES.

    Raises:
        UsageError: another kind or ending.
        BackendError: the runtime failed.
        OSError: a file cannot be written.
    """
    colours = display_palette(palette, model.bundle.spec.palette)
    for picture, target in pairs:
        try:
            result = dataclasses.replace(model(picture), palette=colours)
        except DataError as error:
            yield Written(picture, None, None, str(error))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        result.save(target, kind, alpha=alpha, legend=legend)
        yield Written(picture, target, result)
