"""After the history: the service, the dashboard and the company's app as processes, and visitors until Ctrl-C."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Event, Thread
from typing import TYPE_CHECKING

from tiltmeter.capture.outcomes import record_outcome
from tiltmeter.demo.app import AppSettings
from tiltmeter.demo.log_rows import pending_outcomes
from tiltmeter.demo.nightly import next_night, run_nightly
from tiltmeter.demo.processes import running, wait_for
from tiltmeter.demo.prometheus import scraping
from tiltmeter.demo.traffic import LiveTraffic
from tiltmeter.demo.world import MODEL_NAME
from tiltmeter.service.signals import stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tiltmeter.demo.installation import Ports
    from tiltmeter.demo.play import Played
    from tiltmeter.demo.prometheus import Scraped

REQUESTS_A_SECOND = 12.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a person opens.

    Args:
        dashboard: the pages.
        service: HTTP of `tiltmeter serve`.
        app: the prediction service.
        scraped: Prometheus and what Grafana needs, None where Prometheus is not installed.
    """

    dashboard: str
    service: str
    app: str
    scraped: Scraped | None = None


@contextmanager
def serving(played: Played, folder: Path, ports: Ports, *, rate: float = REQUESTS_A_SECOND) -> Iterator[Addresses]:
    """Everything that runs while the demo is looked at; at the end each process is told to stop and waited for.

    Args:
        played: the demo, its history over.
        folder: of the demo.
        ports: where things listen.
        rate: requests a second.

    Raises:
        StoreError: something did not start.
    """
    host = "127.0.0.1"
    found = Addresses(
        f"http://{host}:{ports.dashboard}", f"http://{host}:{ports.service}", f"http://{host}:{ports.app}"
    )
    spool = played.configuration.placed(played.configuration.settings.capture.spool.path)
    settings = AppSettings(played.company.seed, played.company.period.start, spool, host, ports.app)
    settings.save(folder / "app.json")
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    stop = Event()
    with ExitStack() as stack:
        python = [sys.executable, "-m"]
        serve = [*python, "tiltmeter.cli.app", "serve", "--dashboard", "--config", str(folder / "tiltmeter.yaml")]
        service = stack.enter_context(running("service", serve, logs))
        app = stack.enter_context(running("app", [*python, "tiltmeter.demo.app", str(folder / "app.json")], logs))
        wait_for(f"{found.service}/healthz", service, logs / "service.log")
        wait_for(f"{found.app}/healthz", app, logs / "app.log")
        wait_for(found.dashboard, service, logs / "service.log")
        scraped = stack.enter_context(scraping(found.service, played.configuration.rules, folder))
        visitors = LiveTraffic(found.app, played.company.seed, rate, _now)
        stack.callback(stop.set)
        for work in (
            lambda: visitors.run(stop),
            lambda: _tell_outcomes(played, spool, stop),
            lambda: _nights(played, spool, stop),
        ):
            stack.enter_context(_thread(work, stop))
        yield replace(found, scraped=scraped)


def until_told_to_stop() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    told = Event()
    with stopping(told):
        told.wait()


@contextmanager
def _thread(work: Callable[[], None], stop: Event) -> Iterator[None]:
    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_SECONDS)


def _tell_outcomes(played: Played, spool: Path, stop: Event) -> None:
    """Conversions of leads of the history, each when its time comes."""
    for outcome in pending_outcomes(played.company.history.leads, played.company.period.end).to_pylist():
        at: datetime = outcome["outcome_time"].astimezone(UTC)
        if stop.wait(max(0.0, (at - _now()).total_seconds())):
            return
        record_outcome(
            entity_id=outcome["entity_id"],
            converted=True,
            revenue=outcome["revenue"],
            currency=outcome["currency"],
            at=at,
            model=MODEL_NAME,
            outcome_id=outcome["outcome_id"],
            spool=spool,
        )


def _nights(played: Played, spool: Path, stop: Event) -> None:
    company = played.company
    while not stop.wait((next_night(_now()) - _now()).total_seconds()):
        run_nightly(company.model, company.seed, spool=spool, now=_now)


def _now() -> datetime:
    return datetime.now(UTC)
