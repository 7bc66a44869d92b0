"""`tiltmeter watchdog`: nothing of the service is imported here but the reader of its beat."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.channels import build_channel
from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.config.settings import Secret
from tiltmeter.service.signals import stopping
from tiltmeter.service.watchdog import COMPONENT, Check, MachineClock, Pulse, Watchdog
from tiltmeter.state.sql import heartbeat_reader

if TYPE_CHECKING:
    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import Channel, Clock


def watchdog(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and exit: 0 alive, 1 not.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Page somebody when the monitoring itself goes quiet; run it beside `tiltmeter serve`, best on another machine.

    Example:
        tiltmeter watchdog --config tiltmeter.yaml
    """
    configuration = load_settings(config)
    heartbeat = configuration.settings.heartbeat
    clock = MachineClock()
    watching = Watchdog(
        heartbeat_reader(_state_url(configuration), COMPONENT, home=configuration.home),
        clock,
        page_after=heartbeat.page_after,
        pager=_pager(configuration, clock),
        ping=_ping(configuration),
    )
    if once:
        found = watching.check()
        _tell(found, as_json=as_json)
        raise typer.Exit(0 if found.pulse is Pulse.FRESH else 1)
    stop = Event()
    with stopping(stop):
        watching.run(stop, every=heartbeat.every, tell=lambda found: _tell(found, as_json=as_json))


def _state_url(configuration: Configuration) -> str:
    url = configuration.settings.state.url
    return Secret(url).value(configuration.home) if url.startswith(("env:", "file:")) else url


def _ping(configuration: Configuration) -> str:
    ping = configuration.settings.heartbeat.ping or ""
    return Secret(ping).value(configuration.home) if ping.startswith(("env:", "file:")) else ping


def _pager(configuration: Configuration, clock: Clock) -> Channel | None:
    key = configuration.settings.heartbeat.routing_key
    if key is None:
        print("heartbeat.routing_key is not set: nobody is paged", file=sys.stderr)
        return None
    # Region or proxy as the other pages use it.
    regions = [part["api_url"] for part in configuration.settings.channels.values() if _pages(part)]
    settings = {"kind": "pagerduty", "routing_key": key.value(configuration.home)}
    return build_channel("watchdog", settings | ({"api_url": regions[0]} if regions else {}), clock=clock)


def _pages(part: dict[str, object]) -> bool:
    return part.get("kind") == "pagerduty" and "api_url" in part


def _tell(found: Check, *, as_json: bool) -> None:
    age = round(found.age.total_seconds())
    if as_json:
        print_json({"pulse": found.pulse.value, "age_seconds": age, "paged": found.paged, "why": found.why})
        return
    said = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {found.pulse.value}: last proof of life {age} s ago"
    said += ", paged" if found.paged else ""
    print(said + (f" ({found.why})" if found.why else ""), flush=True)
