"""The dashboard on three months of hours: its script, its live part with ten visitors, and what a browser waits for.

    python benchmarks/dashboard.py

Limits, Overview of 30 features × 90 days × hourly: the server's script within 400 ms warm and 1.5 s cold (first visitor
of a fresh process); a live part within 50 ms (median of ten visitors), the process under 300 MiB; 200 features within
twice of that. First content in a browser within 1.5 × that of an empty page of the same server library in the same run.
Visitors are connections that speak the protocol of the page without drawing it, so that ten of them measure the server.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
from playwright.sync_api import sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

import dashboard_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WARM_MS, COLD_MS, LIVE_MS, MEMORY_MIB, WIDER, PAINT = 400.0, 1_500.0, 50.0, 300.0, 2.0, 1.5
VISITORS, ROUNDS, RELOADS = 10, 6, 7
EMPTY = "import streamlit as st\n\nst.set_page_config(layout='wide')\nst.markdown('**ready**')\n"


@dataclass(slots=True)
class Visitor:
    """One open page."""

    connection: ClientConnection
    fragments: list[str] = field(default_factory=list)
    page: str = ""

    def run(self, fragment: str = "") -> float:
        """Have the page, or one live part of it, drawn; milliseconds until the server says that it is done."""
        wanted = BackMsg()
        wanted.rerun_script.query_string = "model=lead-scoring&span=90+d"
        wanted.rerun_script.page_script_hash = self.page
        if fragment:
            wanted.rerun_script.fragment_id = fragment
            wanted.rerun_script.is_auto_rerun = True
        started = time.perf_counter()
        self.connection.send(wanted.SerializeToString())
        while True:
            said = ForwardMsg.FromString(self.connection.recv(timeout=60))
            if said.HasField("auto_rerun") and said.auto_rerun.fragment_id not in self.fragments:
                self.fragments.append(said.auto_rerun.fragment_id)
            if said.HasField("new_session"):
                self.page = said.new_session.page_script_hash
            if said.HasField("script_finished") and said.script_finished in _DONE:
                return (time.perf_counter() - started) * 1e3


_DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@contextmanager
def visited(address: str) -> Iterator[Visitor]:
    """A visitor of the server."""
    place = address.replace("http", "ws") + "/_stcore/stream"
    with connect(place, subprotocols=["streamlit"], origin=address, max_size=None) as connection:
        yield Visitor(connection)


@contextmanager
def served(command: list[str], address: str) -> Iterator[psutil.Process]:
    """A server process, ready."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"{address}/_stcore/health")
        children = psutil.Process(process.pid).children(recursive=True)
        yield children[-1] if children else psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dashboard(configuration: Path) -> tuple[list[str], str]:
    """Command and address of the dashboard."""
    port = _free_port()
    command = [
        sys.executable,
        "-m",
        "tiltmeter.cli.app",
        "dashboard",
        "--config",
        str(configuration),
        "--port",
        str(port),
    ]
    return command, f"http://127.0.0.1:{port}"


def empty(folder: Path) -> tuple[list[str], str]:
    """Command and address of a page that shows one word."""
    port = _free_port()
    script = folder / "empty.py"
    script.write_text(EMPTY, encoding="utf-8")
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.address", "127.0.0.1", "--server.port"]
    options = ["--server.headless", "true", "--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"]
    return [*command, str(port), *options], f"http://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class Served:
    """What one home's dashboard needed: milliseconds on the clock, and of processor time."""

    cold_ms: float
    warm_ms: float
    live_ms: float
    memory_mib: float
    cold_cpu_ms: float
    warm_cpu_ms: float
    live_cpu_ms: float

    def kept(self, factor: float) -> bool:
        """Whether it is within the limits times a factor."""
        return (
            self.cold_ms <= factor * COLD_MS
            and self.warm_ms <= factor * WARM_MS
            and self.live_ms <= factor * LIVE_MS
            and self.memory_mib <= factor * MEMORY_MIB
        )


