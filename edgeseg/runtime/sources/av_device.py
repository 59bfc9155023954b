"""Reads a network camera through PyAV, which is FFmpeg without a queue of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.text.redact import encode_credentials, public_uri, redact
from edgeseg.errors import SourceError
from edgeseg.runtime.sources.device import Device, Picture
from edgeseg.runtime.sources.network.reach import network_error

if TYPE_CHECKING:
    from av import Packet, VideoFrame

# TCP loses nothing on the way; the rest opens in 0.1 s instead of 1 s and holds no frame back.
QUICK = {"fflags": "nobuffer", "flags": "low_delay", "probesize": "32", "analyzeduration": "0"}
OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", **QUICK},
    # Each part is a whole JPEG; a boundary may be written with its dashes or without.
    "multipart": {"fflags": "nobuffer", "probesize": "4096", "analyzeduration": "0"},
    "other": {},
}
FORMATS = {"multipart": "mpjpeg"}
# HLS comes in pieces of some seconds. Further behind its own time than this, it is begun anew.
MOST_WAIT_S = 1.0
PIECE_S = 10.0


class AvDevice(Device):
    """One connection to an RTSP or HTTP server.

    A picture is stamped when its packet arrives, before it is decoded. Pictures that the decoder
    calls damaged are not given, nor what is built on a damaged key frame. A server that repeats its
    parameter sets before every slice (GStreamer's `rtph264pay config-interval=-1` behind an encoder
    with several slices) has its key frames torn in parts by FFmpeg's parser; once that was seen,
    they are put together again, and wait for the packet after them.

    Args:
        uri: with credentials.
        open_s: longest opening.
        read_s: longest wait for one packet.
        clock: nanoseconds that only go forward.
        kind: "rtsp", "multipart" (JPEGs over HTTP) or "other" (HLS and files over HTTP), which
            comes faster than its pictures are to be shown and is held back to their own times.

    Raises:
        SourceError: it does not open in time, or carries no video.
    """

    def __init__(
        self,
        uri: str,
        *,
        open_s: float,
        read_s: float,
        clock: Callable[[], int],
        kind: str = "rtsp",
    ) -> None:
        # An extra: the module must be importable without it.
        import av
        from av.error import FFmpegError

        self._ffmpeg_error: type[Exception] = FFmpegError
        self._name = public_uri(uri)
        self._clock = clock
        self._held = kind == "other"
        # FFmpeg numbers the JPEGs of a multipart stream as if they came 25 times a second.
        self._timed = kind != "multipart"
        # The pieces of HLS are some seconds long, and the next one may be as far away.
        wait_s = read_s if kind != "other" else max(read_s, PIECE_S)
        begin = time.monotonic()
        try:
            self._container = av.open(
                encode_credentials(uri),
                format=FORMATS.get(kind),
                options=OPTIONS[kind],
                timeout=(open_s, wait_s),
            )
        except (FFmpegError, OSError, ValueError) as error:
            raise network_error(uri, error, time.monotonic() - begin) from None
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{self._name} carries no video; give the address of a video stream")
        stream = self._container.streams.video[0]
        # Threads over whole frames hold back as many frames as there are threads, and those over
        # slices switch off FFmpeg's care of damaged pictures: half of one came as a good one.
        stream.thread_type = "NONE"
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if self._timed and rate and 0 < rate < 1000 else None
        self._packets = self._container.demux(stream)
        self._begin: tuple[float, float] | None = None
        self._decoder = stream.codec_context
        self._join = KeyFrameJoin()
        self._sound = SoundPictures()

    def grab(self) -> Picture | None:
        """Wait for the next packet and decode it."""
        try:
            packet = next(self._packets)
        except StopIteration:
            raise SourceError(f"{self._name} ended the stream") from None
        except (self._ffmpeg_error, OSError) as error:
            raise SourceError(f"{self._name} stopped giving frames ({_reason(error)})") from None
        arrived_ns = self._clock()
        if packet.size == 0:
            # What remains in the decoder at the end of a connection is old.
            raise SourceError(f"{self._name} ended the stream")
        frames = []
        for whole in self._join.of(packet):
            try:
                frames += self._decoder.decode(whole)
            except self._ffmpeg_error:
                return None
        # Every one is asked, for what a key frame is decides about those after it.
        sound = [self._sound.has(frame) for frame in frames]
        if not sound or not sound[-1]:
            return None
        frame = frames[-1]
        rgb = frame.to_ndarray(format="rgb24")
        media_ns = None
        if self._timed and frame.pts is not None and frame.time_base is not None:
            media_ns = round(frame.pts * frame.time_base * 1_000_000_000)
        if self._held and media_ns is not None:
            return self._due(rgb, media_ns)
        return Picture(rgb, arrived_ns, self._clock() - arrived_ns, media_ns)

    def _due(self, rgb: UInt8[np.ndarray, "h w 3"], media_ns: int) -> Picture:
        """Hold a picture back until it is its turn, and call that its arrival."""
        now, media_s = time.monotonic(), media_ns / 1e9
        began, zero = self._begin or (now, media_s)
        wait = (media_s - zero) - (now - began)
        if not -MOST_WAIT_S < wait < PIECE_S:
            # The clock of the stream began anew, or the network stood still.
            began, zero, wait = now, media_s, 0.0
        self._begin = began, zero
        time.sleep(max(0.0, min(wait, MOST_WAIT_S)))
        # Without a media time: by that clock every piece would come late and then too early.
        return Picture(rgb, self._clock(), 0)

    def close(self) -> None:
        """Close the connection."""
        self._container.close()


class KeyFrameJoin:
    """Puts key frames together that arrive as several packets of one time."""

    def __init__(self) -> None:
        self._torn = False
        self._time: int | None = None
        self._held: Packet | None = None

    def of(self, packet: Packet) -> list[Packet]:
        """Take the next packet; return what is to be decoded now, none while a key frame waits."""
        part = packet.is_keyframe and packet.pts is not None and packet.pts == self._time
        self._time = packet.pts if packet.is_keyframe else None
        if part and self._held is not None:
            self._held = _joined(self._held, packet)
            return []
        self._torn = self._torn or part
        ready = [] if self._held is None else [self._held]
        self._held = None
        if packet.is_keyframe and self._torn:
            self._held = packet
            return ready
        return [*ready, packet]


class SoundPictures:
    """Tells pictures that are what the camera saw from damaged ones and those built on them."""

    def __init__(self) -> None:
        self._spoilt = False
        self._damaged_at: int | None = None

    def has(self, frame: VideoFrame) -> bool:
        """Take the next picture; return whether it may be shown."""
        if frame.key_frame and not frame.is_corrupt:
            self._spoilt, self._damaged_at = False, None
        elif frame.key_frame:
            # A second damaged key frame in a row, not another part of the same one: the stream has
            # no intact key frame, so accept every frame decoded without error.
            self._spoilt = self._damaged_at in (None, frame.pts)
            self._damaged_at = frame.pts
        return not (frame.is_corrupt or self._spoilt)


def _joined(first: Packet, second: Packet) -> Packet:
    packet = type(first)(bytes(first) + bytes(second))
    packet.pts, packet.dts, packet.time_base = first.pts, first.dts, first.time_base
    packet.is_keyframe = True
    return packet


def _reason(error: BaseException) -> str:
    # FFmpeg's text repeats the URI, with its password.
    text = getattr(error, "strerror", None) or type(error).__name__
    return redact(str(text))
