"""What the monitors measure on a small company, and that it stays the same however its rows came."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from command_line import tiltmeter
from company import COLUMNS, MODEL, Company
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.recomputing import recompute
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.pipeline import judge, observe
from tiltmeter.ports import MetricQuery
from tiltmeter.store.baselines import _weeks_before

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)

NOT_YET = {
    "outcomes.observed_to_expected", "outcomes.observed_to_expected_lower", "outcomes.observed_to_expected_upper",
    "outcomes.maturity",
}  # fmt: skip
"""The outcome clock's: they need months of outcomes, and it measures them once it stands."""


@pytest.fixture
def company(tmp_path):
    made = Company(tmp_path, at=MONDAY, jobs="{nightly: {expect_every: 24h, grace: 2h}}")
    yield made
    made.close()


def test_some_monitor_measures_every_metric_of_the_catalogue(company):
    company.clock.at = MONDAY + 40 * DAY
    company.add(MONDAY, MONDAY + 7 * DAY, hourly=2)
    company.add_outcomes([f"lead-{n:06d}" for n in range(1, 300, 7)], MONDAY + 10 * DAY)
    company.add(MONDAY + 38 * DAY, MONDAY + 40 * DAY, source="partner-x", version="15")
    company.add_traffic(MONDAY + 39 * DAY, MONDAY + 40 * DAY, requests=90)
    company.add_traffic(MONDAY + 40 * DAY - HOUR, MONDAY + 40 * DAY, requests=3, errors=2)
    for night in range(3):
        company.add_job(MONDAY + (37 + night) * DAY, run=f"run-{night}")
    measured = set()
    for name in MONITORS.names():
        grain = Grain.DAY if name in ("drift", "outcomes") else Grain.HOUR
        observe(company.model, company.world)
        (window,) = company.windows(company.clock.at - (DAY if grain is Grain.DAY else HOUR), company.clock.at, grain)
        found = judge(MONITORS.load(name), company.model, window, company.world)
        measured |= {metric.name for metric in found.metrics} if found else set()
    live = company.scheduler._live
    for monitor in ("traffic", "jobs", "self", "features"):
        rules = [rule for rule in company.world.rules.rules if CATALOGUE[rule.metric].monitor == monitor]
        window = company.windows(company.clock.at - HOUR, company.clock.at, Grain.HOUR)[0]
        measured |= {metric.name for metric in live._measure(company.model, window, monitor, rules)}
    assert sorted(set(CATALOGUE) - measured - NOT_YET) == []


def test_versions_are_judged_apart_only_while_several_serve(company):
    company.add(MONDAY, MONDAY + DAY, version="14")
    company.add(MONDAY + 12 * HOUR, MONDAY + 3 * DAY, version="15")
    company.pass_time(MONDAY + 3 * DAY + 7 * HOUR, step=3 * HOUR)
    found = company.world.state.metrics(
        MetricQuery(metric="drift.psi", feature="size", grain=Grain.DAY, segment=("", ""))
    )
    by_day = {}
    for metric in found:
        by_day.setdefault(metric.window.end, set()).add(metric.subject.model_version)
    assert by_day == {MONDAY + DAY: {"", "14", "15"}, MONDAY + 2 * DAY: {""}, MONDAY + 3 * DAY: {""}}


# ---- baselines

ALL_KINDS = """{training: {data: training.csv}, rolling: {rolling: 7d}, before: {previous: true},
  usual: {seasonal: 2w}, champion: {champion: true}, week: {from: 2026-03-02, until: 2026-03-09}}"""


def test_several_baselines_are_shown_beside_the_one_that_judges(tmp_path):
    company = Company(tmp_path, at=MONDAY, baselines=ALL_KINDS)
    company.add(MONDAY, MONDAY + 15 * DAY, hourly=10)
    company.add(MONDAY + 14 * DAY, MONDAY + 15 * DAY, hourly=10, version="15", source="partner-x")
    company.clock.at = MONDAY + 15 * DAY
    observe(company.model, company.world)
    (day,) = company.windows(MONDAY + 14 * DAY, MONDAY + 15 * DAY, Grain.DAY)
    judge(MONITORS.load("drift"), company.model, day, company.world)
    found = company.world.state.metrics(MetricQuery(metric="drift.psi", feature="source", grain=Grain.DAY, version=""))
    rows = {m.subject.segment_value: m.n_reference for m in found}
    assert rows == {"": 2_000, "rolling": 1_680, "before": 240, "usual": 480, "champion": 240, "week": 1_680}
    assert {m.details.get("baseline", "") for m in found} == set(rows)
    assert len({m.baseline_id for m in found}) == 6
    assert {a.subject.segment_key for a in company.world.state.alerts(MODEL, open_only=False).values()} == {""}
    company.close()


