"""A day or week in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.hearing import NOT_DELIVERED
from tiltmeter.alerting.limits import P95, least_rows, psi_limits
from tiltmeter.api.summary import effect, has_too_few_rows, moved, percent
from tiltmeter.domain.metric import Status, Subject, Unit
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.deciles import left_out
from tiltmeter.monitors.effects import plain_number, shortened

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from tiltmeter.api.period import Period
    from tiltmeter.domain.comparison import Comparison
    from tiltmeter.domain.window import Window


NOT_IN_PERCENT = frozenset({"outcomes.auc"})
"""Between 0 and 1 and yet a share of nothing that anybody counts."""


def period_title(found: Period) -> str:
    """`lead-scoring, week 47 of 2026`."""
    day = found.window.start.astimezone(found.zone)
    year, week, _ = day.isocalendar()
    when = f"week {week} of {year}" if found.window.grain is Grain.WEEK else f"{day:%A, %d %B %Y}"
    return f"{shortened(found.model.name)}, {when}"


def step_name(step: Window, zone: ZoneInfo) -> str:
    """`Mon 16` for a day, `06:00` for an hour."""
    local = step.start.astimezone(zone)
    return f"{local:%H:%M}" if step.grain is Grain.HOUR else f"{local:%a %d}"


def period_sentence(found: Period) -> str:
    """The verdict, without a full stop."""
    parts = [_drift_words(found), _incident_words(found)]
    total = found.service_total
    if total.p95_ms is not None:
        target_ms = found.model.latency_target.total_seconds() * 1000
        kept = f"{'within' if total.p95_ms <= target_ms else 'above'} the target"
        if total.requests < least_rows(found.rules, P95, Subject(found.model.name)):
            kept = f"n = {total.requests:,}, not judged"
        parts.append(f"P95 {total.p95_ms:,.0f} ms, {kept}")
    if "outcomes.conversion_rate" in found.outcomes:
        parts.append(f"conversion {outcome_text(found, 'outcomes.conversion_rate')}")
    return "; ".join(part for part in parts if part)


def _drift_words(found: Period) -> str:
    result = found.against_baseline
    if result is None:
        return f"No predictions were judged this {found.window.grain}"
    stirred = moved(result.comparison)
    total = result.overall.features
    if not stirred and not psi_limits(found.rules, Subject(found.model.name, feature="any")):
        return f"PSI of {total} features is shown, and no rule judges it"
    if not stirred and has_too_few_rows(result.comparison):
        return not_judged(result.comparison)
    if not stirred:
        return f"None of {total} features moved over the whole {found.window.grain}"
    words = effect(stirred[0])
    return f"{len(stirred)} of {total} features moved, strongest {shortened(stirred[0].name)}" + (
        f": {words}" if words else ""
    )


def not_judged(comparison: Comparison) -> str:
    """`Not judged: 84 rows are too few`."""
    return f"Not judged: {min(comparison.n_reference, comparison.n_current):,} rows are too few"


def _incident_words(found: Period) -> str:
    critical = sum(incident.peak is Severity.CRITICAL for incident in found.incidents)
    warning = sum(incident.peak is Severity.WARNING for incident in found.incidents)
    if not critical + warning:
        return "no incident"
    named = [f"{count} {word}" for count, word in ((critical, "critical"), (warning, "warning")) if count]
    count = f"{' and '.join(named)} incident{'s' if critical + warning > 1 else ''}"
    count += _unheard_words(found)
    if found.against_baseline is not None and moved(found.against_baseline.comparison):
        return count  # the feature that moved stands before it
    worst = max(found.incidents, key=lambda incident: incident.peak)
    return f"{count}, the worst: {shortened(worst.title)}" if worst.title else count


def _unheard_words(found: Period) -> str:
    """Incidents of which messages were meant for people and none arrived."""
    lost = [
        one for one in found.incidents
        if one.peak >= Severity.WARNING
        and NOT_DELIVERED in found.untold.get(one.id, {}).values() and not found.told.get(one.id)
    ]  # fmt: skip
    if not lost:
        return ""
    return " that reached nobody" if len(lost) == 1 == len(found.incidents) else f", {len(lost)} of them reached nobody"


def outcome_text(found: Period, name: str) -> str:
    """`8.1 % (7.9 % before)`; says so where too few leads stand behind it."""
    unit = Unit.NONE if name in NOT_IN_PERCENT else CATALOGUE[name].unit
    now, before = found.outcomes.get(name), found.outcomes_before.get(name)
    missing = "" if now is None else left_out(now.details)
    if now is None or now.value is None:
        return now.why_missing if now is not None and missing else "not known yet"
    written = _written(now.value, unit, found)
    if now.status is not Status.OK:
        written += f", n = {now.n_current or 0:,}: not judged"
    elif before is not None and before.value is not None and before.window != now.window:
        written += f" ({_written(before.value, unit, found)} before)"
    return f"{written}; {missing}" if missing else written


def _written(value: float, unit: Unit, found: Period) -> str:
    if unit is Unit.SHARE:
        return percent(value)
    if unit is Unit.MONEY:
        return f"{value:,.2f} {found.model.outcomes.currency}".strip()
    return plain_number(value)
