"""A day of each model version by itself: what was measured for it, never what the whole model did beside it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.alerting.limits import psi_limits
from tiltmeter.api.judging import judge
from tiltmeter.api.period import ServiceStep
from tiltmeter.api.summary import has_too_few_rows
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.style import NOT_JUDGED
from tiltmeter.monitors.cohorts import COHORT
from tiltmeter.monitors.traffic import traffic_metrics
from tiltmeter.ports import MetricQuery
from tiltmeter.statistics.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.api.period import Period
    from tiltmeter.api.result import Result
    from tiltmeter.domain.alert import AlertEvent
    from tiltmeter.domain.comparison import Comparison
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World

_BEGINS = frozenset({"alert_fired", "alert_reopened"})
_ENDS = frozenset({"alert_resolved", "alert_closed"})


@dataclass(frozen=True, slots=True, eq=False)
class VersionDay:
    """What was measured for one version.

    Args:
        version: its name; empty where rows name none.
        comparison: its rows beside the baseline, severities filled in; None where it scored nothing.
        service: its requests; None without any.
        outcomes: newest number by metric, of the leads that it scored.
        alerts: worst severity by incident, of the alerts that fired about it.
        is_judged: whether it had rows enough for a rule to say anything.
        is_alone: whether no other version scored or answered.
    """

    version: str
    comparison: Comparison | None
    service: ServiceStep | None
    outcomes: Mapping[str, Metric]
    alerts: Mapping[str, Severity]
    is_judged: bool
    is_alone: bool

    @property
    def severity(self) -> Severity:
        """Worst of what moved in its own rows and of the alerts about it."""
        moved: list[Severity] = []
        if self.comparison is not None:
            moved = [one.severity for one in self.comparison.features.values()]
            # A column that the baseline lacks is worth a note, and no reason to call a version anything but healthy.
            moved = [one for one in (*moved, self.comparison.overall.severity) if one > Severity.INFO]
        return max([*moved, *self.alerts.values()], default=Severity.NONE)

    @property
    def verdict(self) -> str:
        """The severity as a word: `ok` and `not judged` are two things."""
        if self.severity is Severity.NONE:
            return "ok" if self.is_judged else NOT_JUDGED
        return self.severity.word

    @property
    def served(self) -> bool:
        """Whether it scored or answered anything."""
        return self.comparison is not None or self.service is not None


def version_days(world: World, found: Period, result: Result) -> list[VersionDay]:
    """Every version that scored, answered, or whose leads became mature, by name.

    Where one version served alone, what was measured of the whole is its own; where several did, numbers that exist for
    the whole only are nobody's.

    Args:
        world: states, traffic, metrics and incidents.
        found: the day.
        result: the day beside the judging baseline.
    """
    rows = _profiles(world, found, result, found.window)
    traffic: dict[str, list[TrafficState]] = defaultdict(list)
    for state in world.log.traffic(found.model.name, found.window):
        traffic[state.model_version].append(state)
    serving = sorted({version for version in (*rows, *traffic) if version})
    outcomes = _outcomes(world, found, result)
    if len(serving) <= 1:
        alone = serving[0] if serving else ""
        service = found.service_total if found.service else None
        about = _alerts(world, found, {"", alone})
        own = outcomes.pop(alone, {})
        days = [VersionDay(alone, result.comparison, service, own, about, found.is_judged, is_alone=True)]
    else:
        days = [
            _one_of_several(
                world, found, result, version, rows.get(version), traffic[version], outcomes.pop(version, {})
            )
            for version in serving
        ]
    outcomes.pop("", None)  # of rows without a version, beside versions that served
    retired = [
        VersionDay(version, None, None, own, {}, is_judged=False, is_alone=False) for version, own in outcomes.items()
    ]
    return sorted([*days, *retired], key=lambda day: day.version)


def _one_of_several(
    world: World,
    found: Period,
    result: Result,
    version: str,
    profile: Profile | None,
    traffic: Sequence[TrafficState],
    outcomes: Mapping[str, Metric],
) -> VersionDay:
    comparison, is_judged = None, False
    if profile is not None:
        own = compare(result.reference, profile, weights=found.model.weights, now=found.window.end)
        comparison, is_judged = _judged(found, result, own)
    service = _service(found, traffic) if traffic else None
    about = _alerts(world, found, {version})
    return VersionDay(version, comparison, service, outcomes, about, is_judged, is_alone=False)


def _profiles(world: World, found: Period, result: Result, window: Window) -> dict[str, Profile]:
    """Rows of a window by version."""
    name, bins_id = found.model.name, result.reference.bins.bins_id
    profiles = {
        version: world.states.total(name, bins_id, window, version=version)
        for version in world.states.subjects(name, bins_id)[0]
    }
    return {version: profile for version, profile in profiles.items() if profile is not None and profile.rows}


def _judged(found: Period, result: Result, comparison: Comparison) -> tuple[Comparison, bool]:
    judged = judge(comparison, result.rules, window=found.window, model=found.model.name).comparison
    has_limits = bool(psi_limits(found.rules, Subject(found.model.name, feature="any")))
    return judged, has_limits and not has_too_few_rows(judged)


def _service(found: Period, states: Sequence[TrafficState]) -> ServiceStep:
    model = found.model
    own = {
        metric.name: metric.value
        for metric in traffic_metrics(
            states, model=model.name, window=found.window, latency_target=model.latency_target
        )
        if metric.subject == Subject(model.name)
    }
    return ServiceStep(
        int(own["serving.requests"] or 0), own["serving.latency_ms.p95"], own["serving.error_rate"],
        own["serving.share_within_target"],
    )  # fmt: skip


def _outcomes(world: World, found: Period, result: Result) -> dict[str, dict[str, Metric]]:
    """Version -> newest number by metric, of the cohort that this day judged."""
    model, end = found.model, found.window.end - found.model.outcomes.mature_after
    query = MetricQuery(
        model=model.name, prefix="outcomes.", segment=("", ""), since=end - COHORT - found.window.length, until=end
    )
    by_version: dict[str, dict[str, Metric]] = defaultdict(dict)
    for metric in sorted(world.state.metrics(query), key=lambda metric: metric.window.end):
        if metric.value is not None and metric.window.end == end:
            by_version[metric.subject.model_version][metric.name] = metric
    whole = by_version.pop("", {})
    if whole and not by_version:
        # Versions are told apart only where several scored the cohort: one alone is all of it.
        cohort = replace(found.window, start=end - COHORT, end=end)
        scored = list(_profiles(world, found, result, cohort))
        scored = scored or world.states.subjects(model.name, result.reference.bins.bins_id)[0]
        by_version[scored[0] if len(scored) == 1 else ""] = whole
    return dict(by_version)


def _alerts(world: World, found: Period, versions: set[str]) -> dict[str, Severity]:
    """Worst severity by incident, of alerts about one of these versions that fired at some time of the day."""
    worst: dict[str, Severity] = {}
    for incident in found.incidents:
        by_alert: dict[str, list[AlertEvent]] = defaultdict(list)
        for event in world.state.events(incident=incident.id):
            if event.fingerprint and str(event.detail.get("model_version", "")) in versions:
                by_alert[event.fingerprint].append(event)
        for events in by_alert.values():
            severity = _fired(events, found.window)
            if severity is not None:
                worst[incident.id] = max(severity, worst.get(incident.id, Severity.NONE))
    return worst


def _fired(events: Sequence[AlertEvent], window: Window) -> Severity | None:
    """Worst severity of one alert within a window; None where it did not fire in it."""
    standing: Severity | None = None
    worst: Severity | None = None
    for event in events:
        if event.window_end > window.end:
            break
        if event.kind in _ENDS:
            standing = None
        elif event.kind in _BEGINS or standing is not None:
            standing = event.severity
        if event.window_end <= window.start:
            worst = standing  # as it stood when the window began
        elif standing is not None:
            worst = max(standing, worst or Severity.NONE)
    return worst