def measure(configuration: Path) -> Served:
    """Script cold and warm, live parts of ten visitors, memory at the end."""
    command, address = dashboard(configuration)
    with served(command, address) as process, ExitStack() as open_pages:
        first = open_pages.enter_context(visited(address))
        cold, cold_cpu = _timed(process, first.run)
        warm = [_timed(process, first.run) for _ in range(RELOADS)]
        visitors = [open_pages.enter_context(visited(address)) for _ in range(VISITORS)]
        for visitor in visitors:
            visitor.run()
        live = [
            _timed(process, partial(visitor.run, fragment))
            for _ in range(ROUNDS)
            for visitor in visitors
            for fragment in visitor.fragments
        ]
        memory = process.memory_info().rss / 2**20
    middle = [statistics.median(column) for column in (*zip(*warm, strict=True), *zip(*live, strict=True))]
    return Served(cold, middle[0], middle[2], memory, cold_cpu, middle[1], statistics.fmean(cpu for _, cpu in live))


def _timed(process: psutil.Process, action: Callable[[], float]) -> tuple[float, float]:
    before = process.cpu_times()
    milliseconds = action()
    after = process.cpu_times()
    return milliseconds, 1e3 * (after.user + after.system - before.user - before.system)


def first_content(configuration: Path, folder: Path) -> tuple[float, float]:
    """Milliseconds until a browser shows the verdict of the Overview, and until it shows the empty page's word."""
    ours, our_address = dashboard(configuration)
    theirs, their_address = empty(folder)
    chromium = next(
        p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome") if Path(p).exists()
    )
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with served(ours, our_address), served(theirs, their_address), sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=flags)
        times: dict[str, list[float]] = {our_address: [], their_address: []}
        for _ in range(6):
            for address, seen in ((their_address, "text=ready"), (our_address, "[class*=st-key-verdict]")):
                context = browser.new_context(viewport={"width": 1440, "height": 900})
                page = context.new_page()
                started = time.perf_counter()
                page.goto(address, wait_until="commit")
                page.wait_for_selector(seen, timeout=60_000)
                times[address].append((time.perf_counter() - started) * 1e3)
                context.close()
        browser.close()
    # The first round of each server is its cold one.
    return statistics.median(times[our_address][1:]), statistics.median(times[their_address][1:])


def main() -> int:
    """Build, measure, say what was kept."""
    os.environ.pop("TILTMETER_CONFIG", None)
    with tempfile.TemporaryDirectory(prefix="tiltmeter-dashboard-") as place:
        folder = Path(place)
        kept = True
        print("milliseconds on the clock (of processor time)")
        print(f"{'features':>9} {'cold':>14} {'warm':>14} {'live':>14} {'MiB':>6}")
        for features, factor in ((30, 1.0), (200, WIDER)):
            found = measure(dashboard_home.build(folder / f"home-{features}", features=features))
            print(
                f"{features:>9} {_pair(found.cold_ms, found.cold_cpu_ms)} {_pair(found.warm_ms, found.warm_cpu_ms)} "
                f"{_pair(found.live_ms, found.live_cpu_ms)} {found.memory_mib:>6.0f}",
                flush=True,
            )
            kept = kept and found.kept(factor)
        ours, theirs = first_content(folder / "home-30" / "tiltmeter.yaml", folder)
        print(f"first content: Overview {ours:.0f} ms, empty page {theirs:.0f} ms, ratio {ours / theirs:.2f}")
        kept = kept and ours <= PAINT * theirs
    print(
        f"limits {COLD_MS:g} ms cold, {WARM_MS:g} warm, {LIVE_MS:g} live, {MEMORY_MIB:g} MiB, × {WIDER:g} for 200 "
        f"features, {PAINT:g} × empty: {'kept' if kept else 'MISSED'}"
    )
    return 0 if kept else 1


def _pair(clock: float, processor: float) -> str:
    return f"{clock:>7.0f} ({processor:>4.0f})"


if __name__ == "__main__":
    sys.exit(main())
