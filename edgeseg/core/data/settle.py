"""Decides from all files of a data set what one file cannot tell.

- Masks of two classes that hold 0 and 255 alone: 255 is the second class, not void.
- Grey pixels where classes have grey colours: labels, or colours.
- Pictures of 16 bits: which value is white.

A user's file that says it, `object = 255` in classes.txt, goes before any of this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgeseg.core.data.kept import keep, kept, key_of
from edgeseg.core.data.masks import JPEG_BINARY, MaskRule, decode_mask
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.data.sampling import spread_indices
from edgeseg.core.images.io import full_scale_of, largest_value
from edgeseg.errors import DataError

# Pictures looked at to tell whether a data set is of 16 bits.
LOOKED_AT = 16


def settled(folder: PairFolder, whole: Sequence[PairFolder]) -> PairFolder:
    """Return a split with what all splits together tell of its files.

    Args:
        folder: one split.
        whole: every split of the same data, `folder` included.
    """
    notes = list(folder.notes)
    masks = _masks(whole)
    reads_files = type(folder).labels_at is PairFolder.labels_at
    if masks and reads_files and not folder.explained:
        rule, said = _settled_rule(folder.mask_rule, masks, folder.class_names)
        folder = dataclasses.replace(folder, rule=rule)
        notes += said
    images = tuple(dict.fromkeys(image for part in whole for image, _ in part.pairs))
    if folder.full_scale is None and images:
        scale = _full_scale(images)
        if scale is not None:
            folder = dataclasses.replace(folder, full_scale=scale)
            notes.append(f"pictures of 16 bits: 0-{scale} is scaled to 0-255")
    return dataclasses.replace(folder, notes=tuple(notes))


def _masks(whole: Sequence[PairFolder]) -> tuple[Path, ...]:
    found = (mask for part in whole for _, mask in part.pairs if mask is not None)
    return tuple(dict.fromkeys(found))


def _full_scale(images: tuple[Path, ...]) -> int | None:
    """Return what is white in pictures of 16 bits, None where the pictures are of 8."""
    looked_at = [images[index] for index in spread_indices(len(images), LOOKED_AT)]
    if not any(_largest(path) is not None for path in looked_at):
        return None
    key = key_of("largest value", images)
    largest = kept(key)
    if not isinstance(largest, int):
        largest = max(_largest(path) or 0 for path in images)
        keep(key, largest)
    return full_scale_of(largest)


def _largest(path: Path) -> int | None:
    try:
        return largest_value(path)
    except DataError:
        # Whoever reads the picture says what is wrong with it.
        return None


def _settled_rule(
    rule: MaskRule, masks: tuple[Path, ...], names: tuple[str, ...]
) -> tuple[MaskRule, tuple[str, ...]]:
    """Return the rule that all masks tell of, kept between runs: some sets need every mask read."""
    key = key_of(f"settled {rule} {names}", masks)
    found = kept(key)
    if not (isinstance(found, list) and len(found) == 3 and all(type(v) is bool for v in found)):
        found = list(_told(rule, masks, names))
        keep(key, found)
    copies, colours, binary = found
    rule = dataclasses.replace(rule, grey_copies=copies, grey_is_colour=colours)
    if not binary:
        return rule, ()
    said = (
        f"the masks hold 0 and 255 alone: 255 is read as {names[1]}, not as void (if it is void, "
        "write `void = 255` in classes.txt)"
    )
    return dataclasses.replace(rule, values=((0, 0), (255, 1))), (said,)


def _told(
    rule: MaskRule, masks: tuple[Path, ...], names: tuple[str, ...]
) -> tuple[bool, bool, bool]:
    """Return grey_copies, grey_is_colour, and whether 0 and 255 are two classes."""
    listed = {colour[0] for colour, _ in rule.colours if len(set(colour)) == 1}
    rule = _grey_copies(rule, masks, listed)
    rule = _grey_colours(rule, masks, listed)
    binary = (
        len(names) == 2
        and not rule.values
        and not rule.grey_is_colour
        and rule.ignore_index == 255
        and _only_0_and_255(rule, masks)
    )
    return rule.grey_copies, rule.grey_is_colour, binary


def _planes(masks: Sequence[Path], *, channels: int) -> Iterator[set[int] | None]:
    """Yield the values of each grey mask of 1 or 3 channels; None for one that has colours."""
    for path in masks:
        try:
            decoded = decode_mask(path)
        except DataError:
            continue
        pixels = decoded.pixels
        if (3 if pixels.ndim == 3 else 1) != channels:
            continue
        if pixels.ndim == 3:
            if (pixels != pixels[..., :1]).any():
                yield None
                continue
            pixels = pixels[..., 0]
        if decoded.jpeg and _near_binary(pixels):
            yield {0, 255}
        else:
            yield {int(value) for value in np.unique(pixels)}


def _near_binary(pixels: np.ndarray) -> bool:
    return float(((pixels < 64) | (pixels > 191)).mean()) >= JPEG_BINARY


def _grey_copies(rule: MaskRule, masks: Sequence[Path], listed: set[int]) -> MaskRule:
    """Tell whether three-channel masks hold copies of a label rather than colours."""
    if not rule.colours:
        return rule
    labels = set(rule.labels_of_values())
    for values in _planes(masks, channels=3):
        if values is None or not values <= labels:
            return rule
        if not values <= listed | {0}:
            return dataclasses.replace(rule, grey_copies=True)
    return rule


def _grey_colours(rule: MaskRule, masks: Sequence[Path], listed: set[int]) -> MaskRule:
    """Tell whether masks of one channel hold grey colours that are listed rather than labels."""
    if not listed:
        return rule
    labels = set(rule.labels_of_values())
    void = {colour[0] for colour, label in rule.colours if label == rule.ignore_index}
    white_is_class = 255 in listed - void
    seen: set[int] = set()
    for values in _planes(masks, channels=1):
        seen |= values or set()
        if not seen <= listed | {0, 255}:
            return rule
        if not seen <= labels and seen <= listed | {0}:
            return dataclasses.replace(rule, grey_is_colour=True)
    return dataclasses.replace(rule, grey_is_colour=white_is_class and 255 in seen)


def _only_0_and_255(rule: MaskRule, masks: Sequence[Path]) -> bool:
    channels = (1,) if rule.colours and not rule.grey_copies else (1, 3)
    seen: set[int] = set()
    for count in channels:
        for values in _planes(masks, channels=count):
            if values is None or not values <= {0, 255}:
                return False
            seen |= values
    return 255 in seen
