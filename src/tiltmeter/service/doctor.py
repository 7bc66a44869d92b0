"""`tiltmeter doctor`: how a running (or stopped) installation is, part by part."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from tiltmeter import __version__
from tiltmeter.capture.swift import FORM
from tiltmeter.domain.errors import StoreError, TiltmeterError
from tiltmeter.ingest.mlflow_errors import without_password
from tiltmeter.service.capture_findings import spool_findings, table_findings
from tiltmeter.service.findings import Finding, State
from tiltmeter.service.mlflow_troubles import kept_troubles
from tiltmeter.service.rescued_findings import rescued_findings
from tiltmeter.wiring import SystemClock, build_world, stored_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import World

_PACKAGES = ("pyarrow", "deltalake", "numpy", "numba", "sqlalchemy", "fastapi")
_ORDER = ("versions", "tables", "models", "baseline", "spool", "state", "channels", "mlflow", "service")
_MEND = "mend this first, then run doctor again"
_WITHOUT_STATE = (
    "restore it from a backup, or move it away: alerts and metrics then begin anew, and what is in the tables stays"
)
FRESH_SECONDS = 300
"""A service writes a sign of life every minute; five missed ones mean that it is not running."""


def examine(configuration: Configuration) -> list[Finding]:
    """Everything worth knowing; a part that cannot be looked at is a finding, never an exception.

    Raises:
        ConfigError: the configuration names what is not there.
    """
    world, trouble = _opened(configuration)
    clock = SystemClock()
    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("versions", _versions),
        ("tables", lambda: _tables(configuration, clock)),
        ("spool", lambda: spool_findings(configuration, clock.now().timestamp())),
    ]
    if world is not None:
        looks = {"models": _models, "baseline": _baselines, "state": _state, "channels": _channels, "service": _service}
        parts += [(name, partial(look, world)) for name, look in looks.items()]
        parts.append(("mlflow", partial(_mlflow, configuration, world)))
        parts.sort(key=lambda part: _ORDER.index(part[0]))
    findings: list[Finding] = []
    for name, look in parts:
        try:
            findings.extend(look())
        except (TiltmeterError, OSError) as error:
            findings.append(_unseen(name, error, _MEND))
    return findings + trouble


def _tables(configuration: Configuration, clock: SystemClock) -> Iterator[Finding]:
    log = stored_log(configuration, clock, configuration.models)
    yield from table_findings(log)
    yield from rescued_findings(log, clock.now())


def _opened(configuration: Configuration) -> tuple[World | None, list[Finding]]:
    try:
        return build_world(configuration, with_channels=False), []
    except StoreError as error:
        return None, [_unseen("state", error, _WITHOUT_STATE)]


def _unseen(part: str, error: TiltmeterError | OSError, to_do: str) -> Finding:
    if not isinstance(error, TiltmeterError):
        return Finding(part, State.WRONG, str(error), to_do)
    says = f"{error.at}: {error.what}" if error.at else error.what
    return Finding(part, State.WRONG, says, error.hint or to_do)


def _versions() -> Iterator[Finding]:
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


def _models(world: World) -> Iterator[Finding]:
    for model in world.models.values():
        rows = world.log.new_rows(model, None)
        if rows.version is None:
            yield Finding(
                "models", State.NOTE, f"{model.name}: no prediction has arrived yet",
                "send a request to the instrumented app, or run a batch job; then look at the spool below",
            )  # fmt: skip
            continue
        yield Finding("models", State.OK, f"{model.name}: {rows.count() or 0:,} predictions at version {rows.version}")


def _baselines(world: World) -> Iterator[Finding]:
    for model in world.models.values():
        bins = world.baselines.bins(model, world.clock.now())
        if bins is None:
            seen, needed = world.baselines.progress(model)
            yield Finding(
                "baseline", State.NOTE, f"{model.name}: learning, {seen:,} of {needed:,} rows and a first full week",
                "wait, or name a data set under `baselines`",
            )  # fmt: skip
        else:
            said = f"{model.name}: {len(bins.features)} features in bins {bins.bins_id}"
            used = [known for known in world.state.baselines(model.name) if known.bins_id == bins.bins_id]
            said += "".join(f', "{one.name}" frozen {one.created_at:%Y-%m-%d} from {one.source}' for one in used)
            yield Finding("baseline", State.OK, said)


def _state(world: World) -> Iterator[Finding]:
    incidents = world.state.incidents()
    worst = max((i.severity for i in incidents), default=None)
    said = f"{len(incidents)} open incidents" + (f", worst {worst.word}" if worst is not None else "")
    yield Finding("state", State.OK, said)


def _channels(world: World) -> Iterator[Finding]:
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


def _mlflow(configuration: Configuration, world: World) -> Iterator[Finding]:
    settings = configuration.settings.mlflow
    if settings is None:
        return
    troubles = kept_troubles(world.state)
    for about, error in troubles.items():
        yield Finding("mlflow", State.WRONG, f"{about}: {error}", "mend it; `serve` tries again by itself")
    if not troubles:
        yield Finding("mlflow", State.OK, f"no failure at {without_password(settings.tracking_uri)}")


def _service(world: World) -> Iterator[Finding]:
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
