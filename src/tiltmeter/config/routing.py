"""The sections that say who hears of an alert and when: mute timings, routes, escalations."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiltmeter.config.reading import Reader
from tiltmeter.config.yaml_source import KeyPath, dotted
from tiltmeter.domain.rule import Escalation, EscalationStep, MuteTiming, Route, RuleSet
from tiltmeter.domain.severity import Severity
from tiltmeter.registry import did_you_mean

DASHBOARD = "dashboard"
"""Reserved channel name: the dashboard reads the state, nothing is sent to it."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)")

# The packaged routes name one channel of each kind; where a file has channels of its own and no routes, all of that
# kind take its place, and a signed webhook hears what Slack hears.
_STANDS_FOR = {
    "slack-ml-alerts": ("slack", "webhook"),
    "email-ml-team": ("smtp",),
    "pagerduty-ml": ("pagerduty",),
}


def mute_timings(reader: Reader) -> dict[str, MuteTiming]:
    """Times in which a rule sends nothing, by name."""
    found = {}
    for name in reader.section(("mute_timings",)):
        path: KeyPath = ("mute_timings", name)
        reader.section(path, ("days", "outside", "inside", "timezone"))
        days = tuple(day.lower() for day in reader.names((*path, "days")))
        for day in days:
            if day not in _DAYS:
                reader.complain((*path, "days"), f'"{day}" is no day', hint=did_you_mean(day, list(_DAYS)))
        outside, inside = (_span(reader, (*path, key)) for key in ("outside", "inside"))
        if bool(outside) == bool(inside):
            reader.complain(path, f"{dotted(path)} needs exactly one of outside and inside")
        zone = reader.text((*path, "timezone"))
        if zone and not _is_zone(zone):
            reader.complain((*path, "timezone"), f'there is no time zone "{zone}"', hint="write Europe/Berlin or UTC")
        found[name] = MuteTiming(name, days, outside, inside, zone)
    return found


def _span(reader: Reader, path: KeyPath) -> str:
    text = reader.text(path)
    if text and not _SPAN.fullmatch(text):
        reader.complain(path, f'{dotted(path)} is "{text}"', hint='write it like "08:00-18:00"')
        return ""
    return text


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


def routes_and_escalations(
    reader: Reader, base: RuleSet, channels: Collection[str] | Mapping[str, Any] | None
) -> tuple[tuple[Route, ...], dict[str, Escalation]]:
    """Routes and escalation ladders of the file; what it leaves out comes from `base`, with the configured channels."""
    own_ladders, own_routes = reader.has(("escalation",)), reader.has(("routes",))
    known = None if channels is None else {*channels, DASHBOARD}
    ladders = _escalations(reader, known) if own_ladders else _replaced_ladders(base, channels)
    routes = _routes(reader, known, ladders) if own_routes else _replaced_routes(base, channels)
    if not own_routes and own_ladders:
        for route in routes:
            if route.escalation and route.escalation not in ladders:
                reader.complain(
                    ("escalation",),
                    f'the default route of {route.severity.word} needs the escalation "{route.escalation}"',
                    hint=f'add "{route.escalation}", or write routes',
                )
    return routes, ladders


def _routes(reader: Reader, known: set[str] | None, ladders: Mapping[str, Escalation]) -> tuple[Route, ...]:
    found: dict[Severity, Route] = {}
    for position, _ in enumerate(reader.items(("routes",))):
        path: KeyPath = ("routes", position)
        reader.section(path, ("severity", "to", "escalation", "repeat"))
        if not reader.has((*path, "severity")):
            reader.complain(path, f"{dotted(path)} has no severity")
        severity = Severity.of(reader.choice((*path, "severity"), ("info", "warning", "critical"), "info"))
        to, ladder = reader.names((*path, "to")), reader.text((*path, "escalation"))
        if bool(to) == bool(ladder):
            reader.complain(path, f"{dotted(path)} names channels (to) or an escalation, exactly one of them")
        if ladder and ladder not in ladders:
            what = f'there is no escalation "{ladder}"'
            reader.complain((*path, "escalation"), what, hint=did_you_mean(ladder, list(ladders)))
        _check_channels(reader, (*path, "to"), to, known)
        if severity in found:
            reader.complain(path, f"a second route for {severity.word} would never be used")
        found.setdefault(severity, Route(severity, to, ladder, reader.duration((*path, "repeat"))))
    return tuple(found.values())


def _escalations(reader: Reader, known: set[str] | None) -> dict[str, Escalation]:
    found = {}
    for name in reader.section(("escalation",)):
        path: KeyPath = ("escalation", name)
        reader.section(path, ("ack_expires", "steps"))
        steps = [_step(reader, (*path, "steps", i), known) for i, _ in enumerate(reader.items((*path, "steps")))]
        if not steps:
            reader.complain(path, f"{dotted(path)} has no steps")
        if any(later.after <= earlier.after for earlier, later in pairwise(steps)):
            reader.complain((*path, "steps"), f"{dotted(path)}.steps must come one after the other in time")
        if steps and steps[0].after:
            reader.complain((*path, "steps"), f"the first step of {dotted(path)} must be after 0m")
        found[name] = Escalation(name, tuple(steps), reader.duration((*path, "ack_expires")))
    return found


def _step(reader: Reader, path: KeyPath, known: set[str] | None) -> EscalationStep:
    reader.section(path, ("after", "to", "broadcast"))
    to = reader.names((*path, "to"))
    if not to:
        reader.complain(path, f"{dotted(path)} names no channel")
    _check_channels(reader, (*path, "to"), to, known)
    broadcast = reader.choice((*path, "broadcast"), ("True", "False"), "False") == "True"
    return EscalationStep(reader.duration((*path, "after")) or timedelta(0), to, broadcast)


def _check_channels(reader: Reader, path: KeyPath, names: tuple[str, ...], known: set[str] | None) -> None:
    for name in names:
        if known is not None and name not in known:
            reader.complain(path, f'there is no channel "{name}"', hint=did_you_mean(name, list(known)))


def _replaced_routes(base: RuleSet, channels: Collection[str] | Mapping[str, Any] | None) -> tuple[Route, ...]:
    swap = _swap(channels)
    return tuple(replace(route, to=swap(route.to)) for route in base.routes)


def _replaced_ladders(base: RuleSet, channels: Collection[str] | Mapping[str, Any] | None) -> dict[str, Escalation]:
    swap = _swap(channels)
    return {
        name: replace(ladder, steps=tuple(replace(step, to=swap(step.to)) for step in ladder.steps))
        for name, ladder in base.escalations.items()
    }


def _swap(channels: Collection[str] | Mapping[str, Any] | None) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    if channels is None:
        return lambda names: names
    kinds = {name: _kind(channels, name) for name in channels}

    def swapped(names: tuple[str, ...]) -> tuple[str, ...]:
        found: list[str] = []
        for name in names:
            stands_for = _STANDS_FOR.get(name, ())
            same_kind = [other for other, kind in kinds.items() if kind in stands_for]
            found += [name] if name == DASHBOARD or name in kinds else same_kind
            found += [other for other in same_kind if other not in found]
        return tuple(dict.fromkeys(found))

    return swapped


def _kind(channels: Collection[str] | Mapping[str, Any], name: str) -> str:
    settings = channels[name] if isinstance(channels, Mapping) else None
    kind = settings.get("kind") if isinstance(settings, Mapping) else settings
    return str(kind or "")
