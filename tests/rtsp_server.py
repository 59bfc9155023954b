"""An RTSP server on loopback for tests, run by the system's Python: `rtsp_server.py PORT SLICES`.

Every frame carries its own time as a bar code: 32 bits of CLOCK_MONOTONIC in milliseconds, black
and white blocks along the top. Standard input takes `size WIDTH HEIGHT`, which changes the size of
the running stream. Prints `ready` once clients are welcome.
"""

import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

FPS = 30
BITS = 32
LAUNCH = (
    "( appsrc name=src is-live=true format=time do-timestamp=true ! videoconvert ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=2000 "
    f"sliced-threads=true threads={sys.argv[2]} ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
size = [320, 240]


def picture() -> bytes:
    width, height = size
    stamp = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000 & 0xFFFFFFFF
    block = width // BITS
    row = b"".join(
        (b"\xeb" if stamp >> bit & 1 else b"\x10") * block for bit in reversed(range(BITS))
    )
    row += b"\x80" * (width - len(row))
    top = row * (height // 4)
    luma = top + b"\x50" * (width * height - len(top))
    return luma + b"\x80" * (width * height // 2)


def feed(source: Gst.Element) -> None:
    shown = None
    due = time.monotonic()
    while True:
        if size != shown:
            shown = list(size)
            caps = f"video/x-raw,format=I420,width={size[0]},height={size[1]},framerate={FPS}/1"
            source.set_property("caps", Gst.Caps.from_string(caps))
        if source.emit("push-buffer", Gst.Buffer.new_wrapped(picture())) != Gst.FlowReturn.OK:
            return
        # After a freeze frames are made anew, not all the missed ones at once.
        due = max(due + 1 / FPS, time.monotonic() - 1 / FPS)
        time.sleep(max(0.0, due - time.monotonic()))


def configure(factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
    source = media.get_element().get_by_name("src")
    threading.Thread(target=feed, args=(source,), daemon=True).start()


def commands() -> None:
    for line in sys.stdin:
        _, width, height = line.split()
        size[:] = [int(width), int(height)]


Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(launch=LAUNCH, shared=True)
factory.connect("media-configure", configure)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
threading.Thread(target=commands, daemon=True).start()
print("ready", flush=True)
GLib.MainLoop().run()
