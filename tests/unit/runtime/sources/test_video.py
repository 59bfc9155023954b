"""Videos whose pictures are not evenly spaced."""

import fractions

import numpy as np
import pytest
from tinybundle import spec

from edgeseg.runtime.sources import video
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.sources.open import open_source

# As a phone's in poor light: thirty a second, then ten.
PHONE = (*range(0, 400, 20), *range(400, 1000, 60))
EVEN = tuple(range(0, 400, 20))


def write(av, path, ticks):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.time_base = stream.time_base = fractions.Fraction(1, 600)
        for tick in ticks:
            picture = av.VideoFrame.from_ndarray(
                np.full((32, 32, 3), tick % 200, np.uint8), format="rgb24"
            )
            picture.pts, picture.time_base = tick, fractions.Fraction(1, 600)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("library", ["av", "cv2"])
def test_the_rate_of_a_variable_video_is_its_finest(tmp_path, monkeypatch, library):
    av = pytest.importorskip("av", reason="PyAV is not installed; pip install 'edgeseg[rtsp]'")
    if library == "cv2":
        monkeypatch.setattr(video, "is_installed", lambda name: False)
    for name, ticks in (("phone.mp4", PHONE), ("even.mp4", EVEN)):
        write(av, tmp_path / name, ticks)
        with open_source(str(tmp_path / name), spec()) as source:
            assert source.fps == pytest.approx(30, rel=0.02)
            times = []
            while isinstance(found := source.read(1.0), Frame):
                times.append(found.media_s)
        assert times == pytest.approx([tick / 600 for tick in ticks], abs=2e-3)
