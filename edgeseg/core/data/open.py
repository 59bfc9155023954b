"""Labelled data by what the user calls it, and the registry of the folder layouts that are read."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from edgeseg.core.data.dataset import SPLITS, Dataset
from edgeseg.core.data.formats.base import Format
from edgeseg.core.data.formats.mask_folder import only_pictures
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.data.read_options import KEEP, ReadOptions
from edgeseg.core.data.settle import settled
from edgeseg.core.data.synthetic import SPLIT_SIZES, SyntheticDataset
from edgeseg.core.data.views import limited
from edgeseg.core.images.names import images_below
from edgeseg.core.registry import Registry
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError, UsageError

# The first that recognizes a folder opens it: the more telling layouts stand before the plainer.
FORMATS = Registry(
    "data format",
    "datasets",
    {
        "cityscapes": "edgeseg.core.data.formats.cityscapes:Cityscapes",
        "cvat": "edgeseg.core.data.formats.cvat:CvatMasks",
        "voc": "edgeseg.core.data.formats.voc:PascalVoc",
        "sunrgbd": "edgeseg.core.data.formats.sunrgbd:SunRgbd",
        "roboflow": "edgeseg.core.data.formats.roboflow:RoboflowMasks",
        "coco": "edgeseg.core.data.formats.coco:CocoJson",
        "ultralytics": "edgeseg.core.data.formats.ultralytics:UltralyticsPolygons",
        "labelme": "edgeseg.core.data.formats.labelme:LabelMe",
        "ade20k": "edgeseg.core.data.formats.ade20k:Ade20k",
        "masks": "edgeseg.core.data.formats.mask_folder:MaskFolder",
        "camvid": "edgeseg.core.data.formats.camvid:CamVid",
    },
)


def open_dataset(
    data: str,
    split: str = "val",
    *,
    size_hw: tuple[int, int] | None = None,
    limit: int | None = None,
    seed: int = 0,
    options: ReadOptions | None = None,
) -> Dataset:
    """Open labelled data by what the user calls it.

    Args:
        data: "synthetic", "synthetic:N" (N frames), a folder in one of the layouts of FORMATS, or
            "FORMAT:FOLDER" to read a folder as that format whatever it looks like.
        split: "train", "val" or "test".
        size_hw: size at which synthetic frames are painted; folders are read as they are.
        limit: keep at most this many samples, spread evenly over the split.
        seed: of the synthetic streets.
        options: what a folder's format is asked for; not used by synthetic data.

    Raises:
        UsageError: the split is unknown, or N or limit is not a positive number.
        DataError: the folder is missing, empty or in no layout of FORMATS.
    """
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}, expected a number of samples of at least 1")
    kind, colon, rest = data.partition(":")
    if kind == "synthetic" and not Path(data).is_dir():
        if colon and not (rest.isascii() and rest.isdigit() and int(rest) > 0):
            raise UsageError(f"{data!r}: expected synthetic or synthetic:N with N of at least 1")
        n = int(rest) if colon else SPLIT_SIZES[split]
        return limited(SyntheticDataset(split, n, size_hw or (360, 480), seed), limit)
    named = colon and kind in FORMATS and not Path(data).exists()
    root = Path(rest if named else data)
    if not root.exists():
        raise DataError(f"{root}: no such folder; expected a data folder or 'synthetic'")
    if not root.is_dir():
        raise DataError(f"{root}: a file; expected a data folder or 'synthetic'")
    layout = load_format(kind) if named else load_format(recognize(root)[0])
    return limited(_opened(layout, root, split, options or ReadOptions()), limit)


def open_pictures(
    data: str,
    spec: ModelSpec,
    options: ReadOptions | None = None,
) -> Dataset:
    """Open what a calibration looks at: training images, or any folder of pictures.

    Args:
        data: as open_dataset takes it, or a folder of pictures in no layout; no mask is needed.
        spec: of the network, whose classes such pictures get.
        options: what a folder's format is asked for.

    Raises:
        DataError: the folder is missing, or holds neither a layout of FORMATS nor a picture.
    """
    asked = dataclasses.replace(options or ReadOptions(), unlabelled=KEEP)
    root = Path(data)
    if root.is_dir():
        try:
            plain = recognize(root)[0] == "masks" and only_pictures(root)
        except DataError:
            plain = True
            if not images_below(root):
                raise
        if plain:
            images = images_below(root)
            pairs = tuple((image, None) for image in images)
            folder = PairFolder(root.name, pairs, spec.class_names, spec.palette, spec.ignore_index)
            return settled(folder, [folder])
    return open_dataset(data, "train", size_hw=spec.size_hw, options=asked)


def _opened(layout: Format, root: Path, split: str, options: ReadOptions) -> Dataset:
    """Open one split; what all masks together tell of their values holds for each split."""
    dataset = layout.open(root, split, options)
    if not isinstance(dataset, PairFolder):
        return dataset
    whole = [dataset]
    for other in SPLITS:
        # A split that is not there, or not yet right, is the concern of whoever asks for it.
        with contextlib.suppress(DataError):
            found = layout.open(root, other, options) if other != split else dataset
            whole += [found] if isinstance(found, PairFolder) and found is not dataset else []
    return settled(dataset, whole)


def recognize(root: Path) -> tuple[str, str]:
    """Return which format a folder is opened as, and what in the folder shows it.

    Formats of installed packages are asked first: a user who installed one has data for it.

    Raises:
        DataError: no format recognizes the folder; it lists what each one looks for.
    """
    for name in (*FORMATS.added, *FORMATS.own):
        seen = load_format(name).recognize(root)
        if seen is not None:
            return name, seen
    known = "; ".join(f"{name}: {load_format(name).tree}" for name in FORMATS)
    raise DataError(f"{root}: no data layout is recognized there; expected one of {known}")


def load_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        UsageError: the name is unknown, or an installed package's format cannot be loaded.
    """
    layout: Format = FORMATS.load(name)()
    return layout
