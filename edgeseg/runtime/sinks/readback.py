"""Counts the frames of a video that can be read back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2

from edgeseg.core.packages import is_installed

# Longest time of counting. A service has 30 s to end, and a day's recording takes minutes to read.
BUDGET_S = 5.0


def frames_in(path: Path, budget_s: float = BUDGET_S) -> int:
    """Return how many frames of a video can be read, 0 where it is none or cannot be opened.

    Every packet is read and those after the last key frame are decoded, since damage is at the end.
    A file that takes longer than `budget_s` is believed what its header says.
    """
    if is_installed("av"):
        return _by_av(path, budget_s)
    return _by_opencv(path, budget_s)


def _by_av(path: Path, budget_s: float) -> int:
    import av
    from av.error import FFmpegError

    ends_at = time.monotonic() + budget_s
    packets = before = 0
    tail: list[Any] = []
    try:
        with path.open("rb") as stream, av.open(stream) as container:
            video = container.streams.video[0]
            try:
                for packet in container.demux(video):
                    if packet.size == 0:
                        continue
                    if packet.is_keyframe:
                        before, tail = packets, []
                    tail.append(packet)
                    packets += 1
                    if time.monotonic() > ends_at:
                        return max(packets, _promised(container, video))
            except (FFmpegError, OSError):
                # Cut within a packet; those before count.
                pass
            return before + _decoded(video.codec_context, tail)
    except (FFmpegError, OSError, IndexError, ValueError):
        return 0


def _decoded(decoder: Any, packets: list[Any]) -> int:
    from av.error import FFmpegError

    found = 0
    for packet in [*packets, None]:
        try:
            found += sum(1 for frame in decoder.decode(packet) if not frame.is_corrupt)
        except FFmpegError:
            continue
    return found


def _promised(container: Any, video: Any) -> int:
    if video.frames:
        return int(video.frames)
    if container.duration and video.average_rate:
        return round(container.duration / 1e6 * float(video.average_rate))
    return 0


def _by_opencv(path: Path, budget_s: float) -> int:
    # Absolute: FFmpeg takes what stands before a colon for a protocol.
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    ends_at, found = time.monotonic() + budget_s, 0
    try:
        while capture.grab():
            found += 1
            if time.monotonic() > ends_at:
                return max(found, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        return found
    finally:
        capture.release()
