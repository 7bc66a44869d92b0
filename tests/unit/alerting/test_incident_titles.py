"""An incident keeps the name that people know it by."""

from __future__ import annotations

from alert_scenes import MODEL, PSI, day, psi_day, psi_of, rehearsal
from tiltmeter.domain.metric import Metric, Subject

TESTS = "{id: feature_tests, metric: drift.test_q_value, by: [feature], levels: {info: {below: 0.001}}}"


def _judge(play, number, *, psi, q_value):
    window = day(number)
    test = Metric("drift.test_q_value", Subject(MODEL, feature="device"), window, q_value, n_current=5_000)
    play.judge([psi_of(window, "annual_revenue", psi), test], window)
    [incident] = play.incidents.values()
    return incident


def test_the_title_stays_when_only_lesser_alerts_are_left():
    play = rehearsal(PSI, TESTS)
    loud = _judge(play, 0, psi=2.0, q_value=1e-8)
    assert "annual_revenue" in loud.title
    for number in range(1, 4):
        quiet = _judge(play, number, psi=0.01, q_value=1e-8 / number)
    assert quiet.title == loud.title


def test_the_title_follows_what_gets_worse():
    play = rehearsal(PSI)
    psi_day(play, 0, annual_revenue=0.3)
    psi_day(play, 1, annual_revenue=2.0)
    [incident] = play.incidents.values()
    assert incident.title == "annual_revenue drifted, PSI 2.00"


def _tests(play, **found):
    """A day on which tests find something: feature -> (q-value, effect)."""
    window = day(0)
    metrics = [
        Metric("drift.test_q_value", Subject(MODEL, feature=name), window, q, n_current=5_000,
               details={"effect": effect} if effect else {})
        for name, (q, effect) in found.items()
    ]  # fmt: skip
    play.judge(metrics, window)
    [incident] = play.incidents.values()
    return incident.title


def test_what_moved_stands_before_the_figure_of_its_test():
    assert (
        _tests(rehearsal(TESTS), device=(0.000964, "mobile 31.0 % → 33.4 %"))
        == "device moved: mobile 31.0 % → 33.4 % (test q 0.000964)"
    )
    assert _tests(rehearsal(TESTS), device=(0.000964, "")) == "device moved (test q 0.000964)"
    assert _tests(rehearsal(TESTS), device=(0.0, "tv 0.0 % → 15.0 %")).endswith("(test q < 1e-300)")


def test_of_several_the_surest_is_named():
    title = _tests(rehearsal(TESTS), device=(0.0009, "mobile 31.0 % → 33.4 %"), source=(1e-9, "web 9.1 % → 12.0 %"))
    assert title == "2 features moved, most source: web 9.1 % → 12.0 % (test q 1e-09)"
