"""A real browser for tests: pages of a running dashboard, and what a hostile name must not have done to one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

CHROMIUM = next(
    (p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome") if Path(p).exists()), None
)
PATIENCE_MS = 180_000
"""How long a page may take on a machine that does much else; a quiet one needs two seconds."""

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

_DAMAGE = """() => {
  const found = [];
  if (window.hit) found.push('a script ran');
  const leads = e => e.href?.baseVal ?? e.href ?? e.src ?? e.action ?? e.data ?? '';
  for (const e of document.querySelectorAll('a, area, form, iframe, object, embed, base, img, video, audio, source')) {
    const place = String(leads(e) || '');
    if (!place) continue;
    const url = new URL(place, location.href);
    const ours = url.host === location.host && url.protocol === location.protocol;
    if (!ours && !['data:', 'blob:'].includes(url.protocol)) found.push(`${e.tagName} leads to ${place.slice(0, 80)}`);
    if (e.tagName === 'A' && url.protocol === 'data:') found.push('a link leads to data');
  }
  if (document.querySelector('.katex, [srcdoc], meta[http-equiv=refresh]')) found.push('a name was read as markup');
  if (getComputedStyle(document.body).display === 'none') found.push('the page is hidden');
  const main = document.querySelector('[data-testid=stMain]') ?? document.documentElement;
  const beyond = main.scrollWidth - main.clientWidth;
  if (beyond > 1) found.push(`the page is ${beyond} px too wide`);
  if (document.querySelector('[data-testid=stException]')) found.push('an exception is shown');
  return found;
}"""


@contextmanager
def opened_browser():
    """Chromium without a window; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the package chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served_dashboard(configuration, folder):
    """The address of a dashboard on a home."""
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
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


class Visit:
    """One tab that notes what it was made to do."""

    def __init__(self, browser, *, width=1440, ours=""):
        self.context = browser.new_context(viewport={"width": width, "height": 900})
        self.page = self.context.new_page()
        self.ours = ours
        self.asked, self.dialogs = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def goto(self, address):
        """Open a page of the dashboard and wait until it is drawn."""
        self.page.goto(address, timeout=PATIENCE_MS)
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=PATIENCE_MS)

    def damage(self):
        """What hostile names achieved on the open page, in words; empty when nothing."""
        inside = (self.ours, self.ours.replace("http", "ws"), "data:", "blob:", "file:")
        outside = [f"asked {url[:80]}" for url in self.asked if not url.startswith(inside)]
        return [*self.page.evaluate(_DAMAGE), *outside, *(f"said {text}" for text in self.dialogs)]

    def close(self):
        """Close the tab."""
        self.context.close()
