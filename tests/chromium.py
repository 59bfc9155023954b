"""Headless Chromium, driven over the DevTools protocol through a pipe: no further package."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-pipe",
)


def binary() -> str | None:
    """Return the browser's path, None where none is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """One browser with one page; a context manager.

    Args:
        profile: an empty folder for it.
    """

    def __init__(self, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        from_browser, browser_out = os.pipe()
        # The browser reads from descriptor 3 and writes to 4; a first program puts ours there.
        begin = (
            "import os, sys; a, b = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2])); "
            "os.dup2(a, 3); os.dup2(b, 4); "
            # dup may have given 3 and 4 themselves, which then would close.
            "os.set_inheritable(3, True); os.set_inheritable(4, True); "
            "os.execv(sys.argv[3], sys.argv[3:])"
        )
        command = [sys.executable, "-c", begin, str(to_browser), str(browser_out), binary() or "",
                   *FLAGS, f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            pass_fds=(to_browser, browser_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(browser_out)
        self._in = os.fdopen(from_browser, "rb", buffering=0)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "Chromium":
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._out)
        self._in.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") != self._number:
                self.events.append(found)
            elif "error" in found:
                raise RuntimeError(f"{method}: {found['error']}")
            else:
                return found["result"]

    def value(self, expression: str) -> Any:
        """Return what a script gives, promises awaited."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:500])
        return found["result"].get("value")

    def look(self, width: int, height: int, scheme: str = "dark", *, phone: bool = False) -> None:
        """Set the size of the window and whether the system is dark or light."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)  # fmt: skip
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip

    def picture(self) -> bytes:
        """Return the window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """Return errors of scripts, of the console and of the security policy so far."""
        found = []
        for event in self.events:
            entry = event.get("params", {}).get("entry", {})
            if event.get("method") == "Runtime.exceptionThrown" or entry.get("level") == "error":
                found.append(json.dumps(event["params"]))
        return found

    def asked(self) -> set[str]:
        """Return the origins the page sent requests to."""
        sent = (e for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return {"/".join(event["params"]["request"]["url"].split("/")[:3]) for event in sent}

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = self._in.read(1 << 16)
            if not data:
                raise RuntimeError("the browser went away")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)