def test_the_champion_is_the_version_that_served_first_or_the_registered_one(tmp_path):
    company = Company(tmp_path, at=MONDAY + DAY, baselines="{champion: {champion: true}}")
    company.add(MONDAY, MONDAY + 9 * DAY, hourly=10, version="14")
    company.clock.at = MONDAY + 9 * DAY
    observe(company.model, company.world)
    company.add(MONDAY + 8 * DAY, MONDAY + 9 * DAY, hourly=5, version="15", source="partner-x")
    observe(company.model, company.world)
    (day,) = company.windows(MONDAY + 8 * DAY, MONDAY + 9 * DAY, Grain.DAY)
    assert company.world.baselines.judging(company.model, day).profile.rows == 240
    company.world.state.set_watermark(f"champion:{MODEL}", "15")
    assert company.world.baselines.judging(company.model, day).profile.rows == 120
    company.close()


def test_a_seasonal_baseline_keeps_to_the_local_clock():
    zone = ZoneInfo("Europe/Paris")
    company_hour = datetime(2026, 4, 1, 9, tzinfo=zone)
    from tiltmeter.domain.window import Window

    window = Window(company_hour.astimezone(UTC), (company_hour + HOUR).astimezone(UTC), Grain.HOUR)
    earlier = _weeks_before(window, 1, zone)
    assert earlier.start.astimezone(zone).hour == 9
    assert window.start - earlier.start == 7 * DAY - HOUR


# ---- the same numbers however the rows came


def _numbers(company):
    found = company.world.state.metrics(MetricQuery())
    return {
        (m.name, m.subject, m.window): (
            m.value, m.status, m.lower, m.upper, m.p_value, m.q_value, m.n_reference, m.n_current, m.baseline_id,
            json.dumps(m.details, sort_keys=True),
        )
        for m in found
        if m.window.grain is not Grain.LIVE and not m.name.startswith("serving.")
    }  # fmt: skip


def _alerts(company):
    return sorted(
        (a.rule, a.subject, a.severity, a.state, a.since, a.peak)
        for a in company.world.state.alerts(MODEL, open_only=False).values()
        if a.rule not in ("freshness", "monitor_lag")
    )


DAYS = 3


def test_one_batch_hours_out_of_order_with_duplicates_and_live_give_the_same_bits(tmp_path):
    source = Company(tmp_path / "source", at=MONDAY)
    rows = [
        *source.predictions(MONDAY, MONDAY + 2 * DAY),
        *source.predictions(MONDAY + 2 * DAY, MONDAY + DAYS * DAY, source="partner-x", version="15"),
    ]
    source.close()
    end = MONDAY + DAYS * DAY
    hours = [[r for r in rows if MONDAY + n * HOUR <= r["request_time"] < MONDAY + (n + 1) * HOUR] for n in range(72)]
    found = {}

    def finished(name, company, made=None):
        company.clock.at = end + 8 * HOUR
        company.turn()
        found[name] = _numbers(company), _alerts(company)
        company.close()

    live = Company(tmp_path / "live", at=MONDAY)
    for hour in hours:
        live.append(hour)
        live.pass_time(live.clock.at + HOUR, step=HOUR)
    finished("live", live)
    batch = Company(tmp_path / "batch", at=MONDAY)
    batch.append(rows)
    finished("batch", batch)
    hourly = Company(tmp_path / "hourly", at=MONDAY)
    for hour in hours:
        hourly.append(hour)
    finished("hourly", hourly)
    shuffled = Company(tmp_path / "shuffled", at=MONDAY)
    parts = [(n, hour) for n, hour in enumerate(hours)]
    Random(3).shuffle(parts)
    import pyarrow as pa

    for number, part in [*parts, *parts[:20]]:  # a third of the parts are sent twice
        table = pa.Table.from_pylist(part[::-1], schema=COLUMNS)
        shuffled.log.append("predictions", table, {f"part-{number}": 1})
    finished("shuffled", shuffled)
    assert len(found["live"][0]) > 3_000
    for name in ("batch", "hourly", "shuffled"):
        assert found[name][0] == found["live"][0], name
        assert found[name][1] == found["live"][1], name


