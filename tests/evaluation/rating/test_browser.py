"""The rating page in a real browser: by keyboard, through reloads and a killed server."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()),
    reason="no Chromium: apt install chromium chromium-driver",
)


class Server:
    """A rating server that can be killed and started anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "tests.evaluation.rating.server",
                str(self.folder), str(self.port),
            ],
            cwd=ROOT,
            # a proxy that is not there: the page has to do without
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
                **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
            },
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self.process.stdout.readline() == (
            f"rating page at http://127.0.0.1:{self.port} (ends with ctrl-c)\n"
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def clicks(self) -> list[tuple]:
        with sqlite3.connect(self.folder / "ratings.sqlite") as rows:
            found = rows.execute("SELECT rater, case_id, method, sc, pq FROM clicks")
            return found.fetchall()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("rating"))
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "no-proxy-server", f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    screen = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    yield driver
    driver.quit()


class Page:
    """What a rater sees and does."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def state(self, name: str) -> str:
        return self.driver.execute_script(
            "return document.querySelector('.rating')?.dataset[arguments[0]] ?? ''", name
        )

    def wait(self, condition, seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{self.driver.page_source[-3000:]}"
            time.sleep(0.01)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def begin(self, address: str, name: str = "") -> None:
        from selenium.webdriver.common.keys import Keys

        self.driver.get(address)
        self.wait(lambda: self.state("state") == "name")
        if name:  # the field has the focus, and the last name in it
            self.press(Keys.END, *[Keys.BACKSPACE] * 40, name)
        self.press(Keys.ENTER)
        self.wait(lambda: self.state("state") == "work" and not self.state("busy"))

    def rate(self, *keys: str) -> None:
        before = self.state("token")
        self.press(*keys)
        self.wait(lambda: self.state("token") != before and not self.state("busy"))

    def pressed(self) -> list[str]:
        return self.driver.execute_script(
            "return [...document.querySelectorAll('.scales [aria-pressed=true]')]"
            ".map(button => button.dataset.key)"
        )

    def text(self, selector: str) -> str:
        return self.driver.execute_script(
            "return document.querySelector(arguments[0]).textContent", f".rating {selector}"
        )


def test_rating_by_keyboard(server, browser):
    from selenium.webdriver.common.keys import Keys

    page = Page(browser)
    page.begin(server.address, "Ann")
    given = [("1", "q"), ("2", "e"), ("w", "3")]
    tokens = [page.state("token")]
    for number, keys in enumerate(given, 1):
        page.rate(*keys)
        tokens.append(page.state("token"))
        assert len(server.clicks()) == number  # stored before the page moved on
        assert page.text(".count") == f"{number} of 20 images"
    assert [click[3:] for click in server.clicks()] == [(0.0, 0.0), (0.5, 1.0), (1.0, 0.5)]
    assert {click[0] for click in server.clicks()} == {"ann"}
    assert len(set(tokens)) == 4

    # one grade alone is no rating yet, and can be changed
    page.press("1", "3")
    time.sleep(0.3)
    assert page.pressed() == ["3"] and len(server.clicks()) == 3

    # back shows what was given; another grade replaces it
    page.rate(Keys.BACKSPACE)
    page.rate(Keys.BACKSPACE)
    assert page.state("token") == tokens[1]
    assert page.pressed() == ["2", "e"]
    page.rate("q")
    assert page.state("token") == tokens[2]
    assert server.clicks()[-1] == (*server.clicks()[1][:3], 0.5, 0.0)
    page.rate(Keys.ENTER)
    assert page.state("token") == tokens[3]
    assert len(server.clicks()) == 4

    # reloaded, it asks for the name, which is there, and goes on
    page.begin(server.address)
    assert page.state("token") == tokens[3]
    assert page.text(".who") == "ann"

    # keys that come faster than images are shown rate none that was not seen
    page.press("3", "e", "3", "e", "3", "e", "3", "e")
    page.wait(lambda: page.state("token") != tokens[3] and not page.state("busy"))
    time.sleep(0.3)
    clicks = server.clicks()
    assert len({click[:3] for click in clicks}) == len(clicks) - 1  # one was rated anew, above

    assert_fits(browser)
    assert_blind_and_alone(server, browser)


def assert_fits(browser):
    """No scrolling, and few pixels are squares that fill their place."""
    measured = browser.execute_script(
        "const root = document.querySelector('.rating'), image = root.querySelector('.image');"
        "const box = image.getBoundingClientRect(), style = getComputedStyle(image);"
        "return [document.documentElement.scrollHeight, root.scrollHeight, root.scrollWidth,"
        " image.naturalWidth, Math.min(box.width, box.height), style.imageRendering]"
    )
    page_height, height, width, natural, side, rendering = measured
    assert (page_height, height, width, natural) == (800, 800, 1280, 32)
    assert side >= 480 and rendering == "pixelated"


def assert_blind_and_alone(server, browser):
    """No method's name and no path in anything that came; nothing from another machine."""
    source = browser.page_source
    content = browser.execute_script("return document.documentElement.outerHTML")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    asked = [one for one in asked if one.get("documentURL", "").startswith(server.address)]
    assert len(asked) > 10
    answers = []
    for one in asked:
        address = urlsplit(one["request"]["url"])
        assert address.scheme == "data" or address.netloc == f"127.0.0.1:{server.port}"
        answers.append(one["request"]["url"])
        if address.path.endswith("component_server"):
            found = browser.execute_cdp_cmd(
                "Network.getResponseBody", {"requestId": one["requestId"]}
            )
            assert "token" in found["body"]
            answers.append(found["body"])
    for text in (source, content, *answers):
        assert "method-" not in text and str(server.folder) not in text
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_a_killed_server_loses_nothing_and_doubles_nothing(server, browser):
    page = Page(browser)
    page.begin(server.address, "Bob")
    page.rate("3", "w")
    token, before = page.state("token"), len(server.clicks())
    server.kill()
    page.press("2", "e")
    page.wait(lambda: "Not saved yet" in page.text(".note"))
    assert page.state("token") == token and len(server.clicks()) == before
    server.start()
    page.wait(lambda: page.state("token") != token and not page.state("busy"))
    assert page.text(".note") == ""
    assert server.clicks()[-1][3:] == (0.5, 1.0)
    page.rate("1", "q")
    clicks = [click for click in server.clicks() if click[0] == "bob"]
    assert len(clicks) == len({click[:3] for click in clicks}) == 3


def test_a_click_that_cannot_be_stored_is_kept_and_sent_again(server, browser):
    page = Page(browser)
    page.begin(server.address, "Carl")
    token, before = page.state("token"), server.clicks()

    def renamed(old, new):
        with sqlite3.connect(server.folder / "ratings.sqlite") as rows:
            rows.execute(f"ALTER TABLE {old} RENAME TO {new}")

    renamed("clicks", "away")
    try:
        page.press("3", "e")
        page.wait(lambda: page.text(".note") != "")
        assert page.state("token") == token and page.pressed() == ["3", "e"]
        assert "Not saved yet" in page.text(".note")
    finally:
        renamed("away", "clicks")
    page.wait(lambda: page.state("token") != token and not page.state("busy"))
    assert [click[3:] for click in server.clicks()[len(before) :]] == [(1.0, 1.0)]
