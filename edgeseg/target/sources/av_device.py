"""A network camera through PyAV, which is FFmpeg without a queue of its own."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.errors import SourceError
from edgeseg.target.source import public_uri
from edgeseg.target.sources.device import Device, Picture

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
    calls damaged are not given.

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
        # Threads over whole frames hold back as many frames as there are threads.
        stream.thread_type = "SLICE"
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < 1000 else None
        self._packets = self._container.demux(stream)

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
        try:
            frames = packet.decode()
        except self._ffmpeg_error:
            return None
        if not frames or frames[-1].is_corrupt:
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


def _reason(error: BaseException) -> str:
    # FFmpeg's text repeats the URI, with its password.
    text = getattr(error, "strerror", None) or type(error).__name__
    return public_uri(str(text))
