"""What a model did in a day or a week: drift, service, outcomes, jobs, incidents, beside the period before."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tiltmeter.alerting.hearing import who_heard
from tiltmeter.alerting.limits import OVERALL_PSI, PSI, psi_limits, psi_steps
from tiltmeter.api.judging import judge
from tiltmeter.api.result import REPORTS, Result
from tiltmeter.api.summary import has_too_few_rows
from tiltmeter.domain.job_state import is_failed, is_good, is_of_model
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window, window_at, windows_between
from tiltmeter.drawing.style import NOT_JUDGED
from tiltmeter.monitors.cohort_weeks import MOST_WEEKS, WEEK, cohort_weeks
from tiltmeter.monitors.cohorts import cohort_span
from tiltmeter.monitors.comparing import LONGEST_SPAN
from tiltmeter.monitors.deciles import PRECISION_AT_K, RECALL_AT_K
from tiltmeter.monitors.traffic import traffic_metrics
from tiltmeter.ports import MetricQuery
from tiltmeter.statistics.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.alert import Incident
    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.traffic import ErrorKind
    from tiltmeter.monitors.cohort_weeks import CohortWeek
    from tiltmeter.ports import World

_STEPS = {Grain.WEEK: Grain.DAY, Grain.DAY: Grain.HOUR}
"""Windows that a period's lines and heatmap are drawn by."""

LONGEST_TRAIL = max(LONGEST_SPAN.values())
"""A short window is judged on a span that starts before it: it is asked for by its start and found by its end."""

OUTCOMES = (
    "outcomes.conversion_rate",
    "outcomes.precision",
    "outcomes.recall",
    "outcomes.precision_at_k",
    "outcomes.recall_at_k",
    "outcomes.auc",
    "outcomes.calibration",
    "outcomes.top_decile_lift",
    "outcomes.revenue_per_lead",
    "outcomes.observed_to_expected",
)
"""Outcome metrics of a report, in order."""


@dataclass(frozen=True, slots=True)
class ServiceStep:
    """Requests of one step of the period; None where there were none.

    Args:
        requests: number.
        p95_ms: latency.
        error_rate: share.
        within_target: share.
    """

    requests: int
    p95_ms: float | None
    error_rate: float | None
    within_target: float | None


@dataclass(frozen=True, slots=True)
class JobWeek:
    """Runs of one job in the period."""

    name: str
    runs: int
    failed: int
    records: int
    last: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Period:
    """Everything a report says.

    Args:
        model: reported model.
        window: the day or week.
        zone: business time zone.
        steps: hours of the day, days of the week.
        against_baseline: the period beside the judging baseline; None without rows or baseline.
        against_before: the period beside the period before it, in the same bins; None likewise.
        psi: PSI per step by feature, None where nothing was judged.
        psi_steps: how each PSI reads, as `psi`: steps of a heatmap.
        overall_psi: per step.
        service: per step; empty where no request log is connected.
        service_total: of the whole period.
        service_before: of the period before.
        errors: answers of 4xx and 5xx by route and kind, the most frequent first.
        outcomes: newest number of the period by metric.
        outcomes_before: newest number before the period by metric.
        weeks: precision and recall at k by week of scoring, until the end of the period.
        incidents: open at some time of the period, oldest first.
        told: channels that took a message about an incident, by its id.
        untold: channels that no message about an incident reached, by its id, with what became of it in words.
        jobs: by name.
        rules: those that judge the model.
    """

    model: Model
    window: Window
    zone: ZoneInfo
    steps: tuple[Window, ...]
    against_baseline: Result | None
    against_before: Result | None
    psi: Mapping[str, Sequence[float | None]]
    psi_steps: Mapping[str, Sequence[str]]
    overall_psi: Sequence[float | None]
    service: Sequence[ServiceStep]
    service_total: ServiceStep
    service_before: ServiceStep
    errors: Sequence[tuple[str, ErrorKind, int]]
    outcomes: Mapping[str, Metric]
    outcomes_before: Mapping[str, Metric]
    weeks: Sequence[CohortWeek]
    incidents: Sequence[Incident]
    told: Mapping[str, Sequence[str]]
    untold: Mapping[str, Mapping[str, str]]
    jobs: Sequence[JobWeek]
    rules: Sequence[Rule]

    @property
    def severity(self) -> Severity:
        """Worst of what moved and of the incidents."""
        result = self.against_baseline
        moved = [f.severity for f in result.comparison.features.values()] if result is not None else []
        overall = [result.overall.severity] if result is not None else []
        return max([*moved, *overall, *(incident.peak for incident in self.incidents)], default=Severity.NONE)

    @property
    def is_judged(self) -> bool:
        """Whether the drift of the period was judged: there are rows enough, and a rule about them."""
        result = self.against_baseline
        if result is None or not psi_limits(self.rules, Subject(self.model.name, feature="any")):
            return False
        return not has_too_few_rows(result.comparison)

    @property
    def verdict(self) -> str:
        """The severity as a word: `ok` and `not judged` are two things."""
        if self.severity is Severity.NONE:
            return "ok" if self.is_judged else NOT_JUDGED
        return self.severity.word

    def to_html(self) -> str:
        """One self-contained page without scripts."""
        text: str = REPORTS.load("period")(self)
        return text


