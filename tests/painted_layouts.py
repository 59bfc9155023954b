"""One painted data set, written in every layout that edgeseg reads.

Every picture is of upright rectangles with whole corners, so that polygons hold them exactly. Names
have spaces and letters beyond ASCII.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from edgeseg.core.data.formats.cityscapes import TRAINED
from edgeseg.core.data.formats.sunrgbd import SUN_CLASSES, TEST_PICTURES

SIZE_HW = (24, 32)
NAMES = ("background", "box", "person")
COLOURS = ((0, 0, 0), (200, 30, 40), (10, 220, 60))
SPLITS = {"train": ("a 0", "ä1", "b2", "b3"), "val": ("c4", "c 5")}


@dataclasses.dataclass(frozen=True)
class Rectangle:
    label: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def corners(self) -> list[list[int]]:
        x0, y0, x1, y1 = self.left, self.top, self.right, self.bottom
        return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def rectangles(name: str) -> list[Rectangle]:
    """The shapes of a picture, in the order in which they are painted, the largest first."""
    k = 2 * [name for names in SPLITS.values() for name in names].index(name)
    return [Rectangle(1, 1 + k, 2, 17 + k, 15), Rectangle(2, 4 + k, 5, 9 + k, 21 - k)]


def labels(name: str) -> np.ndarray:
    painted = np.zeros(SIZE_HW, np.uint8)
    for one in rectangles(name):
        painted[one.top : one.bottom, one.left : one.right] = one.label
    return painted


def save(path: Path, pixels: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([c for rgb in COLOURS for c in rgb])
    image.save(path)


def picture(path: Path, name: str) -> None:
    save(path, np.repeat((80 * labels(name) + len(name))[..., None], 3, 2).astype(np.uint8))


def each() -> list[tuple[str, str]]:
    return [(split, name) for split, names in SPLITS.items() for name in names]


def text(path: Path, lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines, encoding="utf-8", newline="")


def masks(root: Path) -> None:
    for split, name in each():
        picture(root / "images" / split / f"{name}.png", name)
        save(root / "masks" / split / f"{name}.png", labels(name))
    text(root / "classes.txt", "".join(f"{name}\n" for name in NAMES))


def voc(root: Path) -> None:
    for split, name in each():
        picture(root / "JPEGImages" / f"{name}.png", name)
        save(root / "SegmentationClass" / f"{name}.png", labels(name), palette=True)
        names = SPLITS[split]
        lists = root / "ImageSets" / "Segmentation"
        # As written on Windows.
        text(lists / f"{split}.txt", "".join(f"C:\\voc\\{one}\r\n" for one in names))
    text(root / "class_names.txt", "".join(f"{name}\n" for name in NAMES))


def cvat(root: Path) -> None:
    colours = np.array(COLOURS, np.uint8)
    for split, name in each():
        picture(root / "JPEGImages" / f"{name}.png", name)
        save(root / "SegmentationClass" / f"{name}.png", colours[labels(name)])
        lists = root / "ImageSets" / "Segmentation"
        text(lists / f"{split}.txt", "".join(f"{one}\n" for one in SPLITS[split]))
    lines = [f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in zip(NAMES, COLOURS, strict=True)]
    text(root / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "".join(lines))


def cityscapes(root: Path) -> None:
    ids = np.array([TRAINED[k][1] for k in range(len(NAMES))], np.uint8)
    for split, name in each():
        picture(root / "leftImg8bit" / split / "aachen" / f"{name}_leftImg8bit.png", name)
        mask = f"{name}_gtFine_labelIds.png"
        save(root / "gtFine" / split / "aachen" / mask, ids[labels(name)])


def roboflow(root: Path) -> None:
    for split, name in each():
        folder = root / {"val": "valid"}.get(split, split)
        picture(folder / f"{name}_png.rf.0a.png", name)
        save(folder / f"{name}_png.rf.0a_mask.png", labels(name))
        rows = "".join(f"{k}, {name}\n" for k, name in enumerate(NAMES))
        text(folder / "_classes.csv", "Pixel Value, Class\n" + rows)


def coco_json(names: tuple[str, ...]) -> str:
    shapes = [(k, one) for k, name in enumerate(names) for one in rectangles(name)]
    return json.dumps(
        {
            "images": [
                {"id": k, "file_name": f"{name}.png", "height": SIZE_HW[0], "width": SIZE_HW[1]}
                for k, name in enumerate(names)
            ],
            "categories": [{"id": 7 * k, "name": NAMES[k]} for k in (1, 2)],
            # The small ones first: what is on top is told by size.
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": 7 * one.label,
                    "iscrowd": 0,
                    "segmentation": [[c for corner in one.corners for c in corner]],
                }
                for number, (image, one) in enumerate(reversed(shapes))
            ],
        }
    )


def coco(root: Path) -> None:
    for split, name in each():
        picture(root / f"{split}2017" / f"{name}.png", name)
    for split, names in SPLITS.items():
        text(root / "annotations" / f"instances_{split}2017.json", coco_json(names))


def roboflow_coco(root: Path) -> None:
    for split, name in each():
        picture(root / {"val": "valid"}.get(split, split) / f"{name}.png", name)
    for split, names in SPLITS.items():
        folder = root / {"val": "valid"}.get(split, split)
        text(folder / "_annotations.coco.json", coco_json(names))


def labelme(root: Path) -> None:
    for split, name in each():
        picture(root / split / f"{name}.png", name)
        shapes = [
            {"label": NAMES[one.label], "shape_type": "polygon", "points": one.corners}
            if one.label == 1
            else {
                "label": NAMES[one.label],
                "shape_type": "rectangle",
                "points": [one.corners[2], one.corners[0]],
            }
            for one in rectangles(name)
        ]
        data = {"shapes": shapes, "imagePath": f"{name}.png", "imageData": None,
                "imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1]}  # fmt: skip
        text(root / split / f"{name}.json", json.dumps(data))


def ultralytics(root: Path) -> None:
    for split, name in each():
        picture(root / "images" / split / f"{name}.png", name)
        lines = ""
        for one in reversed(rectangles(name)):
            shares = [f"{x / SIZE_HW[1]:.6f} {y / SIZE_HW[0]:.6f}" for x, y in one.corners]
            lines += f"{one.label - 1} {' '.join(shares)}\n"
        text(root / "labels" / split / f"{name}.txt", lines)
    lines = "path: ../datasets/painted\ntrain: images/train\nval: images/val\n"
    text(root / "data.yaml", lines + "names:\n  0: box\n  1: person\n")


def sunrgbd(root: Path) -> None:
    # Without a split of its own for validation: the last of train are held back.
    for number, (_, name) in enumerate(each(), 1):
        picture(root / "SUNRGBD-train_images" / f"img-{number:06d}.png", name)
        shared = root / "sunrgbd_train_test_labels"
        save(shared / f"img-{number + TEST_PICTURES:06d}.png", labels(name) + 1)
        # The test picture of that number has another label.
        save(shared / f"img-{number:06d}.png", np.full(SIZE_HW, 9, np.uint8))


def ade20k(root: Path) -> None:
    for split, name in each():
        part = {"train": "training", "val": "validation"}[split]
        picture(root / "images" / part / f"{name}.png", name)
        save(root / "annotations" / part / f"{name}.png", labels(name) + 1)
    text(root / "classes.txt", "".join(f"{name}\n" for name in NAMES))


def unlist(file: Path, name: str) -> None:
    """Take a picture and its instances out of a COCO file."""
    data = json.loads(file.read_text())
    gone = next(one["id"] for one in data["images"] if one["file_name"] == f"{name}.png")
    data["images"] = [one for one in data["images"] if one["id"] != gone]
    data["annotations"] = [one for one in data["annotations"] if one["image_id"] != gone]
    file.write_text(json.dumps(data))


VALUES = "background = 0\nvoid = 1\nperson = 2\n"
NAMED = "background\nperson\nbox = void\n"
COLOURED = "background 0 0 0\nvoid 200 30 40\nperson 10 220 60\n"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the painted data set is written in a format.

    Attributes:
        format: the registry's name.
        write: writes it.
        lost: files or folders whose loss must be told.
        mask: what labels the picture `b2`: a file, or a COCO file that lists it.
        own: a classes.txt for it that ignores the boxes.
        names: the classes that are read.
        held_back: the layout has no validation of its own.
    """

    format: str
    write: Callable[[Path], None]
    lost: tuple[str, ...]
    mask: str
    own: str = NAMED
    names: tuple[str, ...] = NAMES
    held_back: bool = False

    def unlabel(self, root: Path) -> None:
        """Take the labels of `b2` away."""
        file = root / self.mask
        if self.format == "coco":
            unlist(file, "b2")
        else:
            file.unlink()


