"""What a network says of one picture: labels, shares, outlines and paintings of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.images.io import encode_labels, write_png
from edgeseg.core.images.legend import with_legend
from edgeseg.core.images.paint import Palette, colorize, overlay
from edgeseg.errors import UsageError

# What `Result.picture` paints and `edgeseg predict --as` writes.
PICTURES = ("overlay", "mask", "labels", "side")


@dataclasses.dataclass(frozen=True)
class Result:
    """The labels of one picture.

    Attributes:
        image: the picture, RGB, h w 3.
        labels: one class index per pixel, h w, at the picture's own size.
        names: class names by index.
        palette: RGB 0-255 by index.
        source: where the picture came from; empty for an array.
    """

    image: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    names: tuple[str, ...]
    palette: Palette
    source: str = ""

    @property
    def shares(self) -> dict[str, float]:
        """Return the share of the pixels, 0-1, by class name; every class is there."""
        counts = np.bincount(self.labels.ravel(), minlength=256)[: len(self.names)]
        return {
            name: float(count) / self.labels.size
            for name, count in zip(self.names, counts, strict=True)
        }

    def polygons(self, min_area: float | int = 0) -> list[Mapping[str, Any]]:
        """Return the outlines of the connected areas, the largest first.

        Args:
            min_area: least area in pixels, as the outline encloses it.

        Returns:
            For each area `name`, `label`, `area` in pixels and `points`, a list of (x, y) pixel
            positions. Holes are not cut out; what lies in a hole has an outline of its own.
        """
        found = []
        for label in np.unique(self.labels):
            if label >= len(self.names):
                continue
            mask = np.equal(self.labels, label).view(np.uint8)
            outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            for outline in outlines:
                area = float(cv2.contourArea(outline))
                if area >= min_area:
                    points = [(int(x), int(y)) for x, y in outline[:, 0]]
                    found.append(
                        {"name": self.names[label], "label": int(label), "area": area,
                         "points": points}
                    )  # fmt: skip
        return sorted(found, key=lambda item: -item["area"])

    def mask(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return the labels in their classes' colours, RGB."""
        return colorize(self.labels, self.palette)

    def overlay(self, alpha: float | int = 0.5, legend: bool = False) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture with the labels' colours over it, RGB.

        Args:
            alpha: share of the colour, 0-1.
            legend: write the names and shares of the classes that occur into a corner.

        Raises:
            UsageError: alpha lies outside 0-1.
        """
        if not 0.0 <= alpha <= 1.0:
            raise UsageError(f"alpha is {alpha}, expected 0 to 1")
        painted = overlay(self.image, self.labels, self.palette, alpha)
        return self._with_legend(painted) if legend else painted

    def picture(
        self, kind: str = "overlay", *, alpha: float | int = 0.5, legend: bool = False
    ) -> np.ndarray:
        """Return one of PICTURES.

        Args:
            kind: "overlay", "mask" (colours), "labels" (class index per pixel, h w) or "side"
                (picture and overlay side by side).
            alpha: as for `overlay`.
            legend: as for `overlay`; "labels" have none.

        Raises:
            UsageError: another kind, or an alpha outside 0-1.
        """
        if kind not in PICTURES:
            raise UsageError(f"kind is {kind!r}, expected one of {', '.join(PICTURES)}")
        if kind == "labels":
            return self.labels
        if kind == "mask":
            return self._with_legend(self.mask()) if legend else self.mask()
        painted = self.overlay(alpha, legend)
        return painted if kind == "overlay" else np.hstack([self.image, painted])

    def save(self, path: str | Path, kind: str = "overlay", **how: Any) -> Path:
        """Write one of PICTURES as PNG or JPEG, complete or not at all.

        "mask" is a palette PNG: its values are the labels, as Pillow reads them back. With a legend
        it is a picture.

        Args:
            path: ends in .png, .jpg or .jpeg; labels are written as PNG only.
            kind: as for `picture`.
            **how: `alpha` and `legend`, as for `picture`.

        Raises:
            UsageError: another ending, or labels as JPEG, which would change them.
        """
        target = Path(path)
        ending = target.suffix.lower()
        if ending not in (".png", ".jpg", ".jpeg"):
            raise UsageError(f"{target}: expected a name that ends in .png, .jpg or .jpeg")
        if kind in ("labels", "mask") and ending != ".png":
            raise UsageError(f"{target}: JPEG changes labels; give a name that ends in .png")
        if kind == "mask" and not how.get("legend"):
            # The colours as a palette: what a viewer shows, and the labels are there to be read.
            atomic_write_bytes(target, encode_labels(self.labels, self.palette))
            return target
        image = self.picture(kind, **how)
        if ending == ".png":
            write_png(target, image)
        else:
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            atomic_write_bytes(target, cv2.imencode(".jpg", bgr)[1].tobytes())
        return target

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: where it came from, its size and the shares."""
        height, width = self.labels.shape
        return {"source": self.source, "height": height, "width": width, "shares": self.shares}

    def _repr_png_(self) -> bytes:
        """Show the overlay in a notebook."""
        bgr = cv2.cvtColor(self.overlay(legend=True), cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", bgr)[1].tobytes()

    def _with_legend(self, painted: np.ndarray) -> np.ndarray:
        """Draw a box of names into the upper left corner, largest share first."""
        shown = sorted(
            ((share, i) for i, share in enumerate(self.shares.values()) if share > 0), reverse=True
        )
        rows = [(f"{self.names[i]} {share:.1%}", self.palette[i]) for share, i in shown]
        return with_legend(painted, rows)