def before(window: Window, zone: ZoneInfo) -> Window:
    """The period of the same kind that ends where this one starts."""
    found = window_at(window.start, window.grain, zone)
    last = window
    for earlier in windows_between(found.start - 2 * found.length, window.start, window.grain, zone):
        last = earlier
    return last


def newest_complete(now: datetime, grain: Grain, zone: ZoneInfo) -> Window:
    """The newest day or week that is over."""
    return before(window_at(now, grain, zone), zone)


def period_of(world: World, model: Model, window: Window) -> Period:
    """Gather everything about a model and a day or week.

    Args:
        world: log, states, metrics and incidents.
        model: any monitored model.
        window: a calendar day or week.
    """
    steps = tuple(windows_between(window.start, window.end, _STEPS.get(window.grain, Grain.DAY), world.zone))
    earlier = before(window, world.zone)
    incidents = [
        one
        for one in reversed(world.state.incidents(model.name, open_only=False))
        if one.opened_at < window.end and (one.resolved_at is None or one.resolved_at > window.start)
    ]
    against_baseline, against_before = _comparisons(world, model, window, earlier)
    heard = {one.id: who_heard(world.state.deliveries(incident=one.id)) for one in incidents}
    psi, read, overall = _psi_by_step(world, model, steps)
    service = [_service(world, model, step) for step in steps]
    return Period(
        model=model,
        window=window,
        zone=world.zone,
        steps=steps,
        against_baseline=against_baseline,
        against_before=against_before,
        psi=psi,
        psi_steps=read,
        overall_psi=overall,
        service=service if any(step.requests for step in service) else (),
        service_total=_service(world, model, window),
        service_before=_service(world, model, earlier),
        errors=_errors(world, model, window),
        outcomes=_outcomes(world, model, window),
        outcomes_before=_outcomes(world, model, earlier),
        weeks=_weeks(world, model, window),
        incidents=incidents,
        told={one: sent for one, (sent, _) in heard.items()},
        untold={one: unsent for one, (_, unsent) in heard.items()},
        jobs=_jobs(world, model, window),
        rules=_rules(world, model),
    )


def _comparisons(world: World, model: Model, window: Window, earlier: Window) -> tuple[Result | None, Result | None]:
    reference = world.baselines.judging(model, window)
    if reference is None:
        return None, None
    bins_id = reference.bins.bins_id
    current = world.states.total(model.name, bins_id, window)
    if current is None:
        return None, None
    previous = world.states.total(model.name, bins_id, earlier)
    beside = replace(reference, name=_period_word(window, "before"), profile=previous) if previous is not None else None
    return (
        _result(world, model, reference, current, window),
        _result(world, model, beside, current, window) if beside is not None else None,
    )


def _period_word(window: Window, which: str) -> str:
    return f"the {window.grain} {which}"


def _result(world: World, model: Model, reference: Reference, current: Profile, window: Window) -> Result:
    compared = compare(reference, current, weights=model.weights, now=window.end)
    rules = _rules(world, model)
    judged = judge(compared, rules, window=window, model=model.name)
    return Result(judged.shown, reference, current, f"this {window.grain}", tuple(rules))


