"""Sinks that write picture files: masks, overlays, one picture; and the null sink."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import cv2

from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.images.io import comment_of, encode_jpeg, encode_labels, encode_rgb
from edgeseg.core.images.names import is_image_name
from edgeseg.errors import SinkError, UsageError
from edgeseg.runtime.sinks.base import Left, Prediction, Sink, SinkRequest
from edgeseg.runtime.sinks.painter import Painter
from edgeseg.runtime.sinks.places import claim_file, claim_folder, moved_note

# Stands in every file of these sinks, so that they know their own again.
MARK = "edgeseg stream"


class NullSink(Sink):
    """Takes predictions and forgets them."""

    example = "null"

    def __init__(self, request: SinkRequest) -> None:
        """Remember the name."""
        self.uri = request.uri

    def write(self, prediction: Prediction) -> None:
        """Do nothing."""


class FolderSink(Sink):
    """A folder with one file per frame, named like the frame or by its number.

    A folder in which an earlier run wrote is left as it is, and this one gets a number. A folder
    that holds any other image is refused, since pictures and what is made of them have equal names.
    """

    writes_path = True
    names_by_image = True
    ending: ClassVar[str] = ""
    what: ClassVar[str] = ""

    def __init__(self, request: SinkRequest) -> None:
        """Make the folder.

        Raises:
            UsageError: no folder is named, or it holds images that are not of these sinks.
            SinkError: it cannot be made or read.
        """
        if not request.rest:
            raise UsageError(f"{self.what}:// needs a folder, as {self.what}://out")
        self.uri = request.uri
        asked = Path(request.rest)
        self._handle, self._folder = claim_folder(asked, self._is_free, replace=request.replace)
        if self._folder != asked:
            request.tell(moved_note(asked, self._folder))
        self._wrote = 0
        # Of frames that have one; a file source that is repeated gives each several times.
        self._names: set[str] = set()

    def write(self, prediction: Prediction) -> None:
        """Write one file, whole or not at all."""
        frame = prediction.frame
        stem = Path(frame.name).stem
        name = f"{stem or f'{frame.index:06d}'}{self.ending}"
        try:
            atomic_write_bytes(self._folder / name, self.encoded(prediction))
        except OSError as error:
            raise SinkError(f"{self._folder} cannot be written ({error})") from error
        if stem not in self._names:
            self._wrote += 1
        if stem:
            self._names.add(stem)

    def encoded(self, prediction: Prediction) -> bytes:
        """Return the bytes of one frame's file."""
        raise NotImplementedError

    def finish(self) -> Left | None:
        """Count the files that are there."""
        if self._handle < 0:
            return None
        os.close(self._handle)
        self._handle = -1
        try:
            with os.scandir(self._folder) as found:
                held = sum(1 for e in found if e.name.endswith(self.ending) and e.stat().st_size)
        except OSError as error:
            return Left(str(self._folder), self._wrote, 0, f"{self._folder}: {error.strerror}")
        held = min(held, self._wrote)
        problem = ""
        if held < self._wrote:
            problem = f"{self._folder} holds {held} of the {self._wrote} files that were written"
        return Left(str(self._folder), self._wrote, held, problem)

    def _is_free(self, folder: Path) -> bool:
        free = True
        for path in folder.iterdir():
            if not is_image_name(path):
                continue
            if comment_of(path) != MARK:
                raise UsageError(
                    f"{folder} holds {path.name}, which is no file that edgeseg stream wrote; "
                    f"give a new folder for the {self.what}"
                )
            free = False
        return free


class MaskSink(FolderSink):
    """A folder of PNGs of labels, with the classes' colours as their palette."""

    example = "{folder}/masks/"
    ending = ".png"
    what = "masks"

    def __init__(self, request: SinkRequest) -> None:
        """Make the folder."""
        super().__init__(request)
        self._palette = request.palette

    def encoded(self, prediction: Prediction) -> bytes:
        """Return a PNG whose values are the labels."""
        return encode_labels(prediction.labels, self._palette, MARK)


class OverlaySink(FolderSink):
    """A folder of JPEGs of the pictures with the class colours over them."""

    example = "{folder}/overlays/"
    ending = ".jpg"
    what = "overlays"

    def __init__(self, request: SinkRequest) -> None:
        """Make the folder."""
        super().__init__(request)
        self._paint = Painter(request)

    def encoded(self, prediction: Prediction) -> bytes:
        """Return a JPEG."""
        return encode_jpeg(self._paint(prediction), MARK)


class PictureSink(Sink):
    """One picture with the class colours over it, for a source of one picture."""

    example = "{folder}/out.png"
    writes_path = True

    def __init__(self, request: SinkRequest) -> None:
        """Check the place.

        Raises:
            UsageError: no file is named, or its ending is none of a picture.
            SinkError: the folder does not exist.
        """
        self.uri = request.uri
        self._path = Path(request.rest)
        if self._path.suffix.lower() not in PICTURE_SUFFIXES:
            raise UsageError(
                f"{request.uri}: expected a file ending in {', '.join(PICTURE_SUFFIXES)}"
            )
        if not self._path.parent.is_dir():
            raise SinkError(f"{self._path.parent} is no folder; make it before writing into it")
        self._request = request
        self._paint = Painter(request)
        self._data = b""

    def write(self, prediction: Prediction) -> None:
        """Write the picture."""
        if self._data:
            raise SinkError(
                f"{self._path} holds the first picture alone, the source has more; give overlays/ "
                "or a video"
            )
        image = self._paint(prediction)
        png = self._path.suffix.lower() == ".png"
        self._data = encode_rgb(image, MARK) if png else encode_jpeg(image, MARK)
        handle, got = claim_file(self._path, replace=self._request.replace)
        try:
            if got != self._path:
                self._request.tell(moved_note(self._path, got))
            self._path = got
            atomic_write_bytes(got, self._data)
        except OSError as error:
            got.unlink(missing_ok=True)
            raise SinkError(f"{got} cannot be written ({error.strerror})") from error
        finally:
            os.close(handle)

    def finish(self) -> Left | None:
        """Read the picture back."""
        if not self._data:
            return None
        held = self._path.is_file() and cv2.imread(str(self._path)) is not None
        problem = "" if held else f"{self._path} cannot be read back"
        return Left(str(self._path), 1, int(held), problem)


PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
