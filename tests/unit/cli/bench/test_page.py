"""The pages in a real browser, in light and in dark."""

import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.cli.bench.page import NAMED_POINTS

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    return found


def screenshot(browser: str, page, out, scheme: int) -> np.ndarray:
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--window-size=1000,1600", f"--blink-settings=preferredColorScheme={scheme}",
         f"--screenshot={out}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return cv2.imread(str(out))


@pytest.mark.slow
def test_the_bench_page_is_drawn_in_light_and_dark(browser, colour_bundle, tmp_path, capsys):
    page = tmp_path / "bench.html"
    arguments = ["bench", str(colour_bundle.path), "--data", "synthetic:3", "--rounds", "6"]
    assert run([*arguments, "--html", str(page)]) == 0
    dark, light = (screenshot(browser, page, tmp_path / f"{i}.png", i) for i in (0, 1))
    assert light.mean() > 200 > 100 > dark.mean()
    for image in (dark, light):
        # Colour stands on the page beside text: points, bars and pictures were drawn.
        spread = image.max(-1).astype(int) - image.min(-1)
        assert (spread > 60).mean() > 0.005
        # Nothing runs out of the page: the last columns are ground.
        assert np.ptp(image[:, -4:].reshape(-1, 3), axis=0).max() < 8


@pytest.mark.slow
def test_many_points_get_the_numbers_of_their_rows(colour_bundle, tmp_path, capsys):
    bundles = [str(shutil.copytree(colour_bundle.path, tmp_path / name)) for name in "abcd"]
    for count in (2, 4):
        page = tmp_path / f"{count}.html"
        arguments = ["bench", *bundles[:count], "--data", "synthetic:2", "--rounds", "2"]
        assert run([*arguments, "--html", str(page)]) == 0
        text = page.read_text()
        numbered = "The numbers are those of the rows below." in text
        rows = 2 * count
        assert numbered == (rows > NAMED_POINTS)
        assert numbered == bool(re.search(f'class="name"[^>]*>{rows}</text>', text))
        assert numbered == (f">{rows}. " in text)