LAYOUTS = {
    "masks": Layout("masks", masks, ("classes.txt", "masks"), "masks/train/b2.png", VALUES),
    "voc": Layout(
        "voc", voc, ("class_names.txt", "JPEGImages", "SegmentationClass", "JPEGImages/b3.png"),
        "SegmentationClass/b2.png", VALUES,
    ),
    "cvat": Layout(
        "cvat", cvat, ("SegmentationClass", "JPEGImages"), "SegmentationClass/b2.png", COLOURED
    ),
    "cityscapes": Layout(
        "cityscapes", cityscapes, ("gtFine", "leftImg8bit", "gtFine/train"),
        "gtFine/train/aachen/b2_gtFine_labelIds.png", "background = 7\nvoid = 8\nperson = 11\n",
        names=tuple(one[0] for one in TRAINED),
    ),
    "roboflow": Layout(
        "roboflow", roboflow, ("train/_classes.csv", "valid/_classes.csv"),
        "train/b2_png.rf.0a_mask.png", VALUES,
    ),
    "coco": Layout(
        "coco", coco, ("train2017", "train2017/b2.png"), "annotations/instances_train2017.json"
    ),
    "roboflow-coco": Layout(
        "coco", roboflow_coco, ("train/b2.png",), "train/_annotations.coco.json"
    ),
    "labelme": Layout("labelme", labelme, ("train/b2.png",), "train/b2.json"),
    "ultralytics": Layout(
        "ultralytics", ultralytics, ("data.yaml", "images/train", "labels/train"),
        "labels/train/b2.txt",
    ),
    "sunrgbd": Layout(
        "sunrgbd", sunrgbd, ("sunrgbd_train_test_labels", "SUNRGBD-train_images"),
        "sunrgbd_train_test_labels/img-005053.png", "background = 1\nvoid = 2\nperson = 3\n",
        tuple(SUN_CLASSES), True,
    ),
    "ade20k": Layout(
        "ade20k", ade20k, ("annotations/training", "classes.txt", "images/training"),
        "annotations/training/b2.png", "background = 1\nvoid = 2\nperson = 3\n",
    ),
}  # fmt: skip
