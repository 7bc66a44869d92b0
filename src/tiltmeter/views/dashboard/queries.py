"""What the pages ask of stored metrics, alerts and incidents, as small plain tables kept for a minute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import streamlit as st

from tiltmeter.alerting.limits import OVERALL_PSI, PSI, limits_of, psi_steps
from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window, local_days
from tiltmeter.drawing.style import NOT_JUDGED
from tiltmeter.monitors.cohorts import cohort_span
from tiltmeter.ports import MetricQuery
from tiltmeter.views.dashboard.by_version import of_version
from tiltmeter.views.dashboard.charts import VERSION
from tiltmeter.views.dashboard.spans import span_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.domain.alert import Alert, Incident
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World

SPANS = {"24 h": timedelta(hours=24), "7 d": timedelta(days=7), "30 d": timedelta(days=30), "90 d": timedelta(days=90)}

SCORE = "score"
"""What the model's score is called beside the features."""

ALL = ("", "")
"""The segment that holds every row."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a page shows.

    Args:
        place: home of the installation; keeps the answers of two of them apart.
        model: monitored model.
        version: model version, empty for all.
        segment: key and value, both empty for all.
        start: aware UTC.
        end: aware UTC; the newest data, not the wall clock.
        ends_newest: whether it ends with the newest data, known as the page is drawn; None where it has to be asked.
    """

    place: str
    model: Model
    version: str
    segment: tuple[str, str]
    start: datetime
    end: datetime
    ends_newest: bool | None = None

    @property
    def window(self) -> Window:
        """The shown span."""
        return Window(self.start, self.end, Grain.LIVE)


def whole(scope: Scope) -> Scope:
    """The same span, all versions and segments together."""
    return replace(scope, version="", segment=ALL)


def identity(scope: Scope) -> tuple[str, ...]:
    """What tells one scope's answers from another's."""
    return (
        scope.place, scope.model.name, scope.version, *scope.segment, scope.start.isoformat(), scope.end.isoformat(),
    )  # fmt: skip


_Answer = TypeVar("_Answer", bound="Callable[..., Any]")


def remembered(ask: _Answer) -> _Answer:
    """Keeps an answer for a minute by its arguments; those with an underscore do not count."""
    kept: _Answer = st.cache_data(ask, ttl=60, max_entries=500, show_spinner=False, hash_funcs={Scope: identity})
    return kept


def newest_moment(world: World, model: Model) -> datetime | None:
    """End of the newest judged window; None where none was judged."""
    found = [
        metric.window.end
        for name in ("features.rows", "serving.requests")
        for metric in world.state.metrics(
            MetricQuery(model=model.name, metric=name, grain=Grain.HOUR, segment=ALL, version="", newest_only=True)
        )
    ]
    return max(found, default=None)


_A_DAY = timedelta(days=1)


def is_newest(world: World, scope: Scope) -> bool:
    """Whether the shown span ends with the newest data, and not with a day that was chosen before them."""
    if scope.ends_newest is not None:
        return scope.ends_newest
    newest = newest_moment(world, scope.model)
    return newest is None or scope.end >= newest


def reach(world: World, scope: Scope) -> datetime:
    """Up to which moment requests and alerts of the shown span are read: now, by the minute, or its end.

    What came after the newest judged hour belongs to a span that ends with it. Where nothing was judged for a day the
    span ends as it says: the pages tell that its data are old.
    """
    now = world.clock.now().replace(second=0, microsecond=0)
    is_current = scope.end < now <= scope.end + _A_DAY and is_newest(world, scope)
    return now if is_current else scope.end


def read_span(world: World, scope: Scope) -> Window:
    """The shown span as requests and alerts are read of it: up to now where it ends with the newest data."""
    return Window(scope.start, reach(world, scope), Grain.LIVE)


def subjects(world: World, place: str, model: Model, end: datetime) -> tuple[list[str], list[tuple[str, str]]]:
    """Versions and segments (key, value) that a model has profiles of, kept until its next judged window."""
    found: tuple[list[str], list[tuple[str, str]]] = _subjects(world, place, model.name, end)
    return found


@st.cache_data(ttl=600, max_entries=200, show_spinner=False)  # type: ignore[untyped-decorator]
def _subjects(_world: World, place: str, model: str, end: datetime) -> tuple[list[str], list[tuple[str, str]]]:
    del place  # keeps two installations of one process apart
    bins = _world.baselines.bins(_world.models[model], end)
    return _world.states.subjects(model, bins.bins_id) if bins else ([], [])


OUTCOMES = "outcomes."
"""How the names of the metrics begin that are about cohorts of leads."""


