"""Outcomes into the spool."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.outcomes import record_outcome
from tiltmeter.capture.record import decode_record, moment
from tiltmeter.capture.spool import SpoolWriter, read_segment, sealed_segments
from tiltmeter.domain.errors import StoreError, UsageError

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
    "wrong",
    [
        {"entity_id": "", "converted": True},
        {"entity_id": True, "converted": True},
        {"entity_id": "l"},
        {"entity_id": "l", "revenue": float("nan")},
        {"entity_id": "l", "revenue": float("inf")},
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused(writer, wrong):
    with pytest.raises(UsageError):
        record_outcome(**wrong, at=AT, writer=writer)


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
