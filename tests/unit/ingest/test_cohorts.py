"""R16: late, corrected, duplicated, early and unknown outcomes: metrics equal a recomputation from the facts alone."""

from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace

import pyarrow as pa
import pytest

from tables import FakeClock, prediction_rows
from tiltmeter.domain.metric import Status, Subject
from tiltmeter.domain.model import Model, OutcomeSettings, TableSource
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.columns import outcome_table
from tiltmeter.ingest.monitored_log import MonitoredLog
from tiltmeter.monitors.cohorts import OUTCOMES
from tiltmeter.monitors.deciles import left_out
from tiltmeter.monitors.outcomes import outcome_metrics
from tiltmeter.store.delta import DeltaLog

START = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7), Grain.WEEK)
ATTRIBUTION = timedelta(days=90)
MODEL = Model("lead-scoring", outcomes=OutcomeSettings(ATTRIBUTION, timedelta(days=30), "EUR"))


def predictions(chance, leads):
    """Some leads are scored twice or thrice; some scores have no lead."""
    times = [START + timedelta(seconds=chance.randrange(7 * 86_400)) for _ in range(leads * 2)]
    ids = [f"lead-{chance.randrange(leads)}" if chance.random() > 0.05 else None for _ in times]
    scores = [chance.random() for _ in times]
    rows = prediction_rows(len(times))
    for name, values in (("request_time", times), ("entity_id", ids), ("prediction", scores)):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    return rows, list(zip(ids, times, scores, strict=True))


def outcomes(chance, leads):
    """Every trouble of reality; in the order in which they are told."""
    told = []
    for number in range(leads * 2):
        lead = f"lead-{chance.randrange(leads)}" if chance.random() > 0.1 else f"unknown-{number}"
        at = START + timedelta(days=chance.choice([-5, 1, 6, 20, 60, 91, 427]), seconds=chance.randrange(86_400))
        told.append(
            (
                f"o-{chance.randrange(leads)}",
                lead,
                at,
                chance.choice([True, True, False, None]),
                chance.choice([None, 100.0, 250.5]),
            )
        )
    return told


def written(log, told):
    for place, (key, lead, at, converted, revenue) in enumerate(told):
        row = {
            "outcome_id": key, "entity_id": lead, "model_name": None, "outcome_us": int(at.timestamp() * 1e6),
            "recorded_us": place + 1, "converted": converted, "revenue": revenue, "currency": "EUR", "label": None,
        }  # fmt: skip
        yield row


def by_hand(scored, told, until):
    """The definition, in plain Python: corrections by id, last prediction before the conversion, within attribution."""
    newest = {key: facts for key, *facts in told}
    known = [facts for facts in newest.values() if facts[1] <= until]
    leads = {}
    for lead, at, score in scored:
        if lead is not None:
            leads.setdefault(lead, []).append((at, score))
    found = {}
    for lead, rows in leads.items():
        conversions = sorted(at for who, at, converted, _ in known if who == lead and converted)
        first = conversions[0] if conversions else None
        before = [row for row in rows if first is None or row[0] <= first]
        at, score = max(before or rows)
        converted = first is not None and first <= at + ATTRIBUTION
        revenue = sum(r or 0 for who, when, _, r in known if who == lead and when <= at + ATTRIBUTION)
        found[lead] = (score, converted, revenue)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_a_cohort_is_what_the_definition_says(seed, tmp_path):
    chance = Random(seed)
    log = DeltaLog(tmp_path, FakeClock())
    rows, scored = predictions(chance, 120)
    log.append("predictions", rows)
    told = outcomes(chance, 120)
    made = list(written(log, told))
    half = len(made) // 2
    log.append("outcomes", outcome_table(made[:half], ingest_us=1))
    log.append("outcomes", outcome_table(made[half:] + made[:5], ingest_us=2))  # five are told twice
    until = START + timedelta(days=200)
    expected = by_hand(scored, told, until)
    cohort = MonitoredLog(log, FakeClock()).cohort(MODEL, WEEK, until)
    assert sorted(zip(cohort.score, cohort.converted, cohort.revenue, strict=True)) == sorted(expected.values())
    metrics = {
        m.name: m.value for m in outcome_metrics(cohort, subject=Subject("m"), window=WEEK, threshold=0.5, min_rows=1)
    }
    customers = [score for score, converted, _ in expected.values() if converted]
    assert metrics["outcomes.conversion_rate"] == pytest.approx(len(customers) / len(expected))
    flagged = sum(score >= 0.5 for score, _, _ in expected.values())
    assert metrics["outcomes.precision"] == pytest.approx(sum(score >= 0.5 for score in customers) / flagged)
    assert metrics["outcomes.recall"] == pytest.approx(sum(score >= 0.5 for score in customers) / len(customers))