def _rules(world: World, model: Model) -> list[Rule]:
    return [rule for rule in world.rules.rules if not rule.models or model.name in rule.models]


def _psi_by_step(
    world: World, model: Model, steps: Sequence[Window]
) -> tuple[dict[str, list[float | None]], dict[str, list[str]], list[float | None]]:
    """PSI by feature and step, how each reads, and the overall PSI by step."""
    places = {step.end: place for place, step in enumerate(steps)}
    by_feature: dict[str, list[float | None]] = defaultdict(lambda: [None] * len(steps))
    read: dict[str, list[str]] = defaultdict(lambda: [NOT_JUDGED] * len(steps))
    overall: list[float | None] = [None] * len(steps)
    for name in (PSI, OVERALL_PSI):
        query = MetricQuery(
            model=model.name, metric=name, grain=steps[0].grain, version="", segment=("", ""),
            since=steps[0].start - LONGEST_TRAIL, until=steps[-1].end,
        )  # fmt: skip
        found = [metric for metric in world.state.metrics(query) if metric.window.end in places]
        for metric, step in zip(found, psi_steps(found, world.rules.rules), strict=True):
            place, feature = places[metric.window.end], metric.subject.feature
            if step == NOT_JUDGED:
                continue
            if feature:
                by_feature[feature][place], read[feature][place] = metric.value, step
            else:
                overall[place] = metric.value
    return dict(by_feature), dict(read), overall


def _service(world: World, model: Model, window: Window) -> ServiceStep:
    states = world.log.traffic(model.name, window)
    found = {
        metric.name.removeprefix("serving."): metric.value
        for metric in traffic_metrics(states, model=model.name, window=window, latency_target=model.latency_target)
        if not metric.subject.segment_key and not metric.subject.model_version
    }
    return ServiceStep(
        int(found["requests"] or 0), found["latency_ms.p95"], found["error_rate"], found["share_within_target"]
    )


def _errors(world: World, model: Model, window: Window) -> list[tuple[str, ErrorKind, int]]:
    found: Counter[tuple[str, ErrorKind]] = Counter()
    for state in world.log.traffic(model.name, window):
        for kind, requests in state.error_kinds.items():
            found[state.http_route, kind] += requests
    return [(route, kind, found[route, kind]) for route, kind in sorted(found, key=lambda key: (-found[key], key))]


def _outcomes(world: World, model: Model, window: Window) -> dict[str, Metric]:
    since, until = cohort_span(model, window.start, window.end, before=window.length)
    query = MetricQuery(
        model=model.name, prefix="outcomes.", version="", segment=("", ""), since=since, until=until
    )  # fmt: skip
    found = sorted(world.state.metrics(query), key=lambda metric: metric.window.end)
    return {metric.name: metric for metric in found if metric.value is not None}


def _weeks(world: World, model: Model, window: Window) -> list[CohortWeek]:
    since, until = cohort_span(model, window.end - MOST_WEEKS * WEEK, window.end, before=timedelta(0))
    found: list[Metric] = []
    for name in (PRECISION_AT_K, RECALL_AT_K):
        query = MetricQuery(
            model=model.name, metric=name, grain=Grain.DAY, version="", segment=("", ""), since=since - WEEK,
            until=until,
        )  # fmt: skip
        found += world.state.metrics(query)
    return cohort_weeks(found, since=since, until=window.end)


def _jobs(world: World, model: Model, window: Window) -> list[JobWeek]:
    expected = {job.name for job in model.jobs}
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in world.log.batch_runs(window.start):
        is_whole = not run.get("task_key") and run["start_time"] < window.end and is_of_model(run, model.name)
        if is_whole and (run["job_name"] in expected or not expected):
            by_name[run["job_name"]].append(run)
    return [
        JobWeek(
            name, len(runs), sum(is_failed(run) for run in runs),
            sum(run.get("records_scored") or 0 for run in runs if is_good(run)), max(run["start_time"] for run in runs),
        )
        for name, runs in sorted(by_name.items())
    ]  # fmt: skip
