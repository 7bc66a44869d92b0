"""Silenced, muted, inhibited: questions asked when a message would be sent, never states of an alert."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tiltmeter.domain.alert import AlertState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tiltmeter.domain.alert import Alert, Silence
    from tiltmeter.domain.rule import Inhibition, MuteTiming, Rule, RuleSet

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def labels_of(alert: Alert) -> dict[str, str]:
    """What silences and inhibitions match: the subject's labels, `rule` and `incident`."""
    labels = {**alert.subject.labels(), "rule": alert.rule}
    return {**labels, "incident": alert.incident} if alert.incident else labels


def silenced_by(alert: Alert, silences: Collection[Silence], now: datetime) -> Silence | None:
    """The active silence with the latest end that matches; None when nobody asked for quiet."""
    if not silences:
        return None
    labels = labels_of(alert)
    matching = [
        silence
        for silence in silences
        if silence.starts_at <= now < silence.ends_at
        and silence.matchers
        and all(labels.get(name) == value for name, value in silence.matchers.items())
    ]
    return max(matching, key=lambda silence: silence.ends_at, default=None)


def muted_by(rule: Rule, timings: Mapping[str, MuteTiming], now: datetime, zone: ZoneInfo) -> str:
    """Name of the mute timing that keeps the rule quiet at this moment, empty when none does."""
    for name in rule.mute:
        timing = timings.get(name)
        if timing is not None and is_muted(timing, now, zone):
            return name
    return ""


def is_muted(timing: MuteTiming, now: datetime, zone: ZoneInfo) -> bool:
    """Whether the timing covers the moment, on the local clock: 02:30 is 02:30 on both sides of a clock change.

    `inside: "22:00-06:00"` runs over midnight; its days are those on which it begins. `outside: "08:00-18:00"` with
    days mutes everything but these hours of these days.
    """
    local = now.astimezone(ZoneInfo(timing.timezone) if timing.timezone else zone)
    span = timing.inside or timing.outside
    begin, end = (_minutes(word) for word in span.split("-"))
    minute = local.hour * 60 + local.minute
    today, before = _DAYS[local.weekday()], _DAYS[(local.weekday() - 1) % 7]
    days = timing.days or _DAYS
    if begin < end:
        within = today in days and begin <= minute < end
    else:
        within = (today in days and minute >= begin) or (before in days and minute < end)
    return within if timing.inside else not within


def _minutes(word: str) -> int:
    if word == "24:00":
        return 24 * 60
    moment = time.fromisoformat(word)
    return moment.hour * 60 + moment.minute


def inhibited_by(alert: Alert, alerts: Iterable[Alert], inhibitions: Iterable[Inhibition]) -> Alert | None:
    """The firing alert whose rule stands above this one's; a silenced source inhibits all the same."""
    edges = [edge for edge in inhibitions if alert.rule in edge.target_rules]
    if not edges:
        return None
    labels = alert.subject.labels()
    for other in alerts:
        if other.state is not AlertState.FIRING or other.fingerprint == alert.fingerprint:
            continue
        theirs = other.subject.labels()
        if any(
            edge.source_rule == other.rule and all(theirs.get(name) == labels.get(name) for name in edge.equal)
            for edge in edges
        ):
            return other
    return None


def why_quiet(
    alert: Alert,
    rule: Rule | None,
    rules: RuleSet,
    *,
    alerts: Iterable[Alert],
    silences: Collection[Silence],
    now: datetime,
    zone: ZoneInfo,
) -> str:
    """Why people may not be told about a firing alert now; empty when they may."""
    silence = silenced_by(alert, silences, now)
    if silence is not None:
        return f"silenced by {silence.created_by} ({silence.id}): {silence.reason}"
    muted = muted_by(rule, rules.mute_timings, now, zone) if rule is not None else ""
    if muted:
        return f"mute timing {muted}"
    source = inhibited_by(alert, alerts, rules.inhibitions)
    return "" if source is None else f"inhibited while {source.rule} fires"
