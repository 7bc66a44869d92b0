"""How many leads stand behind a window: applications without ids, baselines without ids, few leads scored often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow.csv
import pytest

from command_line import tiltmeter
from company import MODEL, Company
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.pipeline import judge, observe
from tiltmeter.ports import MetricQuery

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def opened(tmp_path):
    companies = []

    def open_company(**given):
        companies.append(Company(tmp_path, at=MONDAY, **given))
        return companies[-1]

    yield open_company
    for company in companies:
        company.close()


def _judged(company, end, *, monitor="drift", grain=Grain.DAY):
    """The metrics of the window that ends then, by name and feature, and what is alarmed, by rule and feature."""
    company.clock.at = end
    observe(company.model, company.world)
    (window,) = company.windows(end - (DAY if grain is Grain.DAY else HOUR), end, grain)
    judge(MONITORS.load(monitor), company.model, window, company.world)
    found = company.world.state.metrics(MetricQuery(grain=grain))
    alerts = company.world.state.alerts(MODEL, open_only=False).values()
    loud = {(one.rule, one.subject.feature) for one in alerts if one.severity >= Severity.WARNING}
    return {(m.name, m.subject.feature): m for m in found if m.window.end == end}, loud


def test_an_application_whose_requests_carry_no_id_is_learnt_judged_and_alarmed(opened):
    company = opened(baselines="{}")
    rows = company.predictions(MONDAY, MONDAY + 9 * DAY)
    for row in rows:
        row["entity_id"] = None
        if row["request_time"] >= MONDAY + 8 * DAY:
            row |= {"f_size": row["f_size"] * 100, "f_source": "partner-x" if row["f_size"] > 60 else None}
    company.append(rows)
    metrics, loud = _judged(company, MONDAY + 8 * DAY)
    psi = metrics["drift.psi", "size"]
    assert (psi.status, psi.n_reference, psi.n_current) == ("ok", 7 * 288, 288)
    assert loud == set()
    metrics, _ = _judged(company, MONDAY + 9 * DAY)
    assert all(m.value is None or m.value == m.value for m in metrics.values())
    _, loud = _judged(company, MONDAY + 9 * DAY, monitor="features", grain=Grain.HOUR)
    assert {("feature_psi", "size"), ("feature_psi", "source"), ("missing", "source"), ("new_levels", "source")} <= loud
    assert ("out_of_range", "size") in loud


def test_leads_scored_five_times_count_once_though_the_baseline_has_no_id_column(opened):
    company = opened()  # training.csv holds features and a score
    rows = company.predictions(MONDAY, MONDAY + DAY, hourly=10)
    five = [row | {"event_id": f"{row['event_id']}-{again}"} for row in rows for again in range(5)]
    company.append(five)
    company.clock.at = MONDAY + DAY
    metrics, _ = _judged(company, MONDAY + DAY)
    psi = metrics["drift.psi", "size"]
    assert (psi.n_reference, psi.n_current) == (2_000, pytest.approx(240, abs=8))  # hours count entities to 1.6 %
    assert metrics["features.rows", ""].value == 1_200
    assert metrics["features.new_columns", ""].value == 0


def test_a_service_counts_leads_with_the_baseline_it_made_before(opened):
    company = opened()
    company.add(MONDAY, MONDAY + DAY, hourly=10)
    _judged(company, MONDAY + DAY)
    made = company.world.baselines.used(company.model)
    company.reopen()
    rows = company.predictions(MONDAY + DAY, MONDAY + 2 * DAY, hourly=10)
    company.append([row | {"event_id": f"{row['event_id']}-{again}"} for row in rows for again in range(5)])
    metrics, _ = _judged(company, MONDAY + 2 * DAY)
    assert metrics["drift.psi", "size"].n_current == pytest.approx(240, abs=8)
    assert company.world.baselines.used(company.model) == made


def test_a_baseline_without_a_score_does_not_call_the_score_a_new_column(opened):
    company = opened()
    path = company.folder / "training.csv"
    pyarrow.csv.write_csv(pyarrow.csv.read_csv(path).drop_columns(["score"]), path)
    company.add(MONDAY, MONDAY + DAY)
    metrics, _ = _judged(company, MONDAY + DAY)
    assert metrics["features.new_columns", ""].value == 0
    assert metrics["drift.psi", "size"].value is not None


def test_a_baseline_file_with_columns_of_its_own_judges_score_and_leads_of_the_log(opened):
    company = opened()
    path = company.folder / "training.csv"
    table = pyarrow.csv.read_csv(path).rename_columns(["size", "source", "risk"])
    table = table.append_column("lead", [[f"t-{n // 2}" for n in range(2_000)]])
    pyarrow.csv.write_csv(table, path)
    made = company.folder / "training.tmb"
    runs = (
        ("create", path, "--score", "risk", "--entity", "lead", "--out", made),
        ("use", made, "--model", MODEL, "--config", company.folder / "tiltmeter.yaml"),
    )
    for arguments in runs:
        ran = tiltmeter("baseline", *arguments, cwd=company.folder)
        assert ran.code == 0, ran.err
    company.reopen()
    company.add(MONDAY, MONDAY + DAY)
    metrics, loud = _judged(company, MONDAY + DAY)
    assert metrics["drift.score_psi", ""].value < 0.1
    assert (metrics["drift.psi", "size"].n_reference, metrics["features.schema_changes", ""].value) == (1_000, 0)
    assert loud == set()


def _few_leads(company, start, end, *, hourly, leads):
    """Rows of which each hour's belong to so many leads, new ones every hour."""
    rows = company.predictions(start, end, hourly=hourly)
    for place, row in enumerate(rows):
        row["entity_id"] = f"lead-{row['request_time']:%d%H}-{place % leads}"
    company.append(rows)


def test_an_hour_of_few_leads_is_judged_with_as_many_hours_as_it_takes(opened):
    company = opened()
    _few_leads(company, MONDAY, MONDAY + 8 * HOUR, hourly=300, leads=60)
    metrics, _ = _judged(company, MONDAY + 8 * HOUR, monitor="features", grain=Grain.HOUR)
    psi = metrics["drift.psi", "size"]
    assert (psi.status, psi.window.start) == ("ok", MONDAY + 4 * HOUR)
    assert psi.n_current == pytest.approx(240, rel=0.04)


def test_a_day_of_few_leads_is_judged_with_the_days_before(opened):
    company = opened()
    _few_leads(company, MONDAY, MONDAY + 7 * DAY, hourly=10, leads=2)
    metrics, _ = _judged(company, MONDAY + 7 * DAY)
    psi = metrics["drift.psi", "size"]
    assert (psi.status, psi.n_current) == ("ok", pytest.approx(200, rel=0.04))
    assert MONDAY + 2 * DAY < psi.window.start < MONDAY + 3 * DAY


def test_an_hour_of_two_hundred_leads_is_enough(opened):
    company = opened()
    company.add(MONDAY, MONDAY + 12 * HOUR, hourly=200)
    for hour in range(2, 13):
        metrics, _ = _judged(company, MONDAY + hour * HOUR, monitor="features", grain=Grain.HOUR)
        psi = metrics["drift.psi", "size"]
        assert (psi.status, psi.n_current, psi.window.length) == ("ok", 200, HOUR)
