"""What a number means, in the words of the person who is woken by it. One entry per metric that rules act on.

Facts beyond the number come in through `Metric.details`; every key is optional:

    effect       what moved, in words ("web-form 18 points up"): leads every drift message
    of           "score" when an overall number is the score's
    features     names behind a count (schema changes)
    new_levels   names of new levels
    top_route, errors, requests, exception, first_seen, client     errors and latency
    observed     customers so far, beside `expected`
    usual        usual number of requests, records or seconds
    message, run_id, url, expected, last_run, last                 batch jobs
    why          why a rule cannot be judged
    unworded     class of the error that kept a message from being worded
    change       what changed upstream ("version 15 since 22:10")
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.alert import Alert
    from tiltmeter.domain.rule import Limit

NAME_LENGTH = 80
"""Characters of a hostile name that a message shows."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def name_of(text: str) -> str:
    """A hostile name, cut, without characters that could break a line or a header."""
    clean = "".join(character if character.isprintable() else "·" for character in text)
    return clean if len(clean) <= NAME_LENGTH else clean[: NAME_LENGTH - 1] + "…"


def local_time(moment: datetime, zone: ZoneInfo, *, with_year: bool = False) -> str:
    """`Mon 23 Nov 06:00 CET`, independent of the machine's language."""
    local = moment.astimezone(zone)
    year = f" {local.year}" if with_year else ""
    day = f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}{year}"
    return f"{day} {local:%H:%M} {local.tzname() or 'UTC'}"


def date_of(moment: datetime, zone: ZoneInfo) -> str:
    """`Sun 22 Nov`."""
    local = moment.astimezone(zone)
    return f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}"