def asked_span(scope: Scope, metric: str) -> tuple[datetime, datetime]:
    """Between which moments the windows end that the shown span holds of a metric (or of those that begin so).

    Outcomes are known late: of them these are the cohorts that matured within the span, and those a week before them.
    """
    if metric.startswith(OUTCOMES):
        return cohort_span(scope.model, scope.start, scope.end)
    return scope.start, scope.end


def _query(scope: Scope, metric: str, grain: Grain, feature: str | None = "") -> MetricQuery:
    since, until = asked_span(scope, metric)
    return MetricQuery(
        model=scope.model.name, metric=metric, since=since, until=until, grain=grain, version=scope.version,
        feature=feature, segment=scope.segment,
    )  # fmt: skip


@remembered
def series(_world: World, scope: Scope, metric: str, *, grain: Grain, feature: str = "") -> pd.DataFrame:
    """One metric over time: columns `time`, `start`, `value`, `lower`, `upper`, `rows`, `reference`, `status`."""
    if (feature, metric) == (SCORE, "drift.psi"):
        scores = of_version(_world, scope, _query(scope, "drift.score_psi", grain))
        features = of_version(_world, scope, _query(scope, metric, grain, feature))
        found = sorted(features or scores, key=lambda m: m.window.end)
    else:
        found = sorted(of_version(_world, scope, _query(scope, metric, grain, feature)), key=lambda m: m.window.end)
    return pd.DataFrame(
        {
            "time": pd.to_datetime([m.window.end for m in found], utc=True),
            "start": pd.to_datetime([m.window.start for m in found], utc=True),
            "value": pd.Series([m.value for m in found], dtype=float),
            "lower": pd.Series([m.lower for m in found], dtype=float),
            "upper": pd.Series([m.upper for m in found], dtype=float),
            "rows": [m.n_current or 0 for m in found],
            "reference": [m.n_reference or 0 for m in found],
            "status": [str(m.status) for m in found],
        }
    )


@remembered
def newest(_world: World, scope: Scope, prefix: str, *, grain: Grain, feature: str | None = None) -> list[Metric]:
    """The newest value of every metric whose name begins so, within the shown span."""
    since, until = asked_span(scope, prefix)
    query = MetricQuery(
        model=scope.model.name, prefix=prefix, since=since, until=until, grain=grain, version=scope.version,
        feature=feature, segment=scope.segment, newest_only=True,
    )  # fmt: skip
    return _world.state.metrics(query)


@remembered
def drift_heatmap(_world: World, scope: Scope) -> pd.DataFrame:
    """PSI by feature and day, worst features first.

    Columns `feature`, `order`, `day`, `start` and `end` (of the judged span), `span` (its length in words), `psi`,
    `step` (how it reads), `rows`.
    """
    found = [m for m in of_version(_world, scope, _query(scope, "drift.psi", Grain.DAY, None)) if m.subject.feature]
    scores: list[Metric] = []
    if all(m.subject.feature != SCORE for m in found):
        scores = of_version(_world, scope, _query(scope, "drift.score_psi", Grain.DAY))
    steps = [*psi_steps(found, _world.rules.rules), *psi_steps(scores, _world.rules.rules)]
    found = [*found, *(replace(m, subject=replace(m.subject, feature=SCORE)) for m in scores)]
    worst: dict[str, float] = {}
    for metric, step in zip(found, steps, strict=True):
        judged = 0.0 if step == NOT_JUDGED else metric.value or 0.0
        worst[metric.subject.feature] = max(worst.get(metric.subject.feature, 0.0), judged)
    order = {f: i for i, f in enumerate(sorted(worst, key=lambda f: (-worst[f], f)))}
    return pd.DataFrame(
        {
            "feature": [m.subject.feature for m in found],
            "order": [order[m.subject.feature] for m in found],
            "day": [local_days(m.window, _world.zone)[1].isoformat() for m in found],
            "start": pd.to_datetime([m.window.start for m in found], utc=True),
            "end": pd.to_datetime([m.window.end for m in found], utc=True),
            "psi": pd.Series([m.value for m in found], dtype=float),
            "step": steps,
            "span": [span_words(m.window.length) for m in found],
            "rows": [m.n_current or 0 for m in found],
        }
    )


def limits_for(world: World, scope: Scope, metric: str, *, feature: str = "") -> dict[Severity, float]:
    """Where each severity of a number begins, by the rules that judge what is shown; empty without a rule.

    Args:
        world: whose rules.
        scope: model, version and segment.
        metric: catalogue name; the PSI of the score is judged as the overall one.
        feature: that the number is about, empty for the whole.
    """
    if feature == SCORE and metric == PSI:
        metric, feature = OVERALL_PSI, ""
    return limits_of(world.rules.rules, metric, subject_of(scope, feature))


