import itertools
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from tiltmeter.demo.build import build_demo_world, period_until
from tiltmeter.demo.columns import Levels, to_json
from tiltmeter.demo.features import FEATURES
from tiltmeter.demo.log_rows import days_of, outcome_rows, pending_outcomes, prediction_rows, reference_rows
from tiltmeter.demo.scoring import THRESHOLD
from tiltmeter.demo.world import microseconds

NOW = datetime(2026, 11, 23, 14, 37, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def world():
    return build_demo_world(11, period_until(NOW, 30))


@pytest.fixture(scope="module")
def rows(world):
    return prediction_rows(world.history)


def _planted(world, name):
    return next(incident for incident in world.incidents if incident.id == name)


def _inside(rows, incident):
    time = rows["request_time"]
    return rows.filter(pc.and_(pc.greater_equal(time, incident.start), pc.less(time, incident.end)))


def test_thirty_days_hold_about_three_hundred_thousand_predictions_at_night_too(world, rows):
    whole_days = list(days_of(rows, world.period))[:30]
    assert 280_000 <= sum(day.num_rows for _, day in whole_days) <= 320_000
    api = rows.filter(pc.equal(rows["source"], "api"))
    hours = np.asarray(api["request_time"].cast("int64")) // 3_600_000_000
    by_hour = np.bincount(hours - hours.min())[:-1]
    assert by_hour.min() > 30
    night, noon = by_hour[2::24].mean(), by_hour[12::24].mean()
    assert night < noon / 3


def test_twenty_and_more_features_of_every_kind(rows):
    assert len(FEATURES) >= 20
    assert {f"f_{name}" for name in FEATURES} <= set(rows.schema.names)
    kinds = {str(rows.schema.field(f"f_{name}").type) for name in FEATURES}
    assert kinds == {"double", "bool", "string"}


def test_the_delay_to_conversion_has_a_median_of_two_days(world):
    days = world.history.leads.delay[world.history.leads.converts] / 86_400e6
    assert 1.9 < np.median(days) < 2.1


def test_the_model_has_learnt_something(world):
    leads = world.history.leads
    score, converts = world.model.score(leads.columns), leads.converts
    ranks = np.argsort(np.argsort(score))
    positives = converts.sum()
    auc = (ranks[converts].sum() - positives * (positives - 1) / 2) / (positives * (~converts).sum())
    assert auc > 0.66
    assert 0.03 < (score >= THRESHOLD).mean() < 0.2


def test_one_lead_as_json_scores_like_the_same_lead_in_a_column(world):
    leads = world.history.leads
    rows = np.arange(0, len(leads), 40_000)
    together = world.model.score(leads.take(rows).columns)
    alone = [world.model.score_one(to_json(leads.columns, int(row))) for row in rows]
    assert alone == pytest.approx(together, abs=1e-12)


def test_outcomes_known_and_still_to_come_are_all_conversions(world):
    leads, end = world.history.leads, world.period.end
    known, pending = outcome_rows(leads, end), pending_outcomes(leads, end)
    assert known.num_rows + pending.num_rows == int(leads.converts.sum())
    assert pc.max(known["outcome_time"]).as_py() < end <= pc.min(pending["outcome_time"]).as_py()
    assert pc.min(known["revenue"]).as_py() > 0


def test_the_unit_change_multiplies_by_a_hundred(world, rows):
    incident = _planted(world, "unit-change")
    column = f"f_{incident.subject}"
    inside = pc.quantile(_inside(rows, incident)[column], 0.5)[0].as_py()
    usual = pc.quantile(rows[column], 0.5)[0].as_py()
    assert 60 < inside / usual < 140


def test_the_new_level_appears_in_its_time_and_nowhere_else(world, rows):
    incident = _planted(world, "new-level")
    inside = _inside(rows, incident)[f"f_{incident.subject}"]
    share = pc.mean(pc.equal(inside, incident.level).cast("double")).as_py()
    assert 0.13 < share < 0.17
    everywhere = pc.sum(pc.equal(rows[f"f_{incident.subject}"], incident.level)).as_py()
    assert everywhere == pc.sum(pc.equal(inside, incident.level)).as_py()


def test_thirty_percent_turn_missing(world, rows):
    incident = _planted(world, "missing-jump")
    inside = _inside(rows, incident)[f"f_{incident.subject}"]
    assert 0.27 < inside.null_count / len(inside) < 0.34


def test_the_slow_deploy_passes_half_a_second_and_errors_pass_one_percent(world, rows):
    slow = _inside(rows, _planted(world, "slow-deploy"))
    assert pc.quantile(slow["execution_duration_ms"], 0.95)[0].as_py() > 700
    burst = _inside(rows, _planted(world, "error-burst"))
    errors = pc.mean(pc.greater_equal(burst["status_code"], 500).cast("double")).as_py()
    assert 0.04 < errors < 0.14
    failed = burst.filter(pc.greater_equal(burst["status_code"], 500))
    assert failed["prediction"].null_count == failed.num_rows
    assert pc.unique(failed["error_type"]).to_pylist() == ["ModelTimeout"]


def test_the_score_shifts_and_no_feature_with_it(world, rows):
    inside = _inside(rows, _planted(world, "score-shift"))
    assert pc.unique(inside["model_version"]).to_pylist() == ["15"]
    assert pc.mean(inside["prediction"]).as_py() > 1.8 * pc.mean(rows["prediction"]).as_py()
    for name in ("f_company_size", "f_website_visits", "f_emails_opened"):
        usual = pc.quantile(rows[name], 0.5)[0].as_py()
        assert pc.quantile(inside[name], 0.5)[0].as_py() == pytest.approx(usual, rel=0.1)


def test_one_night_has_no_run(world):
    incident = _planted(world, "job-absent")
    starts = [run.start for run in world.history.runs]
    gaps = {after - before for before, after in itertools.pairwise(starts)}
    assert gaps == {timedelta(hours=24), timedelta(hours=48)}
    missing = next(b for b, a in itertools.pairwise(starts) if a - b == timedelta(hours=48))
    assert missing + timedelta(hours=26) == incident.start


def test_rows_stand_in_order_and_list_requests_share_their_fate(rows):
    times = np.asarray(rows["request_time"].cast("int64"))
    assert (np.diff(times) >= 0).all()
    many = rows.filter(pc.equal(rows["http_route"], "/score-many"))
    groups = many.group_by("request_id").aggregate([("status_code", "count_distinct"), ("record_index", "max")])
    assert pc.max(groups["status_code_count_distinct"]).as_py() == 1
    assert pc.max(groups["record_index_max"]).as_py() == 4


def test_the_reference_has_the_features_and_the_score_of_leads_from_before(world):
    reference = reference_rows(world.reference, world.model)
    assert {"entity_id", "prediction", *FEATURES} == set(reference.schema.names)
    assert world.reference.time.max() < microseconds(world.period.start)


def test_levels_take_and_read_missing():
    column = Levels(np.array([0, -1, 1], dtype=np.int16), ("a", "b"))
    assert [column.take(np.array([2, 1])).value(row) for row in (0, 1)] == ["b", None]


_FINGERPRINT = """
import hashlib, json, sys
from datetime import UTC, datetime
from tiltmeter.demo.build import build_demo_world, period_until
from tiltmeter.demo.log_rows import prediction_rows
world = build_demo_world(int(sys.argv[1]), period_until(datetime(2026, 11, 23, 14, 37, tzinfo=UTC), 8))
digest = hashlib.sha256()
for column in prediction_rows(world.history).columns:
    digest.update(repr(column.slice(0, 3000).to_pylist()).encode())
print(json.dumps([digest.hexdigest(), [i.id for i in world.incidents]]))
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_world_in_another_process():
    answers = [
        json.loads(subprocess.check_output([sys.executable, "-c", _FINGERPRINT, seed], timeout=120))
        for seed in ("3", "3", "4")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] != answers[2][0]