def clock_time(moment: datetime, zone: ZoneInfo) -> str:
    """`06:15 CET`."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M} {local.tzname() or 'UTC'}"


def length_of(length: timedelta) -> str:
    """`1 d 2 h`, `15 min`, `40 s`: the two largest units."""
    seconds = max(0, round(length.total_seconds()))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def chance(value: float) -> str:
    """A p- or q-value; one too small for a double is not 0."""
    return number(value) if value > 0 else "< 1e-300"


def share(value: float) -> str:
    """`3.2 %`; below one per mille with enough digits to see it."""
    return f"{value * 100:.2g} %" if abs(value) < 0.1 else f"{value * 100:.0f} %"


def points(value: float) -> str:
    """`18 points`."""
    return f"{abs(value) * 100:.2g} points" if abs(value) < 0.1 else f"{abs(value) * 100:.0f} points"


def psi(value: float) -> str:
    """Two decimals, as the limits are written; three where two would hide on which side of the limit it lies."""
    return f"{value:.2f}"


def _seconds(value: float) -> str:
    return length_of(timedelta(seconds=value))


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms"


@dataclass(frozen=True, slots=True)
class Measure:
    """How a metric is spoken of.

    Args:
        family: `service`, `job`, `outcomes`, `schema`, `drift` or `monitor`: one clause of a title each.
        label: name of the number in a table.
        value: the number with its unit.
        title: the alert in a clause.
        actions: what to do, in order.
    """

    family: str
    label: str
    value: Callable[[float], str]
    title: Callable[[Alert], str]
    actions: tuple[str, ...] = ()


def detail(alert: Alert, key: str) -> str:
    """A fact of the metric as text, empty when it is not there."""
    found = alert.metric.details.get(key) if alert.metric is not None else None
    if isinstance(found, list):
        return ", ".join(name_of(str(part)) for part in found[:5])
    return "" if found is None else name_of(str(found)) if isinstance(found, str) else number(float(found))


def value_of(alert: Alert) -> float | None:
    """The value to speak of: the one of the moment while it is in breach, else the worst of the episode."""
    in_breach = alert.value is not None and alert.breached_at == alert.updated_at
    return alert.value if in_breach or alert.peak is None else alert.peak


def _feature(alert: Alert) -> str:
    return name_of(alert.subject.feature) or ("the score" if detail(alert, "of") == "score" else "the features")


def _job(alert: Alert) -> str:
    return f"job {name_of(alert.subject.segment_value)}" if alert.subject.segment_value else "a job"


def _where(alert: Alert) -> str:
    if alert.subject.segment_key == "http_route":
        return f" on {name_of(alert.subject.segment_value)}"
    return ""


def _said(alert: Alert, text: str, value: Callable[[float], str]) -> str:
    found = value_of(alert)
    return text.format(value="unknown" if found is None else value(found))


def _drifted(word: str, value: Callable[[float], str]) -> Callable[[Alert], str]:
    return lambda alert: f"{_feature(alert)} drifted, {word} {_said(alert, '{value}', value)}"


def _moved(word: str, value: Callable[[float], str]) -> Callable[[Alert], str]:
    """What moved comes first: the figure of a test says nothing to the people who sell."""
    return lambda alert: f"{_feature(alert)} moved{_by(alert)} ({word} {_said(alert, '{value}', value)})"


def _by(alert: Alert) -> str:
    effect = detail(alert, "effect")
    return f": {effect}" if effect else ""


_SINCE = "since the window before"


def _direction(alert: Alert, up: str, down: str) -> str:
    return down if (value_of(alert) or 0.0) < 0 else up


def _deviations(value: float) -> str:
    return f"{abs(value):.2g} standard deviations"


def _schema(alert: Alert) -> str:
    count = int(value_of(alert) or 0)
    names = detail(alert, "features")
    return f"{count} feature{'s' if count != 1 else ''} gone or retyped{': ' + names if names else ''}"


def _rule_error(alert: Alert) -> str:
    why, unworded = detail(alert, "why"), detail(alert, "unworded")
    if unworded:
        return f"messages of rule {name_of(alert.subject.segment_value)} come in plain words only ({unworded})"
    return f"rule {name_of(alert.subject.segment_value)} cannot be judged{': ' + why if why else ''}"


def _late_job(alert: Alert) -> str:
    late = value_of(alert)
    return f"{_job(alert)} never ran" if late is None else f"{_job(alert)} is {_seconds(late)} late"


_DRIFT_ACTIONS = (
    "Open {feature} beside its baseline and look for the level or range that moved",
    "Check what was deployed or loaded upstream in this window",
    "If the change is real and stays, retrain or choose a newer baseline",
)
_WHOLE_ACTIONS = ("Open the features that moved most beside their baseline", *_DRIFT_ACTIONS[1:])
_SERVICE_ACTIONS = (
    "Roll the last deploy back if it fits the onset",
    "Open the service page: which route, since when, which code",
)
_JOB_ACTIONS = ("Open the run and read its message", "Start the job again once the cause is gone")
_LATE_ACTIONS = ("See whether the job was started at all, and what it waits for", _JOB_ACTIONS[1])

MEASURES: dict[str, Measure] = {
    "drift.psi": Measure("drift", "PSI", psi, _drifted("PSI", psi), _DRIFT_ACTIONS),
    "drift.overall_psi": Measure("drift", "overall PSI", psi, _drifted("PSI", psi), _WHOLE_ACTIONS),
    "drift.score_psi": Measure("drift", "score PSI", psi, _drifted("PSI", psi), _WHOLE_ACTIONS),
    "drift.weighted_psi": Measure("drift", "weighted PSI", psi, _drifted("weighted PSI", psi), _WHOLE_ACTIONS),
    "drift.kl": Measure("drift", "KL", psi, _moved("KL", psi), _DRIFT_ACTIONS),
    "drift.test_q_value": Measure("drift", "test q", chance, _moved("test q", chance), _DRIFT_ACTIONS),
    "features.missing_change": Measure(
        "drift", "missing", lambda v: f"{'+' if v > 0 else '−'}{points(v)}",
        lambda a: f"{_feature(a)}: {_said(a, '{value}', points)} more missing",
        ("Look for the form, import or join that stopped filling {feature}",),
    ),
    "features.missing_step": Measure(
        "drift", "missing since before", lambda v: f"{'+' if v > 0 else '−'}{points(v)}",
        lambda a: f"{_feature(a)}: {_said(a, '{value}', points)} {_direction(a, 'more', 'fewer')} missing {_SINCE}",
        ("Look for the form, import or join that changed about {feature}",),
    ),
    "features.mean_step": Measure(
        "drift", "step of the mean", number,
        lambda a: f"{_feature(a)}: mean {_direction(a, 'up', 'down')} {_said(a, '{value}', _deviations)} {_SINCE}",
        ("Check the unit and scale of {feature} at its source", _DRIFT_ACTIONS[1]),
    ),
    "features.new_level_excess": Measure(
        "drift", "new levels", share,
        lambda a: f"{_feature(a)}: new levels hold {_said(a, '{value}', share)}"
        + (f" ({detail(a, 'new_levels')})" if detail(a, "new_levels") else ""),
        ("Ask whether the new level of {feature} is meant; if so, retrain with it",),
    ),
    "features.out_of_range_share": Measure(
        "drift", "out of range", share,
        lambda a: f"{_feature(a)}: {_said(a, '{value}', share)} outside the known range",
        ("Check the unit and scale of {feature} at its source",),
    ),
    "features.schema_changes": Measure(
        "schema", "changed", number, _schema,
        ("Restore the field at its source, or take it out of the model's features",),
    ),
    "features.freshness": Measure(
        "service", "age", _seconds, lambda a: f"no new predictions for {_said(a, '{value}', _seconds)}",
        ("Check that the service gets requests and that the shipper runs (tiltmeter doctor)",),
    ),
    "serving.error_rate": Measure(
        "service", "errors", share, lambda a: f"{_said(a, '{value}', share)} of requests fail{_where(a)}",
        _SERVICE_ACTIONS,
    ),
    "serving.latency_ms.p95": Measure(
        "service", "P95", _milliseconds, lambda a: f"P95 latency {_said(a, '{value}', _milliseconds)}{_where(a)}",
        _SERVICE_ACTIONS,
    ),
    "serving.share_of_capacity": Measure(
        "service", "of capacity", share, lambda a: f"load at {_said(a, '{value}', share)} of capacity",
        ("Add workers or replicas before latency rises",),
    ),
    "serving.share_of_usual_traffic": Measure(
        "service", "of usual traffic", share, lambda a: f"traffic at {_said(a, '{value}', share)} of usual",
        ("Check the callers and the way to the service", _SERVICE_ACTIONS[1]),
    ),
    "outcomes.observed_to_expected_z": Measure(
        "outcomes", "z", number,
        lambda _: "fewer or later conversions than expected",
        ("Compare cohorts on the outcomes page: is it fewer, or only later?",),
    ),
    "batch.overdue": Measure("job", "late", _seconds, _late_job, _LATE_ACTIONS),
    "batch.failed": Measure("job", "failed runs", number, lambda a: f"{_job(a)} failed", _JOB_ACTIONS),
    "batch.records_ratio": Measure(
        "job", "of usual records", share,
        lambda a: f"{_job(a)} scored {_said(a, '{value}', share)} of the usual records",
        _JOB_ACTIONS,
    ),
    "batch.duration_ratio": Measure(
        "job", "of usual time", share, lambda a: f"{_job(a)} took {_said(a, '{value}', share)} of the usual time",
        _JOB_ACTIONS,
    ),
    "monitor.window_lag": Measure(
        "monitor", "behind", _seconds, lambda a: f"monitoring is {_said(a, '{value}', _seconds)} behind",
        ("tiltmeter doctor says what stands still",),
    ),
    "": Measure("monitor", "rule", number, _rule_error, ("tiltmeter rules check names the mistake",)),
}  # fmt: skip
"""How each metric that the packaged rules use is spoken of; others are spoken of by their name."""


def measure_of(alert: Alert, metric: str) -> Measure:
    """How to speak of an alert.

    Args:
        alert: any alert.
        metric: name of its rule's metric, used where the alert carries none.
    """
    name = alert.metric.name if alert.metric is not None else metric
    known = MEASURES.get(name)
    if known is not None:
        return known
    label = name.rpartition(".")[2].replace("_", " ")
    family = {"serving": "service", "batch": "job", "outcomes": "outcomes", "monitor": "monitor"}
    subject = name_of(alert.subject.feature or alert.subject.segment_value)
    title = f"{subject}: {label} " if subject else f"{label} "
    return Measure(
        family.get(name.partition(".")[0], "drift"), label, number, lambda a: title + _said(a, "{value}", number)
    )


def bound_of(limit: Limit, show: Callable[[float], str]) -> str:
    """`> 0.50`, with the limit in the metric's unit."""
    if limit.above is not None:
        return f"> {show(limit.above).removeprefix('+')}"
    return f"< {show(limit.below)}" if limit.below is not None else ""


def moment_of(text: str) -> datetime | None:
    """A time that a detail carries as ISO 8601; None when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
