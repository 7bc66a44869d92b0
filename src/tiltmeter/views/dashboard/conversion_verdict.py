"""How conversion stands: what the rules make of it, which alerts are open, and whether chance explains its change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltmeter.alerting.limits import limits_of, reading
from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.metric import Status
from tiltmeter.domain.severity import Severity
from tiltmeter.statistics.intervals import difference
from tiltmeter.views.dashboard.queries import ALL, OUTCOMES

if TYPE_CHECKING:
    from tiltmeter.domain.alert import Alert, Incident
    from tiltmeter.domain.metric import Metric
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope


@dataclass(frozen=True, slots=True)
class Standing:
    """One coloured line.

    Args:
        severity: its colour and icon.
        title: what stands in bold beside the icon.
        words: Markdown after it.
    """

    severity: Severity
    title: str
    words: str


def open_alerts(world: World, scope: Scope) -> list[Alert]:
    """Firing alerts about outcomes of what is shown, the worst first; of the whole, those of its parts among them."""
    found = [
        alert
        for alert in world.state.alerts(scope.model.name).values()
        if alert.state is AlertState.FIRING and alert.metric is not None and alert.metric.name.startswith(OUTCOMES)
        and (not scope.version or alert.subject.model_version in ("", scope.version))
        and (scope.segment == ALL or (alert.subject.segment_key, alert.subject.segment_value) in (ALL, scope.segment))
    ]  # fmt: skip
    return sorted(found, key=lambda alert: (-alert.severity, alert.rule, alert.subject))


def open_incidents(world: World, scope: Scope) -> list[Incident]:
    """Open incidents with such alerts, the worst first."""
    touched = {alert.incident for alert in open_alerts(world, scope)}
    found = [one for one in world.state.incidents(scope.model.name, open_only=True) if one.id in touched]
    return sorted(found, key=lambda one: (-one.severity, one.opened_at))


def severity_of(world: World, scope: Scope, metric: Metric) -> Severity:
    """What the rules make of a number, or of the alert of it that is still open: the worse of both."""
    read = reading(metric, world.rules.rules).severity
    return max(read, _still_open(world, scope, metric))


def _still_open(world: World, scope: Scope, metric: Metric) -> Severity:
    return max(
        (
            alert.severity for alert in open_alerts(world, scope)
            if alert.metric is not None and (alert.metric.name, alert.subject) == (metric.name, metric.subject)
        ),
        default=Severity.NONE,
    )  # fmt: skip


def conversion_standing(world: World, scope: Scope, now: Metric, before: Metric | None) -> Standing:
    """Did leads get worse? The rules have the first word, the week before the second.

    Args:
        world: its rules judge.
        scope: what is shown.
        now: conversion rate of the newest cohort, known.
        before: that of the cohort a week earlier; None or without a value where there is none.
    """
    severity, title, changed = _change(now, before)
    ruled = severity_of(world, scope, now)
    words = f"**{now.value:.1%}** of the newest leads became customers{changed}"
    read = reading(now, world.rules.rules)
    if ruled:
        title = _limit_words(world, now, read.severity) if read.severity is ruled else f"Conversion: {ruled.word}"
    if ruled > read.severity:
        words += f"; an alert of it ({ruled.word}) is still open"
    elif read.is_ruled and not read.is_judged:
        words += f"; its rule does not judge it: {read.why.replace('_', ' ')}"
    return Standing(max(ruled, severity), title, words)


def _limit_words(world: World, now: Metric, severity: Severity) -> str:
    limit = limits_of(world.rules.rules, now.name, now.subject).get(severity)
    if limit is None or now.value is None or now.value == limit:
        return f"Conversion: {severity.word}"
    return f"Conversion is {'below' if now.value < limit else 'above'} the {severity.word} limit of {limit:.1%}"


def _change(now: Metric, before: Metric | None) -> tuple[Severity, str, str]:
    """Severity, title and words of the change alone: no rule speaks of it, so a fall is worth knowing, no more."""
    if (few := next((m for m in (now, before) if m is not None and m.status is not Status.OK), None)) is not None:
        which = "newest" if few is now else "earlier"
        said = f"; n = {few.n_current or 0:,} in the {which} week, too few to say whether that changed"
        return Severity.NONE, "Not judged", said
    if before is None or before.value is None or now.value is None:
        return Severity.NONE, "Conversion", "; there is no cohort a week earlier yet"
    apart = _interval(now, before)
    points = 100 * (now.value - before.value)
    said = f", {abs(points):.1f} points {'higher' if points > 0 else 'lower'} than the week before ({before.value:.1%})"
    if apart is None:
        return Severity.NONE, "Conversion", said
    ends = f"{100 * apart[0]:+.1f} to {100 * apart[1]:+.1f} points".replace("-", "\N{MINUS SIGN}")
    if apart[0] <= 0.0 <= apart[1]:
        return Severity.NONE, "Conversion is steady", f"{said}; within chance (95 % interval of the change {ends})"
    said += f"; more than chance explains (95 % interval of the change {ends})"
    return (Severity.INFO, "Conversion fell", said) if points < 0 else (Severity.NONE, "Conversion rose", said)


def _interval(now: Metric, before: Metric) -> tuple[float, float] | None:
    sides = [(round((one.value or 0.0) * (one.n_current or 0)), one.n_current or 0) for one in (now, before)]
    return difference(*sides[0], *sides[1])
