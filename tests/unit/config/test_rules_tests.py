"""`rules test`: series with gaps, a clock, expectations."""

from __future__ import annotations

import pytest

from tiltmeter.config.rule_tests import run_rule_tests
from tiltmeter.domain.errors import ConfigError

GOOD = """
timezone: Europe/Berlin
start: 2026-10-24T00:00
tests:
  - name: a drifted plan over the end of summer time
    every: day
    series:
      - {metric: drift.psi, feature: plan, values: "0.1x3 0.3 _ 0.6 0.1x3"}
    acknowledge: [{at: 6d2h, by: Anna}]
    expect:
      - {at: 4d1h, alerts: [{rule: feature_psi, feature: plan, severity: warning}], messages: [slack-ml-alerts fired]}
      - {at: 5d2h, messages: [slack-ml-alerts reminded, slack-ml-alerts updated]}
      - at: 6d1h30m
        alerts: [{severity: critical}]
        messages:
          - slack-ml-alerts reminded
          - slack-ml-alerts worsened
          - email-ml-team fired
          - pagerduty-ml fired
          - slack-ml-alerts escalated
          - email-ml-team escalated
      - {at: 6d3h, messages: [slack-ml-alerts acknowledged, email-ml-team acknowledged, pagerduty-ml acknowledged]}
      - {at: 9d2h, alerts: []}
"""


def test_a_good_file_holds(tmp_path):
    file = tmp_path / "rules_test.yaml"
    file.write_text(GOOD, encoding="utf-8")
    outcome = run_rule_tests(file)
    assert outcome.failures == []
    assert (outcome.tests, outcome.expectations) == (1, 5)


def test_what_differs_is_said_with_its_line(tmp_path):
    file = tmp_path / "rules_test.yaml"
    file.write_text(
        GOOD.replace("severity: warning", "severity: critical").replace("alerts: []", "alerts: [{rule: x}]")
    )
    failures = run_rule_tests(file).failures
    assert [f.at.rpartition(":")[2] for f in failures] == ["11", "23"]
    assert "no alert firing feature_psi plan critical" in failures[0].what
    assert "unexpected alert feature_psi firing warning plan" in failures[0].what


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("drift.psi", "drift.psy"), "did you mean"),
        (("0.1x3", "0.1y3"), '"0.1y3" is no value'),
        (("at: 4d1h", "at: soon"), "no duration"),
        (("Europe/Berlin", "Europe/Nowhere"), "no time zone"),
        (("series:", "serie:"), "unknown key"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, change, said):
    file = tmp_path / "rules_test.yaml"
    file.write_text(GOOD.replace(*change), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        run_rule_tests(file)
