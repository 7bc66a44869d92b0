"""Outcomes into the spool."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import FakeClock
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.outcomes import RisingTimes, keep_outcomes, outcome_record, record_outcome
from tiltmeter.capture.record import decode_record, encode_record, micros, moment
from tiltmeter.capture.spool import SpoolWriter, read_segment, sealed_segments
from tiltmeter.domain.errors import StoreError, UsageError
from tiltmeter.domain.outcome import EARLIEST, LATEST, checked_outcome
from tiltmeter.ingest.columns import LATEST_US

ROOMY = Budget(max_bytes=10**12, min_free=0.0)
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def writer(tmp_path):
    made = SpoolWriter(tmp_path, budget=ROOMY, threaded=False)
    yield made
    made.close()


def kept(writer):
    writer.close()
    return [decode_record(p) for s in sealed_segments(writer.spool) for _, p in read_segment(s.path).records]


def test_an_outcome_is_kept_in_utc(writer):
    berlin = timezone(timedelta(hours=1))
    record_outcome(entity_id=17, converted=True, revenue=1200, at=AT.astimezone(berlin), currency="EUR", writer=writer)
    (record,) = kept(writer)
    assert (record.entity_id, record.converted, record.revenue, record.currency) == ("17", True, 1200.0, "EUR")
    assert moment(record.time_us) == AT


def test_a_second_call_has_the_same_key_and_other_kinds_and_models_have_others(writer):
    def key(**more):
        return record_outcome(**{"entity_id": "l", "converted": True, "at": AT, "writer": writer, **more})

    first = key()
    assert key(converted=False, revenue=5.0) == first
    assert len({first, key(model="m"), key(kind="renewal"), key(entity_id="k"), key(outcome_id="crm-1")}) == 5


def test_a_time_without_a_zone_is_refused(writer):
    with pytest.raises(UsageError, match="no time zone"):
        record_outcome(entity_id="l", converted=True, at=AT.replace(tzinfo=None), writer=writer)


@pytest.mark.parametrize(
    ("told", "kept_as"),
    [
        ({"outcome_id": 123}, {"outcome_id": "123"}),
        ({"outcome_id": np.int64(123), "entity_id": np.int64(17)}, {"outcome_id": "123", "entity_id": "17"}),
        ({"entity_id": np.float64(17.0)}, {"entity_id": "17"}),
        ({"converted": 1}, {"converted": True}),
        ({"converted": 0.0}, {"converted": False}),
        ({"converted": np.bool_(True)}, {"converted": True}),
        ({"label": 5}, {"label": "5"}),
        ({"label": np.float64(5.5)}, None),
        ({"revenue": Decimal("9.99")}, {"revenue": 9.99}),
        ({"revenue": np.float32(2.5)}, {"revenue": 2.5}),
        ({"revenue": -40}, {"revenue": -40.0}),
        ({"currency": "eur "}, {"currency": "EUR"}),
        ({"currency": "", "model": "", "outcome_id": "", "label": ""}, {"currency": None, "model": None}),
        ({"at": EARLIEST}, {"time_us": 0}),
    ],
)
def test_a_value_of_another_type_is_kept_as_what_it_says_or_refused_at_once(told, kept_as, writer):
    """What is acknowledged here, the shipper has to read: it decodes strictly."""
    given = {"entity_id": "l", "converted": True, "at": AT, "writer": writer, **told}
    if kept_as is None:
        with pytest.raises(UsageError):
            record_outcome(**given)
        return
    key = record_outcome(**given)
    (record,) = kept(writer)
    assert {name: getattr(record, name) for name in kept_as} == kept_as
    assert record.outcome_id == key


@given(
    entity=st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary()),
    outcome_id=st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.lists(st.integers())),
    converted=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    revenue=st.one_of(st.none(), st.floats(), st.integers(), st.decimals(allow_nan=True), st.text(max_size=3)),
    words=st.tuples(*[st.one_of(st.none(), st.text(st.characters(), max_size=4), st.integers(), st.floats())] * 3),
    at=st.one_of(st.datetimes(timezones=st.timezones() | st.just(UTC)), st.none(), st.dates(), st.text(max_size=3)),
)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_whatever_is_given_is_refused_or_read_back_by_the_shipper(entity, outcome_id, converted, revenue, words, at):
    try:
        outcome = checked_outcome(
            entity_id=entity, time=at, outcome_id=outcome_id, model=words[0], converted=converted, revenue=revenue,
            currency=words[1], label=words[2],
        )  # fmt: skip
    except UsageError as error:
        str(error).encode()
        return
    record = outcome_record(outcome, recorded=AT)
    assert decode_record(encode_record(record)) == record
    assert 0 <= record.time_us < LATEST_US


def test_the_calendar_of_outcomes_is_that_of_the_table():
    assert (micros(EARLIEST), micros(LATEST)) == (0, LATEST_US)


EDGES = [
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
]


@pytest.mark.parametrize(
    "wrong",
    [
        {"entity_id": "", "converted": True},
        {"entity_id": None, "converted": True},
        {"entity_id": True, "converted": True},
        {"entity_id": float("nan"), "converted": True},
        {"entity_id": 10**5_000, "converted": True},
        {"entity_id": b"l", "converted": True},
        {"entity_id": "\ud800", "converted": True},
        {"entity_id": "l"},
        {"entity_id": "l", "label": ""},
        {"entity_id": "l", "label": "\ud800"},
        {"entity_id": "l", "label": True},
        {"entity_id": "l", "converted": "yes"},
        {"entity_id": "l", "converted": 2},
        {"entity_id": "l", "revenue": float("nan")},
        {"entity_id": "l", "revenue": float("inf")},
        {"entity_id": "l", "revenue": 1e308},
        {"entity_id": "l", "revenue": 10**5_000},
        {"entity_id": "l", "revenue": Decimal("sNaN")},
        {"entity_id": "l", "revenue": "12"},
        {"entity_id": "l", "revenue": True},
        {"entity_id": "l", "converted": True, "currency": "euro"},
        {"entity_id": "l", "converted": True, "currency": 978},
        {"entity_id": "l", "converted": True, "model": 7},
        {"entity_id": "l", "converted": True, "outcome_id": True},
        {"entity_id": "l", "converted": True, "outcome_id": 1.5},
        {"entity_id": "l", "converted": True, "at": "2026-11-01"},
        *({"entity_id": "l", "converted": True, "at": at} for at in EDGES),
        {"entity_id": "l", "converted": True, "at": LATEST},
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused(writer, wrong):
    with pytest.raises(UsageError) as refused:
        record_outcome(**{"at": AT, "writer": writer} | wrong)
    assert len(str(refused.value)) < 200
    assert kept(writer) == []


def test_a_full_spool_tells_the_caller(tmp_path):
    full = SpoolWriter(tmp_path, budget=Budget(max_bytes=0, min_free=0.0), threaded=False)
    with pytest.raises(StoreError) as refused:
        record_outcome(entity_id="l", converted=True, at=AT, writer=full)
    assert refused.value.retryable
    assert full.counters.values() == {"dropped_full": 1}
    full.close()


def test_the_spool_is_taken_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTMETER_SPOOL", str(tmp_path / "elsewhere"))
    record_outcome(entity_id="l", converted=True, at=AT)
    assert list((tmp_path / "elsewhere").glob("*/slot-0001/*.open"))


def test_a_correction_comes_after_what_it_corrects_although_the_clock_was_set_back():
    clock = FakeClock(AT)
    times = RisingTimes(clock.now)
    first = times.next()
    clock.at = AT - timedelta(hours=1)
    second, third = times.next(), times.next()
    clock.at = AT + timedelta(seconds=1)
    assert first < second < third < times.next() == clock.at


def test_outcomes_told_together_are_kept_in_their_order_and_on_the_disk_before_they_are_answered(tmp_path):
    told = [checked_outcome(entity_id=n, converted=True, time=AT) for n in range(500)]
    durable = SpoolWriter(tmp_path, budget=ROOMY, durability="disk")
    keep_outcomes(told, durable)
    records = kept(durable)
    assert [record.entity_id for record in records] == [outcome.entity_id for outcome in told]
    assert sorted({record.recorded_us for record in records}) == [record.recorded_us for record in records]
