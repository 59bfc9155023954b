"""The live page in a real browser."""

import re
import time
from collections.abc import Iterator

import chromium
import cv2
import numpy as np
import pytest
from board_trees import ORIN_NANO, write_tree
from chromium import Chromium
from page_run import HandSource, as_array, open_page, playing, prediction

from edgeseg.runtime.sources.base import SourceEvent, State
from edgeseg.runtime.telemetry import Telemetry

pytestmark = pytest.mark.skipif(chromium.binary() is None, reason="chromium is not installed")

NASTY = "rtsp://cam/<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def until(browser: Chromium, expression: str, seconds: float = 20.0):
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        if found := browser.value(expression):
            return found
        time.sleep(0.1)
    raise AssertionError(f"it never came true: {expression}")


def brightness(browser: Chromium) -> float:
    return float(cv2.imdecode(as_array(browser.picture()), cv2.IMREAD_GRAYSCALE)[:6].mean())


def test_the_page_lives_in_a_browser(tmp_path, browser):
    source = HandSource(NASTY)
    source.events = (SourceEvent(0.5, State.LOST, "<b>no route</b>"),)
    root = write_tree(tmp_path / "root", ORIN_NANO)
    with (
        Telemetry(root, sample_s=0.2) as telemetry,
        open_page(tmp_path, telemetry=telemetry) as page,
        playing(page, source),
    ):
        browser.look(1280, 900, "dark")
        browser.call("Page.navigate", url=page.url)
        until(browser, "Number(/\\d+/.exec(document.getElementById('stamp')?.textContent)) > 0")
        until(
            browser,
            "document.querySelectorAll('.tile b').length == 6 && charts[0].series?.t.length > 3",
        )

        # The mask has the palette's colours alone, and the slider sets how much of it is seen.
        colours = browser.value(
            "[...new Set(new Uint32Array(mask.getContext('2d').getImageData(0, 0, mask.width, "
            "mask.height).data.buffer))].map(c => [c & 255, c >> 8 & 255, c >> 16 & 255, c >>> 24])"
        )
        assert sorted(colours) == [[0, 0, 255, 255], [0, 255, 0, 255], [255, 0, 0, 255]]
        browser.value("alpha.value = 20; alpha.dispatchEvent(new Event('input'))")
        assert browser.value("[getComputedStyle(mask).opacity, alphaText.value]") == ["0.2", "20 %"]
        browser.value("document.querySelector('#classes button').click()")
        until(browser, "mask.getContext('2d').getImageData(0, 0, mask.width, mask.height)"
              ".data.some((v, i) => i % 4 == 3 && v == 0)")  # fmt: skip

        # What a camera calls itself stays text.
        assert NASTY in browser.value("about.textContent")
        assert "<b>no route</b>" in browser.value("document.getElementById('events').textContent")
        assert browser.value("document.querySelectorAll('img, #events b').length") == 0
        assert "owned" not in browser.value("document.title")

        shown = browser.value("document.body.innerText")
        assert "6.00" in shown  # watts of the input rail
        assert "VDD_IN" in shown
        assert "unavailable: no frame was compared" in shown
        shares = [
            float(s) for s in re.findall(r"([\d.]+) %\n", browser.value("classes.innerText") + "\n")
        ]
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert browser.asked() == {page.url.rstrip("/")}
        assert browser.complaints() == []


@pytest.mark.slow
def test_dark_light_and_a_phone(tmp_path, browser):
    with open_page(tmp_path) as page, playing(page, HandSource()):
        browser.look(1280, 900, "dark")
        browser.call("Page.navigate", url=page.url)
        until(browser, "document.getElementById('stamp')?.textContent.startsWith('frame')")
        assert brightness(browser) < 80
        browser.look(1280, 900, "light")
        until(browser, "document.documentElement.dataset.theme == 'light'")
        assert brightness(browser) > 170
        browser.value("theme.click()")
        assert brightness(browser) < 80
        browser.look(390, 844, "light", phone=True)
        assert brightness(browser) < 80  # what was chosen stays
        until(browser, "innerWidth == 390")
        assert browser.value("document.documentElement.scrollWidth") <= 390
        overlapping = browser.value(
            "[...document.querySelectorAll('main > *, .tile, .chart')].filter(e => { const b = "
            "e.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth + 0.5; }).length"
        )
        assert overlapping == 0
        browser.value("theme.click()")
        assert np.ptp(cv2.imdecode(as_array(browser.picture()), 0)) > 100


def test_a_run_that_ended_is_said_so(tmp_path, browser):
    with open_page(tmp_path) as page, playing(page, HandSource()):
        browser.call("Page.navigate", url=page.url)
        until(browser, "document.getElementById('stamp')?.textContent.startsWith('frame')")
    # open_page held that it closed in time although the browser was watching.
    until(browser, "!banner.hidden && banner.textContent.includes('does not answer')")
    assert browser.value("state.textContent") == "not connected"


def test_the_token_is_asked_once(tmp_path, browser):
    token = "a-token-of-some-length"
    with open_page(tmp_path, token) as page, playing(page, HandSource()):
        browser.call("Page.navigate", url=page.url)
        until(browser, "document.querySelector('input[type=password]') != null")
        browser.value(
            f"document.querySelector('input').value = '{token}';"
            "document.querySelector('button').click()"
        )
        until(browser, "document.getElementById('stamp')?.textContent.startsWith('frame')")
        assert token not in browser.value("location.href")
        assert token not in browser.value("document.cookie + document.documentElement.outerHTML")


@pytest.mark.slow
def test_alarm_and_drops_are_coloured_and_their_end_is_green(tmp_path, browser):
    shadow = {"agreement": 0.99, "miou": None, "threshold": 0.95, "alarm": False}
    with open_page(tmp_path) as page:
        sink = page.camera(HandSource(), lambda: shadow)
        browser.look(390, 844, "light", phone=True)
        browser.call("Page.navigate", url=page.url)
        sink.write(prediction())
        until(browser, "document.querySelector('.tile.good')?.innerText.includes('Agreement')")
        assert browser.value("getComputedStyle(state).color") != browser.value(
            "getComputedStyle(document.querySelector('.tile.good b')).color"
        )
        # On a phone the figures stand above the classes.
        assert browser.value(
            "$('tiles').getBoundingClientRect().top < $('classes').getBoundingClientRect().top"
        )
        shadow |= {"agreement": 0.5, "alarm": True}
        until(browser, "state.className == 'pill bad' && state.textContent.includes('alarm')")
        assert "Agreement" in browser.value("document.querySelector('.tile.bad').innerText")
        shadow |= {"agreement": 0.98, "alarm": False}
        until(browser, "document.querySelector('#events .over') && state.className == 'pill good'")
        sink.write(prediction(5, dropped=3))
        until(browser, "state.textContent == 'dropping frames'")
        assert "Dropped" in browser.value("document.querySelector('.tile.warn').innerText")
        log = browser.value("document.querySelector('#events time').textContent")
        assert re.fullmatch(r"\d\d:\d\d:\d\d", log)
        units = browser.value("[...document.querySelectorAll('.unit')].map(e => e.textContent)")
        assert {"FPS", "ms"} <= set(units)
        assert browser.complaints() == []
