"""A score that is gone or retyped is said as loudly as a feature: compared, replayed and in every live window."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from lead_frames import leads
from tiltmeter import Baseline
from tiltmeter.alerting.rules import verdicts
from tiltmeter.api.replaying import replays
from tiltmeter.api.summary import sentence
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.metric import Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.drift import drift_metrics

START = datetime(2026, 9, 1, tzinfo=UTC)


def hour(number):
    return Window(START + timedelta(hours=number), START + timedelta(hours=number + 1), Grain.HOUR)


def scored(seed, rows=600):
    return leads(rows, seed=seed).drop_columns(["seen_at", "bought"])


def without_score(seed):
    return scored(seed).drop_columns(["score"])


def with_text(seed):
    return without_score(seed).append_column("score", pa.array([f"high-{place % 3}" for place in range(600)]))


@pytest.fixture(scope="module")
def baseline():
    return Baseline.fit(scored(1, 2_000), score="score")


LOST = pytest.mark.parametrize(
    ("made", "status", "said"),
    [
        (without_score, Status.MISSING_COLUMN, "the score is gone (critical)"),
        (with_text, Status.TYPE_CHANGED, "the score changed its type (critical)"),
    ],
)


@LOST
def test_a_comparison_calls_it_critical(baseline, made, status, said):
    found = baseline.compare(baseline.profile(made(2)))
    assert (found.comparison.score.status, found.comparison.score.severity) == (status, Severity.CRITICAL)
    assert found.overall.severity is Severity.CRITICAL
    assert said in sentence(found.comparison)


@LOST
def test_a_replayed_history_fires_the_schema_rule(baseline, made, status, said):
    tables = [scored(10), made(11), made(12), scored(13), scored(14)]
    history = [(hour(place), baseline.profile(table)) for place, table in enumerate(tables)]
    (found,) = replays(baseline.reference, history, [load_rules(None)], zone=ZoneInfo("UTC"))
    (episode,) = found.episodes
    assert (episode.rule, episode.severity, episode.windows) == ("schema", Severity.CRITICAL, 2)
    assert [one.overall.severity for one in found.windows] == [0, 3, 3, 0, 0]


@LOST
def test_a_live_window_names_it(baseline, made, status, said):
    comparison = baseline.compare(baseline.profile(made(3))).comparison
    metrics = drift_metrics(comparison, subject=Subject("leads"), window=hour(0))
    by_name = {metric.name: metric for metric in metrics if not metric.subject.feature}
    assert by_name["features.schema_changes"].value == 1
    assert by_name["features.schema_changes"].details == {"features": ["score"]}
    assert by_name["drift.overall_psi"].status is status
    found = [one for one in verdicts(metrics, load_rules(None).rules) if one.severity >= Severity.WARNING]
    assert [(one.rule, one.severity) for one in found] == [("schema", Severity.CRITICAL)]
    overall = next(one for one in verdicts(metrics, load_rules(None).rules) if one.rule == "overall_psi")
    assert (overall.judged, overall.why) == (False, status.value)
