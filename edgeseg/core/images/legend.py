"""Writes a box of names and colours into a corner of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

# The height of a line against the picture's, and its smallest in pixels.
LINE_SHARE, LEAST_LINE = 1 / 28, 14
# Share of the picture's height that the box takes at most.
BOX_SHARE = 0.95
WHITE = (255, 255, 255)

Row = tuple[str, tuple[int, int, int] | None]


def with_legend(rgb: UInt8[np.ndarray, "h w 3"], rows: Sequence[Row]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a copy with the rows in the upper left corner, on a dark ground.

    Args:
        rgb: the picture.
        rows: a text and the colour of the square before it, None for a text alone.
    """
    if not rows:
        return rgb.copy()
    height = rgb.shape[0]
    line = max(LEAST_LINE, round(height * LINE_SHARE))
    line = max(6, min(line, int(height * BOX_SHARE / (len(rows) + 1))))
    scale, font = line / 32, cv2.FONT_HERSHEY_SIMPLEX
    texts = [(_plain(text), colour) for text, colour in rows]
    widest = max(cv2.getTextSize(text, font, scale, 1)[0][0] for text, _ in texts)
    right, bottom = line * 2 + widest, line * (len(texts) + 1)
    box = rgb.copy()
    cv2.rectangle(box, (0, 0), (right, bottom), (0, 0, 0), -1)
    out = cv2.addWeighted(box, 0.6, rgb, 0.4, 0.0)
    for row, (text, colour) in enumerate(texts):
        low = line * (row + 1) + line // 4
        if colour is not None:
            square = tuple(map(int, colour))
            cv2.rectangle(out, (line // 2, low - line // 2), (line, low), square, -1)
        cv2.putText(out, text, (line + line // 3, low), font, scale, WHITE, 1, cv2.LINE_AA)
    return out


def _plain(text: str) -> str:
    # OpenCV's own letters are ASCII; it writes ?? for each other one.
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