def test_an_outcome_before_every_prediction_counts_and_is_named(tmp_path):
    log = DeltaLog(tmp_path, FakeClock())
    log.append("predictions", prediction_rows(3, at=START))
    log.append(
        "outcomes",
        outcome_table(list(written(log, [("o", "lead-1", START - timedelta(days=2), True, 5.0)])), ingest_us=1),
    )
    cohort = MonitoredLog(log, FakeClock()).cohort(MODEL, WEEK, START + timedelta(days=30))
    assert (cohort.converted.sum(), cohort.early) == (1, 1)


def test_a_correction_that_moves_an_outcome_beyond_now_takes_it_back(tmp_path):
    log = DeltaLog(tmp_path, FakeClock())
    log.append("predictions", prediction_rows(3, at=START))
    day, later = START + timedelta(days=1), START + timedelta(days=50)
    log.append(
        "outcomes",
        outcome_table(
            list(written(log, [("o", "lead-1", day, True, 5.0), ("o", "lead-1", later, True, 5.0)])), ingest_us=1
        ),
    )
    at = MonitoredLog(log, FakeClock())
    assert at.cohort(MODEL, WEEK, START + timedelta(days=30)).converted.sum() == 0
    assert at.cohort(MODEL, WEEK, START + timedelta(days=60)).converted.sum() == 1


def test_the_label_of_a_table_that_is_read_in_place_is_an_outcome(tmp_path):
    from deltalake import write_deltalake

    rows = prediction_rows(4, at=START).append_column("won", pa.array(["yes", "no", None, "1"]))
    write_deltalake(tmp_path / "scores", rows)
    roles = {"time": "request_time", "entity_id": "entity_id", "prediction": "prediction", "label": "won"}
    model = Model("m", source=TableSource(str(tmp_path / "scores"), roles))
    log = MonitoredLog(DeltaLog(tmp_path, FakeClock()), FakeClock())
    assert log.cohort(model, WEEK, START + timedelta(days=1)).converted.sum() == 2
    assert "__label" not in log.rows(model, WEEK).schema.names


def test_versions_and_segments_have_outcomes_of_their_own(tmp_path):
    log = DeltaLog(tmp_path, FakeClock())
    rows = prediction_rows(400, at=START)  # every second lead came from the web; the last hundred are of version 15
    place = rows.schema.get_field_index("model_version")
    versions = pa.array(["14"] * 300 + ["15"] * 100)
    log.append("predictions", rows.set_column(place, rows.schema.field(place), versions))
    facts = [(f"o{n}", f"lead-{n}", START + timedelta(days=2), True, 10.0) for n in range(0, 400, 8)]
    log.append("outcomes", outcome_table(list(written(log, facts)), ingest_us=1))
    model = Model("lead-scoring", outcomes=MODEL.outcomes, segments=("source",))
    window = Window(START + timedelta(days=36), START + timedelta(days=37), Grain.DAY)
    world = SimpleNamespace(log=MonitoredLog(log, FakeClock()))
    rates = {
        (m.subject.model_version, m.subject.segment_key, m.subject.segment_value): (m.value, m.n_current)
        for m in OUTCOMES.measure(model, window, world)
        if m.name == "outcomes.conversion_rate"
    }
    assert rates == {
        ("", "", ""): (50 / 400, 400),
        ("14", "", ""): (38 / 300, 300),
        ("15", "", ""): (12 / 100, 100),
        ("", "source", "mail"): (50 / 200, 200),  # leads of even number
        ("", "source", "web"): (0.0, 200),
    }


