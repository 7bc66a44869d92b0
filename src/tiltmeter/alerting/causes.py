"""The likely cause of an incident, from what its alerts have in common: a guess that names its evidence, or nothing."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.alerting.phrases import detail, name_of, points, share
from tiltmeter.domain.alert import AlertState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.alerting.situation import Change
    from tiltmeter.domain.alert import Alert

SHARED_BY = 0.6
"""Share of the alerts that must lie in one segment for the segment to be named."""

CHANGE_BEFORE = timedelta(hours=2)
"""A change counts when it came within the window that fired, or so long before it."""


def likely_cause(alerts: Sequence[Alert], changes: Sequence[Change] = ()) -> str:
    """In words, strongest evidence first; empty when nothing stands out.

    Args:
        alerts: of one incident.
        changes: deployments and the like, any time.
    """
    seen = [alert for alert in alerts if alert.state in (AlertState.FIRING, AlertState.RESOLVED)]
    for look in (_schema, _job, _exception):
        found = look(seen)
        if found:
            return found
    change, sign = _change(seen, changes), _sign(seen)
    # A sign in a few of many features is a part of what happened; the change may be what happened to all of them.
    said = [sign, change] if _explains_most(seen) else [change, sign]
    return "; ".join(text for text in said if text) or _after_change(seen)


_SIGNS = ("features.out_of_range_share", "features.missing_change", "features.new_level_excess")


def _sign(alerts: Sequence[Alert]) -> str:
    """What the rows themselves show: a scale, missing values, a new level, one segment."""
    return next((found for look in (_range, _missing, _new_level, _segment) if (found := look(alerts))), "")


def _explains_most(alerts: Sequence[Alert]) -> bool:
    features = {alert.subject.feature for alert in alerts if alert.subject.feature}
    signed = {alert.subject.feature for alert in _of(alerts, *_SIGNS)}
    return not signed or len(signed) >= SHARED_BY * len(features)


def _change(alerts: Sequence[Alert], changes: Sequence[Change]) -> str:
    said = next((detail(alert, "change") for alert in alerts if detail(alert, "change")), "")
    if said:
        return said
    begins = [alert.metric.window.start for alert in alerts if alert.metric is not None]
    ends = [alert.since for alert in alerts if alert.since is not None]
    if not begins or not ends:
        return ""
    near = [change for change in changes if min(begins) - CHANGE_BEFORE <= change.at <= min(ends)]
    return max(near, key=lambda change: change.at).text if near else ""


def _of(alerts: Sequence[Alert], *metrics: str) -> list[Alert]:
    return [alert for alert in alerts if alert.metric is not None and alert.metric.name in metrics]


def _schema(alerts: Sequence[Alert]) -> str:
    for alert in _of(alerts, "features.schema_changes"):
        names = detail(alert, "features")
        return f"schema change upstream{': ' + names if names else ''}"
    return ""


def _job(alerts: Sequence[Alert]) -> str:
    about_jobs = all(alert.metric is not None and alert.metric.name.startswith("batch.") for alert in alerts)
    for alert in _of(alerts, "batch.failed", "batch.overdue", "batch.records_ratio"):
        if alert.metric is None:
            continue
        word = {"batch.failed": "failed", "batch.overdue": "is late"}.get(alert.metric.name, "wrote too few records")
        message = detail(alert, "message")
        job = name_of(alert.subject.segment_value)
        if about_jobs:
            return ""  # that the job failed, and its message, is what the whole message says
        return f"job {job} {word}{': ' + message if message else ''}"
    return ""


def _exception(alerts: Sequence[Alert]) -> str:
    for alert in _of(alerts, "serving.error_rate"):
        exception, change = detail(alert, "exception"), detail(alert, "change")
        if change:
            return change
        if exception:
            return f"{exception} in {detail(alert, 'top_route') or 'the service'}"
    return ""


def _range(alerts: Sequence[Alert]) -> str:
    found = _of(alerts, "features.out_of_range_share")
    if not found:
        return ""
    names = ", ".join(name_of(alert.subject.feature) for alert in found[:3])
    return f"{names} outside the range of the baseline: a changed unit or scale?"


def _missing(alerts: Sequence[Alert]) -> str:
    found = _of(alerts, "features.missing_change")
    if not found:
        return ""
    worst = max(found, key=lambda alert: alert.value or 0.0)
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{name_of(worst.subject.feature)}{others} stopped being filled: {points(worst.value or 0.0)} more missing"


def _new_level(alerts: Sequence[Alert]) -> str:
    for alert in _of(alerts, "features.new_level_excess"):
        names = detail(alert, "new_levels")
        held = f" ({share(alert.value)} of rows)" if alert.value is not None else ""
        return f"new level {names} in {name_of(alert.subject.feature)}{held}" if names else ""
    return ""


def _segment(alerts: Sequence[Alert]) -> str:
    segments = Counter(
        (alert.subject.segment_key, alert.subject.segment_value)
        for alert in alerts
        if alert.subject.feature and alert.subject.segment_key
    )
    features = sum(1 for alert in alerts if alert.subject.feature)
    for (key, value), count in segments.most_common(1):
        if count >= 2 and count >= SHARED_BY * features:
            return f"{count} of {features} findings lie in {name_of(key)} = {name_of(value)}"
    return ""


def _after_change(alerts: Sequence[Alert]) -> str:
    versions = {alert.subject.model_version for alert in alerts if alert.subject.feature or alert.rule}
    return f"only version {name_of(versions.pop())} shows it" if len(versions) == 1 and "" not in versions else ""
