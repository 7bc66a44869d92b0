"""`tiltmeter check`: everything that can be wrong with a configuration before it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from tiltmeter.channels import DASHBOARD, build_channel, check_channel
from tiltmeter.domain.errors import ConfigError, DeliveryError, TiltmeterError
from tiltmeter.domain.window import Grain, window_at
from tiltmeter.engines.local import open_rows
from tiltmeter.registry import did_you_mean
from tiltmeter.service.access import Access, Role
from tiltmeter.service.calendar import Calendar
from tiltmeter.service.findings import Finding, State
from tiltmeter.wiring import SystemClock, resolve_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.config.load import Configuration
    from tiltmeter.config.settings import Settings
    from tiltmeter.domain.model import Model, TableSource


def check_configuration(configuration: Configuration, *, connect: bool = False) -> list[Finding]:
    """Findings about a file that could be read.

    Args:
        configuration: as loaded; unknown keys and wrong values were refused by then.
        connect: try every channel's address too, without sending anything.
    """
    return [
        _file(configuration),
        _home(configuration),
        *_data(configuration),
        _schedule(configuration),
        _rules(configuration),
        *_channels(configuration, connect=connect),
        _server(configuration),
    ]


def _file(configuration: Configuration) -> Finding:
    if configuration.path is None:
        return Finding("file", State.NOTE, "no configuration file: the defaults hold", "`tiltmeter init` writes one")
    models = ", ".join(configuration.models) or "none"
    return Finding("file", State.OK, f"{configuration.path} reads well; models: {models}")


def _home(configuration: Configuration) -> Finding:
    place = configuration.home
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    try:
        # Tried, not asked for: the mode says nothing of a mount that is read-only or of what root may do.
        with TemporaryFile(dir=existing) as probe:
            probe.write(b"tiltmeter")
            probe.flush()
    except OSError as error:
        to_do = "free space, or set `home` to another disk" if error.errno == ENOSPC else "set `home` to another folder"
        return Finding("home", State.WRONG, f"{existing} cannot be written ({error.strerror})", to_do)
    total, _, free = disk_usage(existing)
    says = f"{place}, {free / 1e9:.1f} GB free"
    least = configuration.settings.capture.spool.min_free
    if free < least * total:
        to_do = f"free space: requests are not recorded while less than {least:.0%} of the disk is free"
        return Finding("home", State.NOTE, f"{says}, {free / total:.1%} of its disk", to_do)
    return Finding("home", State.OK, says)


def _data(configuration: Configuration) -> Iterator[Finding]:
    for model in configuration.models.values():
        for baseline in model.baselines:
            if baseline.data and "://" not in baseline.data and not Path(baseline.data.partition("@")[0]).exists():
                at = configuration.source.at("models", model.name, "baselines", baseline.name)
                yield Finding(
                    "baseline", State.WRONG, f"{at}: there is no data set {baseline.data}", "correct the path"
                )
        if model.source is not None:
            yield _source(configuration, model, model.source)
        first = model.baselines[0]
        if first.first_week:
            yield Finding(
                "baseline", State.NOTE, f"{model.name}: none is configured, the first full week will be learnt",
                "name one under `baselines`, such as the training data",
            )  # fmt: skip
        else:
            yield Finding("baseline", State.OK, f'{model.name}: "{first.name}" judges')


def _source(configuration: Configuration, model: Model, source: TableSource) -> Finding:
    """Whether the table that is read in place can be opened and has the named columns."""
    at = configuration.source.at("models", model.name, "source")
    try:
        names = list(open_rows(source.table).schema.names)
    except TiltmeterError as error:
        where = "relative paths are relative to `home`"
        return Finding(
            "source", State.WRONG, f"{at}: {source.table}: {error.what}", f"{error.hint or 'correct it'}; {where}"
        )
    for role, column in source.columns.items():
        if column not in names:
            hint = did_you_mean(column, names) or f"it has {', '.join(names[:20])}"
            return Finding("source", State.WRONG, f'{at}: {source.table} has no column "{column}" for {role}', hint)
    return Finding("source", State.OK, f"{model.name}: {source.table}, {len(names)} columns")


def _schedule(configuration: Configuration) -> Finding:
    schedule = configuration.settings.schedule
    now = datetime.now(UTC)
    calendar = calendar_of(configuration)
    zone = configuration.zone
    try:
        times = [
            f"{grain} {calendar.due_at(window_at(now, grain, zone)).astimezone(zone):%a %H:%M}"
            for grain in (Grain.HOUR, Grain.DAY, Grain.WEEK)
        ]
    except ConfigError as error:
        return Finding("schedule", State.WRONG, str(error), "see `schedule` in docs/configuration.md")
    return Finding("schedule", State.OK, f"live every {schedule.realtime.total_seconds():g} s; next {', '.join(times)}")


def _rules(configuration: Configuration) -> Finding:
    rules = configuration.rules
    named = {channel for route in rules.routes for channel in route.to}
    named |= {c for escalation in rules.escalations.values() for step in escalation.steps for c in step.to}
    missing = sorted(named - set(configuration.settings.channels) - {DASHBOARD})
    if missing:
        return Finding(
            "rules", State.NOTE, f"{len(rules.rules)} rules; no such channel: {', '.join(missing)}",
            "alerts are on the dashboard only until these exist under `channels`",
        )  # fmt: skip
    return Finding("rules", State.OK, f"{len(rules.rules)} rules, {len(rules.routes)} routes")


def _channels(configuration: Configuration, *, connect: bool) -> Iterator[Finding]:
    settings = configuration.settings
    if not settings.channels:
        yield Finding("channels", State.NOTE, "none is configured", "add Slack, mail or PagerDuty under `channels`")
    for name, given in settings.channels.items():
        at = configuration.source.at("channels", name)
        try:
            check_channel(name, given)
            channel = build_channel(
                name, given, clock=SystemClock(), resolve=lambda reference: resolve_secret(reference, configuration)
            )
            if connect and hasattr(channel, "connect"):
                channel.connect()
        except DeliveryError as error:
            yield Finding(
                "channels", State.WRONG, f"{name} cannot be reached: {error}", "check address, key and network"
            )
        except TiltmeterError as error:
            yield Finding("channels", State.WRONG, f"{at}: {error.what}", error.hint or "see docs/channels.md")
        else:
            yield Finding("channels", State.OK, f"{name} ({given['kind']})" + (" answers" if connect else ""))


def _server(configuration: Configuration) -> Finding:
    server = configuration.settings.server
    try:
        access_of(configuration).check_address(server.host)
    except ConfigError as error:
        return Finding("server", State.WRONG, error.what, error.hint or "")
    if configuration.settings.channels and not server.public_url:
        return Finding(
            "server", State.NOTE, f"{server.host}:{server.port}; messages link to this machine only",
            "set server.public_url to the address under which people reach the dashboard",
        )  # fmt: skip
    return Finding("server", State.OK, f"{server.host}:{server.port}")


def calendar_of(configuration: Configuration) -> Calendar:
    """The schedule of a configuration."""
    schedule = configuration.settings.schedule
    cron = {Grain.HOUR: schedule.hourly, Grain.DAY: schedule.daily, Grain.WEEK: schedule.weekly}
    return Calendar(configuration.zone, cron, schedule.late_rows.wait)


def access_of(configuration: Configuration) -> Access:
    """Keys of the HTTP API.

    Raises:
        ConfigError: a key's variable is not set.
    """
    settings: Settings = configuration.settings
    given = {
        Role.READ: settings.server.keys.read,
        Role.OUTCOMES: settings.server.keys.outcomes,
        Role.OPERATE: settings.server.keys.operate,
    }
    keys = {role: secret.value(configuration.home) for role, secret in given.items() if secret is not None}
    return Access(keys, settings.server.trusted_header)