def test_a_window_by_command_is_the_window_of_the_service_and_changes_nothing_twice(tmp_path):
    by_hand, served = Company(tmp_path / "a", at=MONDAY), Company(tmp_path / "b", at=MONDAY)
    rows = by_hand.predictions(MONDAY, MONDAY + DAY + HOUR, hourly=10, source="partner-x")
    for company in (by_hand, served):
        company.append(rows)
        company.clock.at = MONDAY + DAY + 7 * HOUR
    served.turn()
    (day,) = by_hand.windows(MONDAY, MONDAY + DAY, Grain.DAY)
    options = ["run", "--monitor", "drift", "--window", f"{day.start.isoformat()}/{day.end.isoformat()}", "--json"]
    by_hand.close()
    first = tiltmeter(*options, "--config", str(tmp_path / "a/tiltmeter.yaml"))
    second = tiltmeter(*options, "--config", str(tmp_path / "a/tiltmeter.yaml"))
    by_hand.open()
    assert json.loads(first.out)["models"][0]["metrics"] > 40
    assert json.loads(second.out)["models"][0]["metrics"] == 0
    ours = {k: v for k, v in _numbers(by_hand).items() if k[2].grain is Grain.DAY}
    theirs = {k: v for k, v in _numbers(served).items() if k[2].grain is Grain.DAY}
    assert ours == theirs
    by_hand.turn()  # and the service goes on beside it
    assert {k: v for k, v in _numbers(by_hand).items() if k[2].grain is Grain.DAY} == theirs
    assert len([a for a in _alerts(by_hand) if a[0] == "feature_psi"]) == 1
    by_hand.close()
    served.close()


# ---- explained


def drifted(tmp_path):
    company = Company(tmp_path, at=MONDAY)
    company.add(MONDAY, MONDAY + DAY, source="partner-x")
    company.clock.at = MONDAY + DAY + 7 * HOUR
    company.turn()
    (alert,) = [a for a in company.world.state.alerts(MODEL).values() if a.rule == "feature_psi"]
    return company, alert


def test_an_alert_is_recomputed_to_the_last_bit_after_late_rows_as_well(tmp_path):
    company, alert = drifted(tmp_path)
    company.add(MONDAY + 3 * HOUR, MONDAY + 9 * HOUR, hourly=50)
    observe(company.model, company.world)
    found = {one.source: one for one in recompute(alert.metric, company.model, company.world)}
    assert {name: one.is_same for name, one in found.items()} == {"stored states": True, "rows": True}
    company.close()


def test_an_alert_says_what_can_no_longer_be_recomputed(tmp_path):
    from dataclasses import replace

    company, alert = drifted(tmp_path)
    gone = replace(alert.metric, source_version=99)
    (states, rows) = recompute(gone, company.model, company.world)
    assert states.is_same
    assert "no longer kept" in rows.why
    (other,) = recompute(replace(alert.metric, name="monitor.window_lag", bins_id=""), company.model, company.world)
    assert other.is_same is None
    assert "running service" in other.why
    company.close()


def test_explain_prints_the_number_once_more(tmp_path):
    company, alert = drifted(tmp_path)
    company.close()
    said = tiltmeter("alerts", "explain", alert.id, "--config", str(tmp_path / "tiltmeter.yaml"))
    assert "the same to the last bit" in said.out
    facts = json.loads(
        tiltmeter("alerts", "explain", alert.id, "--config", str(tmp_path / "tiltmeter.yaml"), "--json").out
    )
    assert {one["from"]: one["same"] for one in facts["numbers"][0]["again"]} == {"stored states": True, "rows": True}


def test_the_baseline_that_judges_is_known_with_the_time_it_was_frozen(company):
    company.add(MONDAY, MONDAY + 8 * DAY, hourly=7)
    company.clock.at = MONDAY + 8 * DAY
    begun = datetime.now(UTC) - timedelta(seconds=5)
    bins = company.world.baselines.bins(company.model, company.clock.at)
    (kept,) = company.world.state.baselines(MODEL)
    assert (kept.bins_id, Path(kept.source).name, kept.version) == (bins.bins_id, "training.csv", "")
    assert begun <= kept.created_at <= datetime.now(UTC)
    company.world.baselines.use(company.model, bins, company.world.baselines.stored(bins.bins_id).profile)
    assert company.world.state.baselines(MODEL) == [kept], "the same cells: nothing has changed"
