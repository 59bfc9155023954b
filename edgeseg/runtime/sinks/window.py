"""Shows the pictures in a window on this machine's screen."""

from __future__ import annotations

import re

import cv2

from edgeseg.errors import BackendUnavailable, SinkError
from edgeseg.runtime.sinks.base import Prediction, Sink, SinkRequest
from edgeseg.runtime.sinks.painter import Painter

TITLE = "edgeseg"
INSTEAD = "use mjpeg://127.0.0.1:8080 and a browser, or a video file"


class WindowSink(Sink):
    """Shows the pictures with the class colours over them."""

    example = "window"

    def __init__(self, request: SinkRequest) -> None:
        """Check that a window is possible; it opens with the first frame.

        Raises:
            BackendUnavailable: OpenCV was built without windows, or there is no screen.
        """
        self.uri = request.uri
        self._paint = Painter(request)
        self._open = False
        if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
            raise BackendUnavailable(
                f"OpenCV {cv2.__version__} here is a headless build and has no windows; pip "
                f"uninstall opencv-python-headless, pip install 'edgeseg[window]'; or {INSTEAD}"
            )
        # Asked before OpenCV is: without a screen its window library ends the whole process.
        if not request.has_display:
            raise BackendUnavailable(f"this session has no screen for a window; {INSTEAD}")

    def write(self, prediction: Prediction) -> None:
        """Show one frame."""
        image = self._paint(prediction)
        try:
            cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            cv2.waitKey(1)
        except cv2.error as error:
            raise SinkError(f"the window failed ({error.err}); {INSTEAD}") from error
        self._open = True

    def close(self) -> None:
        """Close the window."""
        if self._open:
            cv2.destroyWindow(TITLE)
            self._open = False
