"""One number reads the same wherever it is shown: limits, severities and least rows come from the rules alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tiltmeter.alerting.limits import (
    OVERALL_PSI,
    PSI,
    least_rows,
    limit_words,
    limits_of,
    named,
    psi_limits,
    psi_steps,
    psi_words,
    reading,
    readings,
    watch_of,
    worth_a_look,
)
from tiltmeter.alerting.rules import verdicts
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.rule import Limit, Rule
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window

END = datetime(2026, 3, 9, tzinfo=UTC)
DAY = Window(END - timedelta(days=1), END, Grain.DAY)
SIZE = Subject("lead-scoring", feature="company_size")
DEFAULT = load_rules(None).rules
STRICT = Rule("strict", PSI, {Severity.WARNING: Limit(above=0.1)}, by=("feature",), min_rows=50)
OTHERS = replace(STRICT, id="others", models=("churn",))


def psi(value, *, rows=5_000, subject=SIZE, name=PSI, **more):
    return Metric(name, subject, DAY, value, n_reference=5_000, n_current=rows, **more)


def test_limits_are_those_of_the_default_rules():
    assert named(limits_of(DEFAULT, PSI, SIZE)) == {"warning": 0.25, "critical": 0.5}
    assert named(psi_limits(DEFAULT, Subject("lead-scoring"))) == {"warning": 0.25, "critical": 0.5}
    assert named(limits_of(DEFAULT, "serving.latency_ms.p95", Subject("m"))) == {"info": 200, "warning": 500}
    assert least_rows(DEFAULT, PSI, SIZE) == 200
    assert least_rows(DEFAULT, "serving.latency_ms.p95", Subject("m")) == 100


def test_of_several_rules_the_strictest_counts():
    assert named(limits_of([*DEFAULT, STRICT], PSI, SIZE)) == {"warning": 0.1, "critical": 0.5}
    falling = [Rule(str(n), PSI, {Severity.WARNING: Limit(below=n)}, by=("feature",)) for n in (1.0, 3.0, 2.0)]
    assert named(limits_of(falling, PSI, SIZE)) == {"warning": 3.0}


def test_a_rule_of_other_models_versions_or_segments_draws_no_limit():
    assert limits_of([OTHERS], PSI, SIZE) == {}
    assert named(limits_of([OTHERS], PSI, replace(SIZE, model="churn"))) == {"warning": 0.1}
    of_segments = replace(STRICT, by=("feature", "lead_source"))
    assert limits_of([of_segments], PSI, SIZE) == {}
    assert limits_of([of_segments], PSI, replace(SIZE, segment_key="lead_source", segment_value="web"))
    assert limits_of([STRICT], PSI, replace(SIZE, segment_key="lead_source", segment_value="web")) == {}
    of_versions = replace(STRICT, by=("feature", "model_version"))
    assert limits_of([of_versions], PSI, SIZE) == {}
    assert limits_of([of_versions], PSI, replace(SIZE, model_version="14"))


def test_without_a_rule_there_is_no_limit_no_severity_and_no_word_of_one():
    assert limits_of([], PSI, SIZE) == {}
    assert least_rows([], PSI, SIZE) == 0
    read = reading(psi(9.0, rows=3), [])
    assert (read.severity, read.is_ruled, read.is_judged) == (Severity.NONE, False, False)
    assert psi_steps([psi(0.05), psi(0.2), psi(0.3), psi(9.0), psi(None)], []) == [
        "up to 0.1", "above 0.1", "above 0.25", "above 0.5", "not judged",
    ]  # fmt: skip
    assert "no rule" in limit_words({})
    assert "no rule" in psi_words({})


@pytest.mark.parametrize("rules", [DEFAULT, (STRICT,), (*DEFAULT, STRICT), (OTHERS,)])
@pytest.mark.parametrize("value", [0.05, 0.1, 0.15, 0.25, 0.26, 0.5, 0.51])
@pytest.mark.parametrize("rows", [49, 84, 200])
@pytest.mark.parametrize("q_value", [None, 0.001, 0.5])
def test_a_number_reads_as_an_alert_of_it_would(rules, value, rows, q_value):
    metric = psi(value, rows=rows, q_value=q_value)
    found = verdicts([metric], rules)
    read = reading(metric, rules)
    assert read.severity is max((verdict.severity for verdict in found), default=Severity.NONE)
    assert read.is_judged is any(verdict.judged for verdict in found)
    (step,) = psi_steps([metric], rules)
    if read.severity:
        assert step == read.severity.word
    elif found and not read.is_judged:
        assert step == "not judged"


def test_too_few_rows_for_the_statistic_may_be_enough_for_the_rule():
    few = psi(0.3, rows=84, status=Status.TOO_FEW_ROWS)
    assert psi_steps([few], DEFAULT) == ["not judged"]
    assert psi_steps([few], [STRICT]) == ["warning"]
    assert psi_steps([few], []) == ["not judged"]


def test_the_score_is_judged_as_the_overall_psi():
    score = psi(0.3, name="drift.score_psi", subject=Subject("lead-scoring"))
    assert psi_steps([score], DEFAULT) == ["warning"]
    assert psi_steps([score], [rule for rule in DEFAULT if rule.metric != OVERALL_PSI]) == ["above 0.25"]


def test_what_is_worth_a_look_gives_way_to_rules_that_begin_as_early():
    assert watch_of(limits_of(DEFAULT, PSI, SIZE)) == 0.1
    assert watch_of(limits_of([STRICT], PSI, SIZE)) is None
    early = [replace(STRICT, levels={Severity.WARNING: Limit(above=0.02)})]
    assert worth_a_look(limits_of(early, PSI, SIZE)) == 0.02
    assert worth_a_look({}) == 0.1
    assert psi_words(limits_of([STRICT], PSI, SIZE)) == "warning > 0.1"
    assert psi_words(limits_of(DEFAULT, PSI, SIZE)) == "watch > 0.1, warning > 0.25, critical > 0.5"


def test_the_same_subject_in_many_windows_is_no_duplicate():
    days = [replace(psi(0.3), window=Window(END - timedelta(days=n + 1), END - timedelta(days=n), Grain.DAY))
            for n in range(3)]  # fmt: skip
    assert [read.severity for read in readings(days, DEFAULT)] == [Severity.WARNING] * 3
