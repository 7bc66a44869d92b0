import itertools
from datetime import UTC, datetime, timedelta

import pytest

from tiltmeter.demo.features import FEATURES
from tiltmeter.demo.incidents import plan_incidents
from tiltmeter.demo.matching import quiet_share
from tiltmeter.demo.world import Period, generator
from tiltmeter.domain.errors import UsageError

START = datetime(2026, 9, 1, tzinfo=UTC)
REQUIRED = {"unit-change", "new-level", "missing-jump", "slow-deploy", "error-burst", "score-shift", "job-absent"}


def _plan(seed, days=30):
    return plan_incidents(generator(seed, "incidents"), Period(START, START + timedelta(days=days)))


@pytest.mark.parametrize("seed", range(200))
def test_thirty_days_hold_every_incident_with_room_between(seed):
    planted = _plan(seed)
    required = [incident for incident in planted if incident.required]
    assert {incident.id for incident in required} == REQUIRED
    assert [i.id for i in planted if not i.required] == ["conversion-fall"]
    for before, after in itertools.pairwise(required):
        assert after.start - before.end > timedelta(hours=24)
    assert required[0].start - START >= timedelta(days=3)
    assert START + timedelta(days=30) - required[-1].end >= timedelta(days=2)


@pytest.mark.parametrize("seed", range(20))
def test_most_feature_windows_and_most_days_are_quiet(seed):
    planted = _plan(seed)
    period = Period(START, START + timedelta(days=30))
    assert quiet_share(planted, period, UTC) > 0.95
    touched = set()
    for incident in planted:
        if incident.required:
            touched |= {(incident.start + timedelta(hours=h)).date() for h in range(38) if _is_on(incident, h)}
    assert len(touched) <= 12


def _is_on(incident, hour):
    return incident.start + timedelta(hours=hour) < incident.end


def test_a_feature_incident_may_move_its_feature_and_the_score_alone():
    for incident in _plan(5):
        if incident.kind == "feature":
            assert incident.may_move == (incident.subject, "score")
            assert incident.subject in FEATURES


def test_the_same_seed_plants_the_same_and_another_seed_another():
    assert _plan(7) == _plan(7)
    assert _plan(7) != _plan(8)


@pytest.mark.parametrize("days", [8, 10, 14, 16, 21, 25, 45, 90])
def test_other_lengths_hold_what_has_room(days):
    for seed in range(20):
        planted = [i for i in _plan(seed, days) if i.required]
        assert planted
        assert planted[-1].end <= START + timedelta(days=days - 1)
        for before, after in itertools.pairwise(planted):
            assert after.start - before.end > timedelta(hours=24)


@pytest.mark.parametrize("days", [0, 7, 121])
def test_a_history_too_short_or_too_long_is_a_usage_error(days):
    with pytest.raises(UsageError, match=f"{days} days"):
        _plan(1, days)
