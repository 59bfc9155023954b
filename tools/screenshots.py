"""Take the pictures of the pages in docs/images: `make screenshots`.

    python tools/screenshots.py [--look FOLDER] [PAGE…]

Every page comes from a real run on painted frames, small enough for minutes. Chromium takes each at
1440 and 390 px, light and dark. docs/images gets the wide light one and the narrow dark one;
`--look` writes all four. PAGE is a name of PAGES.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

import chromium  # noqa: E402 (the tests' driver)
from PIL import Image  # noqa: E402

IMAGES = REPOSITORY / "docs" / "images"
MODELS = ("deeplabv3plus-mobilenetv2-camvid", "deeplabv3plus-mobilenetv2-camvid-slim")
SLIM = MODELS[1]
# Width, height, phone.
SCREENS = {"wide": (1440, 1000, False), "phone": (390, 844, True)}
KEPT = {("wide", "light"), ("phone", "dark")}
# The picture of docs/images ends here, px: below is what two epochs from nothing give.
CUT = {"demo": 600}
SHOWN_WIDTH = {"wide": 960, "phone": 390}
COLOURS = 64
# The most seconds in which a live page fills.
LIVE_S = 90.0


def edgeseg(*words: str, codes: tuple[int, ...] = (0,)) -> None:
    """Run a verb in the working folder.

    Raises:
        RuntimeError: it ended with another exit code than `codes`.
    """
    done = subprocess.run(
        [sys.executable, "-m", "edgeseg.cli", *words], capture_output=True, text=True, check=False
    )
    if done.returncode not in codes:
        raise RuntimeError(f"edgeseg {' '.join(words)}: {done.stderr.strip()[-500:]}")


def trained() -> Path:
    """Return the folder of a small training, made once."""
    folder = Path("runs/train/deeplabv3plus-mobilenetv2")
    if not folder.is_dir():
        edgeseg("train", folder.name, "--init", MODELS[0], "--data", "synthetic:24", "--size",
                "96x128", "--epochs", "4", "--validate-every", "1", "--val-limit", "6")  # fmt: skip
    return folder


def run_page() -> str:
    """Train, and return the run's page."""
    (page,) = trained().glob("*.html")
    return page.resolve().as_uri()


def compare_page() -> str:
    """Compare two trainings."""
    other = Path("runs/train/afresh")
    edgeseg("train", "deeplabv3plus-mobilenetv2", "--data", "synthetic:24", "--size", "96x128",
            "--epochs", "4", "--validate-every", "1", "--val-limit", "6",
            "-o", str(other))  # fmt: skip
    edgeseg("compare", str(trained()), str(other), "--html", "compare.html")
    return Path("compare.html").resolve().as_uri()


def bench_page() -> str:
    """Bench two shipped models on the CPU runtimes."""
    edgeseg("bench", *MODELS, "--data", "synthetic:8", "--threads", "1", "--rounds", "4",
            "--html", "bench.html")  # fmt: skip
    return Path("bench.html").resolve().as_uri()


def trend_page() -> str:
    """Gate four runs of a shipped model, and draw their history."""
    Path("budget.toml").write_text("[budget]\nmin_miou = 0.5\nmax_time_ratio = 1.5\n")
    for number in range(4):
        edgeseg(
            "stream", SLIM, f"synthetic://?frames=12&seed={number}", "null", "-o", "report.json"
        )
        edgeseg("gate", "report.json", "--budget", "budget.toml", "--history", "history.jsonl",
                "--trend", "trend.html", codes=(0, 1, 3, 4))  # fmt: skip
    return Path("trend.html").resolve().as_uri()


def demo_page() -> str:
    """Run the demo at its smallest."""
    edgeseg("demo", "--epochs", "2", "--images", "32", "--frames", "20", "-o", "demo")
    return Path("demo/index.html").resolve().as_uri()


@contextmanager
def dashboard() -> Iterator[str]:
    """Stream a painted camera that drops frames and whose reference disagrees; give the address."""
    words = ["stream", SLIM, "synthetic://?frames=4000", "null", "--pace", "25", "--shadow",
             MODELS[0], "--every", "3", "--alarm", "0.97", "--dashboard=127.0.0.1:0"]  # fmt: skip
    run = subprocess.Popen(
        [sys.executable, "-m", "edgeseg.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    try:
        for line in run.stderr:
            if found := re.search(r"http://\S+", line):
                yield found[0]
                return
        raise RuntimeError("the stream named no address")
    finally:
        run.terminate()
        run.wait(30)


PAGES: dict[str, Callable[[], str]] = {
    "run": run_page,
    "bench": bench_page,
    "compare": compare_page,
    "trend": trend_page,
    "demo": demo_page,
}


def small(png: bytes, width: int, cut: int | None) -> bytes:
    """Return the upper `cut` pixels of a picture, in few colours and scaled to a width."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, cut or picture.height)))
    size = (width, round(picture.height * width / picture.width))
    picture = picture.resize(size, Image.Resampling.LANCZOS).quantize(COLOURS)
    held = io.BytesIO()
    picture.save(held, "PNG", optimize=True)
    return held.getvalue()


def take(browser: chromium.Chromium, name: str, address: str, look: Path | None) -> None:
    """Take the pictures of one page."""
    browser.call("Page.navigate", url=address)
    time.sleep(1.0)
    if address.startswith("http"):
        # Until the reference has said something, and the charts have a line.
        until = time.monotonic() + LIVE_S
        while time.monotonic() < until and not browser.value(
            "document.querySelector('.tile.bad') !== null"
            " && document.querySelector('.plot .l0')?.getTotalLength() > 100"
        ):
            time.sleep(0.5)
    for screen, (width, height, phone) in SCREENS.items():
        for scheme in ("light", "dark"):
            browser.look(width, height, scheme, phone=phone)
            time.sleep(1.5)
            wide = browser.value("document.documentElement.scrollWidth")
            if wide > width:
                raise RuntimeError(f"{name} is {wide} px wide on a screen of {width}")
            png = browser.picture()
            if look is not None:
                (look / f"{name}-{screen}-{scheme}.png").write_bytes(png)
            if (screen, scheme) in KEPT:
                tail = "" if screen == "wide" else "-phone"
                cut = CUT.get(name) if screen == "wide" else None
                (IMAGES / f"{name}{tail}.png").write_bytes(small(png, SHOWN_WIDTH[screen], cut))


def main(arguments: list[str]) -> int:
    """Make the pages and take their pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*", choices=[*PAGES, "dashboard", []])
    parser.add_argument("--look", type=Path)
    options = parser.parse_args(arguments)
    if chromium.binary() is None:
        print("screenshots: no chromium here; apt-get install chromium", file=sys.stderr)
        return 5
    names = options.pages or [*PAGES, "dashboard"]
    look = options.look.resolve() if options.look else None
    if look is not None:
        look.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(exist_ok=True)
    os.environ.setdefault("PYTHONPATH", str(REPOSITORY))
    work = Path(tempfile.mkdtemp(prefix="edgeseg-screenshots-"))
    os.chdir(work)
    try:
        with chromium.Chromium(work / "profile") as browser:
            for name in names:
                print(f"screenshots: {name}", file=sys.stderr, flush=True)
                if name == "dashboard":
                    with dashboard() as address:
                        take(browser, name, address, look)
                else:
                    take(browser, name, PAGES[name](), look)
    finally:
        os.chdir(REPOSITORY)
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
