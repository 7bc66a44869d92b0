"""`tiltmeter doctor`: how a running (or stopped) installation is, part by part."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from tiltmeter import __version__
from tiltmeter.capture.swift import FORM
from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.service.capture_findings import spool_findings, table_findings
from tiltmeter.service.findings import Finding, State
from tiltmeter.wiring import SystemClock, stored_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import World

_PACKAGES = ("pyarrow", "deltalake", "numpy", "numba", "sqlalchemy", "fastapi")
FRESH_SECONDS = 300
"""A service writes a sign of life every minute; five missed ones mean that it is not running."""


def examine(world: World, configuration: Configuration) -> list[Finding]:
    """Everything worth knowing; a part that cannot be looked at is a finding, never an exception."""
    home, now = configuration.home, world.clock.now().timestamp()
    parts: list[tuple[str, Callable[[World, Path], Iterable[Finding]]]] = [
        ("versions", _versions),
        ("tables", lambda *_: table_findings(stored_log(configuration, SystemClock(), world.models))),
        ("models", _models),
        ("baseline", _baselines),
        ("spool", lambda *_: spool_findings(configuration, now)),
        ("state", _state),
        ("channels", _channels),
        ("service", _service),
    ]
    findings: list[Finding] = []
    for name, look in parts:
        try:
            findings.extend(look(world, home))
        except (TiltmeterError, OSError) as error:
            findings.append(Finding(name, State.WRONG, str(error), "mend this first, then run doctor again"))
    return findings


def _versions(_: World, __: Path) -> Iterator[Finding]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} missing")
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "versions", State.OK, f"tiltmeter {__version__} (capture {FORM}), Python {python}, {', '.join(found)}"
    )


def _models(world: World, _: Path) -> Iterator[Finding]:
    for model in world.models.values():
        rows = world.log.new_rows(model, None)
        if rows.version is None:
            yield Finding(
                "models", State.NOTE, f"{model.name}: no prediction has arrived yet",
                "send a request to the instrumented app, or run a batch job; then look at the spool below",
            )  # fmt: skip
            continue
        yield Finding("models", State.OK, f"{model.name}: {rows.count() or 0:,} predictions at version {rows.version}")


def _baselines(world: World, _: Path) -> Iterator[Finding]:
    for model in world.models.values():
        bins = world.baselines.bins(model, world.clock.now())
        if bins is None:
            seen, needed = world.baselines.progress(model)
            yield Finding(
                "baseline", State.NOTE, f"{model.name}: learning, {seen:,} of {needed:,} rows and a first full week",
                "wait, or name a data set under `baselines`",
            )  # fmt: skip
        else:
            yield Finding("baseline", State.OK, f"{model.name}: {len(bins.features)} features in bins {bins.bins_id}")


def _state(world: World, _: Path) -> Iterator[Finding]:
    incidents = world.state.incidents()
    worst = max((i.severity for i in incidents), default=None)
    said = f"{len(incidents)} open incidents" + (f", worst {worst.word}" if worst is not None else "")
    yield Finding("state", State.OK, said)


def _channels(world: World, _: Path) -> Iterator[Finding]:
    states = world.state.channel_states()
    now = world.clock.now()
    for channel in states:
        if channel.dead:
            yield Finding(
                "channels", State.WRONG, f"{channel.name}: {channel.dead} undelivered messages ({channel.reason})",
                f"tiltmeter channels test {channel.name} shows what the receiver says",
            )  # fmt: skip
        elif channel.paused_until is not None and channel.paused_until > now:
            until = f"{channel.paused_until:%H:%M:%S} UTC"
            yield Finding("channels", State.NOTE, f"{channel.name} pauses until {until} ({channel.reason})", "wait")
        else:
            yield Finding(
                "channels", State.OK, f"{channel.name}: {channel.queued} waiting{_last(channel.last_sent_at)}"
            )
    if not states:
        yield Finding("channels", State.OK, "no message was ever queued")


def _last(moment: datetime | None) -> str:
    return f", last sent {moment:%a %d %b %H:%M} UTC" if moment else ""


def _service(world: World, _: Path) -> Iterator[Finding]:
    beats = world.state.heartbeats()
    now = world.clock.now()
    if not beats:
        yield Finding("service", State.NOTE, "no service has run on this home yet", "tiltmeter serve --dashboard")
    for component, beat in sorted(beats.items()):
        age = (now - beat).total_seconds()
        if age < -FRESH_SECONDS:
            yield Finding(
                "clock",
                State.WRONG,
                f"{component} was last alive {-age:.0f} s in the future",
                "check this machine's clock",
            )
        elif age > FRESH_SECONDS:
            yield Finding(
                "service", State.WRONG, f"{component} was last alive {age:.0f} s ago", "start `tiltmeter serve`"
            )
        else:
            yield Finding("service", State.OK, f"{component} was alive {max(age, 0):.0f} s ago")