def revenue_of(tmp_path, amounts, *, model=MODEL):
    """Metrics of ten leads that brought these amounts (revenue, currency), one a lead."""
    log = DeltaLog(tmp_path, FakeClock())
    log.append("predictions", prediction_rows(10, at=START))
    rows = [
        dict(row, revenue=revenue, currency=currency)
        for row, (revenue, currency) in zip(
            written(log, [(f"o{n}", f"lead-{n}", START + timedelta(days=1), True, 1.0) for n in range(len(amounts))]),
            amounts,
            strict=True,
        )
    ]
    log.append("outcomes", outcome_table(rows, ingest_us=1))
    cohort = MonitoredLog(log, FakeClock()).cohort(model, WEEK, START + timedelta(days=30))
    found = outcome_metrics(cohort, subject=Subject("m"), window=WEEK, threshold=0.5, min_rows=1)
    return {m.name.removeprefix("outcomes."): m for m in found if "revenue" in m.name}


def test_amounts_of_another_currency_are_not_added_up_and_named(tmp_path):
    told = [(100.0, "EUR"), (50_000.0, "JPY"), (20.0, None), (30.0, "eur"), (-50.0, "EUR"), (7.0, "USD"), (1.0, "JPY")]
    found = revenue_of(tmp_path, told)
    assert found["revenue_per_lead"].value == pytest.approx(100.0 / 10)
    assert found["revenue_per_lead.median"].value == pytest.approx(25.0)  # of 100, 20, 30 and the refund of 50
    assert found["revenue_per_lead"].details == {"amounts_left_out": 3, "other_currencies": ["JPY", "USD"]}
    assert left_out(found["revenue_per_lead"].details) == "3 amounts in JPY, USD left out"


def test_a_model_whose_revenue_is_all_in_another_currency_has_none_and_says_why(tmp_path):
    found = revenue_of(tmp_path, [(50_000.0, "JPY")])
    assert {m.value for m in found.values()} == {None}
    assert {m.why_missing for m in found.values()} == {"no revenue; 1 amount in JPY left out"}
    yen = Model("lead-scoring", outcomes=OutcomeSettings(ATTRIBUTION, timedelta(days=30), "jpy"))
    assert revenue_of(tmp_path / "yen", [(50_000.0, "JPY")], model=yen)["revenue_per_lead"].value == 5_000.0


def test_amounts_beyond_reason_that_an_earlier_release_kept_are_left_out(tmp_path):
    found = revenue_of(tmp_path, [(1e308, "EUR"), (1e308, None), (float("inf"), "EUR"), (10.0, "EUR")])
    assert found["revenue_per_lead"].value == pytest.approx(1.0)
    assert left_out(found["revenue_per_lead"].details) == "3 amounts beyond reason left out"


def test_without_any_outcome_nobody_is_said_to_have_stayed_away(tmp_path):
    log = DeltaLog(tmp_path, FakeClock())
    log.append("predictions", prediction_rows(300, at=START))
    until = START + timedelta(days=60)
    world = SimpleNamespace(log=MonitoredLog(log, FakeClock()))
    end = WEEK.end + MODEL.outcomes.mature_after
    day = Window(end - timedelta(days=1), end, Grain.DAY)
    (untold,) = OUTCOMES.measure(MODEL, day, world)
    assert (untold.value, untold.status, untold.n_current) == (None, Status.NO_DATA, 300)
    told = written(log, [("o", "somebody else", START, False, None)])
    log.append("outcomes", outcome_table(list(told), ingest_us=1))
    assert MonitoredLog(log, FakeClock()).cohort(MODEL, WEEK, until).is_told
    rate = next(m for m in OUTCOMES.measure(MODEL, day, world) if m.name == "outcomes.conversion_rate")
    assert rate.value == 0.0
