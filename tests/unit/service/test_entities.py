"""How many leads stand behind a window: applications without ids, baselines without ids, few leads scored often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

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
