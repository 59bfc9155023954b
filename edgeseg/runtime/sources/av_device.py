"""Reads a network camera through PyAV, which is FFmpeg without a queue of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeseg.errors import SourceError
from edgeseg.runtime.sources.device import Device, Picture
from edgeseg.runtime.sources.uri import public_uri

if TYPE_CHECKING:
    from av import Packet, VideoFrame

# TCP loses nothing on the way; the rest opens in 0.1 s instead of 1 s and holds no frame back.
OPTIONS = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "probesize": "32",
    "analyzeduration": "0",
}


class AvDevice(Device):
    """One connection to an RTSP server.

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

    Raises:
        SourceError: it does not open in time, or carries no video.
    """

    def __init__(self, uri: str, *, open_s: float, read_s: float, clock: Callable[[], int]) -> None:
        # An extra: the module must be importable without it.
        import av
        from av.error import FFmpegError

        self._ffmpeg_error: type[Exception] = FFmpegError
        self._name = public_uri(uri)
        self._clock = clock
        try:
            self._container = av.open(uri, options=OPTIONS, timeout=(open_s, read_s))
        except (FFmpegError, OSError, ValueError) as error:
            raise SourceError(
                f"{self._name} does not answer within {open_s:g} s ({_reason(error)}); check the "
                "address, the cable and that no other program uses it"
            ) from None
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{self._name} carries no video; give the address of a video stream")
        stream = self._container.streams.video[0]
        # Threads over whole frames hold back as many frames as there are threads, and those over
        # slices switch off FFmpeg's care of damaged pictures: half of one came as a good one.
        stream.thread_type = "NONE"
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < 1000 else None
        self._packets = self._container.demux(stream)
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
        if frame.pts is not None and frame.time_base is not None:
            media_ns = round(frame.pts * frame.time_base * 1_000_000_000)
        return Picture(rgb, arrived_ns, self._clock() - arrived_ns, media_ns)

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
    return public_uri(str(text))
