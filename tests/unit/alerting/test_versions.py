"""Alerts on one version of a model: what becomes of them when the version is rolled back, or is all there is."""

from dataclasses import replace

from alert_scenes import PSI, day, psi_of, rehearsal
from tiltmeter.domain.alert import AlertState


def _judge(play, number, **by_version):
    """One day: PSI of the feature `plan`, of all rows and of the versions named `v…`."""
    window = day(number)
    metrics = []
    for name, value in by_version.items():
        metric = psi_of(window, "plan", value)
        version = "" if name == "all" else name.removeprefix("v")
        metrics.append(replace(metric, subject=replace(metric.subject, model_version=version)))
    return play.judge(metrics, window)


def _states(play):
    return {alert.subject.model_version: alert.state for alert in play.alerts.values() if alert.rule == "feature_psi"}


def test_the_alert_of_a_version_that_was_rolled_back_ends_with_the_models():
    play = rehearsal(PSI)
    _judge(play, 0, all=0.6, v14=0.01, v15=0.9)
    assert _states(play) == {"": AlertState.FIRING, "15": AlertState.FIRING}
    _judge(play, 1, all=0.01)
    assert _states(play)["15"] is AlertState.FIRING
    _judge(play, 2, all=0.01)
    assert set(_states(play).values()) == {AlertState.RESOLVED}
    assert not play.open_incidents()


def test_the_alert_of_a_version_that_has_taken_over_goes_on():
    play = rehearsal(PSI)
    _judge(play, 0, all=0.1, v14=0.01, v15=0.9)
    assert _states(play) == {"15": AlertState.FIRING}
    for number in (1, 2, 3):
        _judge(play, number, all=0.9)
    assert set(_states(play).values()) == {AlertState.FIRING}
    assert not any(alert.stale for alert in play.alerts.values())


def test_a_day_on_which_the_whole_model_says_nothing_freezes_it():
    play = rehearsal(PSI)
    _judge(play, 0, all=0.6, v14=0.01, v15=0.9)
    for number in (1, 2, 3):
        _judge(play, number, all=None)
    assert set(_states(play).values()) == {AlertState.FIRING}
    assert all(alert.stale for alert in play.alerts.values() if alert.rule == "feature_psi")
