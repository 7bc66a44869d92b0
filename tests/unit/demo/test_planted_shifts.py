"""The planted shifts against the real statistics and the default rules, before any service runs."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
import pytest

from tiltmeter.alerting.rules import verdicts
from tiltmeter.config.rules import load_rules
from tiltmeter.demo.build import build_demo_world, period_until
from tiltmeter.demo.log_rows import prediction_rows, reference_rows
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window, hours_of, windows_between
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.ingest.prediction_rows import captured, roles_of, training
from tiltmeter.monitors.drift import drift_metrics
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.hours import profile_hours
from tiltmeter.profiling.kernel import profile_rows
from tiltmeter.statistics.comparison import compare

NOW = datetime(2026, 11, 23, 14, 37, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
MODEL = Model("lead-scoring")
MIN_ROWS = 200


class Judged:
    """A world whose windows were compared and judged under the default rules."""

    def __init__(self, seed, *, every_hour):
        self.world = build_demo_world(seed, period_until(NOW, 30))
        reference = training(TableRows(reference_rows(self.world.reference, self.world.model)), MODEL)
        bins = fit_bins(reference, roles_of(MODEL, reference))
        self.reference = Reference("training", "b", bins, profile_rows(reference, bins))
        rows = prediction_rows(self.world.history)
        rows = captured(TableRows(rows.filter(pc.is_valid(rows["prediction"]))), MODEL)
        states = profile_hours(rows, bins, model=MODEL.name, time="__time", version=None, segments=(), zone=ZONE)
        self.hours = {key.window_start: profile for key, profile in states.items()}
        self.rules = load_rules(None).rules
        self.raised = defaultdict(list)
        self.quiet_psi = 0.0
        period = self.world.period
        for grain in (Grain.HOUR, Grain.DAY):
            for number, window in enumerate(windows_between(period.start, period.end, grain, ZONE)):
                near = any(abs(window.end - i.start) < timedelta(hours=4) for i in self.world.incidents)
                if window.end <= period.end and (grain is Grain.DAY or every_hour or near or number % 7 == 0):
                    self._judge(window)

    def _judge(self, window):
        span, current = self._span(window)
        comparison = compare(self.reference, current, now=window.end)
        metrics = drift_metrics(comparison, subject=Subject(MODEL.name), window=span)
        rules = [rule for rule in self.rules if rule.every == window.grain]
        for verdict in verdicts(metrics, rules):
            subject = verdict.subject.feature or "score"
            if verdict.severity >= Severity.WARNING:
                self.raised[verdict.rule, subject].append((span, verdict.severity, verdict.metric.value))
            elif verdict.rule == "feature_psi" and not self.cause(subject, span):
                self.quiet_psi = max(self.quiet_psi, verdict.metric.value)

    def _span(self, window):
        profiles = [self.hours[hour] for hour in hours_of(window, ZONE) if hour in self.hours]
        start, total = window.start, profiles[0]
        for profile in profiles[1:]:
            total = total + profile
        while total.rows < MIN_ROWS and start > self.world.period.start:
            start -= timedelta(hours=1)
            total = total + self.hours[start]
        return Window(start, window.end, window.grain), total

    def cause(self, subject, span):
        return [i for i in self.world.incidents if subject in i.may_move and i.start < span.end and span.start < i.end]

    def first(self, rule, incident, subject=None):
        hits = self.raised[rule, subject or incident.subject]
        return next(hit for hit in hits if incident.start < hit[0].end)

    def incident(self, name):
        return next(i for i in self.world.incidents if i.id == name)

    def check(self):
        for (rule, subject), hits in self.raised.items():
            for span, _, value in hits:
                assert self.cause(subject, span), f"{rule} {subject} {value} at {span.end} has no cause"
        assert self.quiet_psi < 0.1
        for name, rule in (("unit-change", "out_of_range"), ("new-level", "new_levels"), ("missing-jump", "missing")):
            incident = self.incident(name)
            span, _, _ = self.first(rule, incident)
            assert span.end - incident.start <= timedelta(hours=2)
            span, severity, value = self.first("feature_psi", incident)
            assert span.end - incident.start <= timedelta(hours=24)
            assert severity is Severity.CRITICAL
            assert value > 0.6
        shift = self.incident("score-shift")
        span, severity, value = self.first("overall_psi", shift, "score")
        assert (severity, span.end - shift.start <= timedelta(hours=24)) == (Severity.CRITICAL, True)
        assert value > 0.6


@pytest.mark.slow
def test_each_shift_passes_its_threshold_with_margin_and_quiet_stretches_stay_quiet():
    Judged(31, every_hour=False).check()


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("block", range(5))
def test_on_twenty_seeds_every_hour_is_quiet_where_nothing_is_planted(block):
    for seed in range(4):
        Judged(500 + 4 * block + seed, every_hour=True).check()