def subject_of(scope: Scope, feature: str = "") -> Subject:
    """What a number of the scope is about."""
    return Subject(scope.model.name, scope.version, feature, *scope.segment)


def incidents(world: World, scope: Scope, *, open_only: bool) -> list[Incident]:
    """Incidents of the model, newest first, that touch the shown span."""
    found = world.state.incidents(scope.model.name, open_only=open_only)
    # What opened after the newest judged hour belongs to a span that ends with it, not to one of days before.
    has_no_end = is_newest(world, scope)
    return [
        i
        for i in found
        if (i.resolved_at is None or i.resolved_at >= scope.start) and (has_no_end or i.opened_at <= scope.end)
    ]


def open_ones(world: World, scope: Scope, touching: list[Incident]) -> list[Incident]:
    """Those that are open; of a span in the past those that were open as it ended, also where they are over now."""
    is_past = not is_newest(world, scope)
    return [i for i in touching if i.resolved_at is None or (is_past and i.opened_at <= scope.end < i.resolved_at)]


def severity_then(incident: Incident) -> Severity:
    """How bad an incident that counts as open is; how bad it became where it is over by now."""
    return incident.severity if incident.resolved_at is None else incident.peak


def marks(world: World, scope: Scope, *, metrics: str = "", feature: str = "") -> pd.DataFrame:
    """Moments worth a line in a chart of the shown span: columns `time`, `words`, `severity`.

    Args:
        world: what is read.
        scope: what is shown.
        metrics: of the alerts, only those whose metric begins so.
        feature: of the alerts, only those of this feature.

    Returns:
        Alerts that fired, and model versions that appeared (severity `VERSION`). Of outcomes, an alert stands at the
        end of the cohort that it fired for.
    """
    return _marks(world, scope, reach(world, scope), metrics, feature)


@remembered
def _marks(_world: World, scope: Scope, until: datetime, metrics: str, feature: str) -> pd.DataFrame:
    late = scope.model.outcomes.mature_after if metrics.startswith(OUTCOMES) else timedelta(0)
    drawn = replace(scope, start=scope.start - late)
    rows = [(at, f"v {version}", VERSION) for version, at in version_starts(_world, drawn).items()]
    for alert in _world.state.alerts(scope.model.name, open_only=False).values():
        fired = alert.fired_at
        if fired is None or not scope.start <= fired <= until or not _is_about(alert, feature):
            continue
        if metrics and (alert.metric is None or not alert.metric.name.startswith(metrics)):
            continue
        rows.append((fired - late, _alert_words(alert), (alert.severity or Severity.INFO).word))
    table = pd.DataFrame(sorted(rows), columns=["time", "words", "severity"])
    return table.assign(time=pd.to_datetime(table["time"], utc=True))


@remembered
def version_starts(_world: World, scope: Scope) -> dict[str, datetime]:
    """Model versions that were first judged within the shown span, by the start of their first day."""
    query = MetricQuery(
        model=scope.model.name, metric="features.rows", grain=Grain.DAY, until=scope.end, segment=ALL
    )  # fmt: skip
    first: dict[str, datetime] = {}
    for metric in _world.state.metrics(query):
        version, start = metric.subject.model_version, metric.window.start
        if version:
            first[version] = min(start, first.get(version, start))
    # The oldest version did not arrive: it was there when the history began.
    began = min(first.values(), default=scope.end)
    return {version: start for version, start in sorted(first.items()) if start > max(began, scope.start)}


def is_alerting(world: World, scope: Scope, feature: str) -> bool:
    """Whether an alert of the feature is firing now."""
    open_now = world.state.alerts(scope.model.name).values()
    return any(alert.state is AlertState.FIRING and _is_about(alert, feature) for alert in open_now)


def _is_about(alert: Alert, feature: str) -> bool:
    if feature == SCORE and alert.metric is not None and alert.metric.name in ("drift.score_psi", "drift.overall_psi"):
        return True
    return not feature or alert.subject.feature == feature


def _alert_words(alert: Alert) -> str:
    subject = " ".join(value for key, value in alert.subject.labels().items() if key != "model")
    return f"{alert.rule} {subject}".strip()


def features_of(world: World, scope: Scope) -> list[str]:
    """Feature names, those with the highest PSI first."""
    table = drift_heatmap(world, scope)
    if len(table):
        return [str(f) for f in table.sort_values("order")["feature"].drop_duplicates()]
    bins = world.baselines.bins(scope.model, scope.end)
    return sorted(f for f in bins.features if f != bins.score) if bins else []
