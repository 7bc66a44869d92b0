"""The dashboard in a real browser: every page draws itself, asks nobody else, and runs nothing that a name contains."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import small_home
from tiltmeter.views.dashboard.screens import PAGES

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow

CHROMIUM = next(
    (p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome") if Path(p).exists()), None
)
HOSTILE_NAME = "<img src=x onerror=alert(1)> [x](https://evil.example) **b**"
HOSTILE_LEVEL = "<script>document.title='owned'</script> https://evil.example www.evil.example"
CHARTS = {"overview": 3, "feature": 5, "service": 4, "incidents": 1, "compare": 1}
"""Charts a page draws on the small home; pages that are not named draw at least none that fails."""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the package chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A dashboard over a home whose feature and level names are hostile."""
    folder = tmp_path_factory.mktemp("dashboard")
    configuration = small_home.build(folder / "home", size=HOSTILE_NAME, level=HOSTILE_LEVEL)
    command = [sys.executable, "-m", "tiltmeter.cli.app", "dashboard", "--config", str(configuration), "--port", "0"]
    with (folder / "errors.txt").open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=dict(os.environ))
        try:
            found = process.stdout.readline().split()[-1]
            _wait_for(f"{found}/_stcore/health")
            yield found
        finally:
            process.terminate()
            process.wait(timeout=20)
            process.stdout.close()


def _wait_for(url):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_draws_itself_and_asks_nobody_else(browser, address, name, width):
    context = browser.new_context(viewport={"width": width, "height": 900})
    opened = context.new_page()
    asked = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(f"{address}/{PAGES[name].path}")
    opened.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    charts = opened.locator("[data-testid=stVegaLiteChart] svg.marks, [data-testid=stVegaLiteChart] canvas")
    if CHARTS.get(name):
        charts.nth(CHARTS[name] - 1).wait_for(timeout=60_000)
    assert opened.locator("[data-testid=stException]").count() == 0
    assert charts.count() >= CHARTS.get(name, 0)
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:", address.replace("http", "ws")))]
    assert not outside
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    assert opened.title() != "owned"
    assert opened.locator("main a[href*='evil'], [data-testid=stMain] a[href*='evil'], img[src='x']").count() == 0
    context.close()
