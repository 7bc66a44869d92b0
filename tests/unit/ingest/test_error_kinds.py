"""What answers of 4xx and 5xx were is counted where requests are counted, and kept with the hour."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from spools import START, fill, request
from tables import FakeClock
from tiltmeter.domain.model import Model
from tiltmeter.domain.traffic import (
    MOST_ERROR_KINDS,
    OTHER_EXCEPTIONS,
    ErrorKind,
    TrafficState,
    add_error_kinds,
)
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.live import state_json
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.monitors.traffic import ERROR_ANSWERS, error_kinds_kept, traffic_metrics
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.schema import TRAFFIC
from tiltmeter.store.traffic import states_of, traffic_table

MODEL = Model("lead-scoring")
HOUR = Window(datetime(2026, 3, 10, 9, tzinfo=UTC), datetime(2026, 3, 10, 10, tzinfo=UTC), Grain.HOUR)
TARGET = timedelta(milliseconds=200)
MIXED = [
    *({"status": 500, "error_type": "KeyError"} for _ in range(3)),
    {"status": 500, "error_type": "ValueError"},
    {"status": 503},
    {"status": 422, "error_type": "RequestValidationError"},
    {"status": 404, "route": "(unmatched)", "method": "GET"},
    {},
    {},
]


@pytest.fixture
def log(tmp_path):
    return DeltaLog(tmp_path / "tables", FakeClock(START + timedelta(minutes=1)))


def ship(tmp_path, log, records):
    fill(tmp_path / "spool", records)
    shipper = Shipper(tmp_path / "spool", log, {MODEL.name: MODEL}, log.clock)
    shipper.ship_once(flush=True)
    return shipper


def kinds_of(states):
    found = {}
    for state in states:
        for kind, requests in state.error_kinds.items():
            found[state.http_route, *kind] = found.get((state.http_route, *kind), 0) + requests
    return found


EXPECTED = {
    ("POST /score", 500, "KeyError"): 3,
    ("POST /score", 500, "ValueError"): 1,
    ("POST /score", 503, ""): 1,
    ("POST /score", 422, "RequestValidationError"): 1,
    ("GET (unmatched)", 404, ""): 1,
}


def test_the_shipper_counts_errors_by_status_and_exception(tmp_path, log):
    shipper = ship(tmp_path, log, [request(n, **changed) for n, changed in enumerate(MIXED)])
    stored = log.traffic(MODEL.name, HOUR)
    assert kinds_of(stored) == kinds_of(shipper.live_states()) == EXPECTED
    assert sum(state.requests for state in stored) == len(MIXED)
    assert sum(state.errors for state in stored) == 5
    told = [kind for state in stored for kind in state_json(state)["error_kinds"]]
    assert [500, "KeyError", 3] in told


def test_a_table_from_before_gets_the_columns_and_its_old_rows_count_on(tmp_path, log):
    old = pa.schema([field for field in TRAFFIC.columns if not field.name.startswith("error_")])
    path = str(tmp_path / "tables" / "traffic")
    DeltaTable.create(path, old, partition_by=["window_date"], configuration=TRAFFIC.properties)
    state = TrafficState(START, "api-1", MODEL.name, "14", "POST /score", "5xx", 7, 7, {3: 7})
    row = traffic_table([state]).select(old.names)
    log.for_writing("traffic").append(row, {"old": 1})
    ship(tmp_path, log, [request(1, status=500, error_type="KeyError")])
    stored = log.traffic(MODEL.name, HOUR)
    assert sum(s.errors for s in stored) == 8
    assert kinds_of(stored) == {("POST /score", 500, "KeyError"): 1}


@given(
    st.lists(st.dictionaries(st.tuples(st.integers(400, 599), st.text(max_size=120)), st.integers(1, 9), max_size=30))
)
def test_no_error_is_lost_however_many_classes_a_program_makes_up(parts):
    sums = {}
    for part in parts:
        add_error_kinds(sums, {ErrorKind(*kind): number for kind, number in part.items()})
    assert sum(sums.values()) == sum(number for part in parts for number in part.values())
    assert len([kind for kind in sums if kind.exception != OTHER_EXCEPTIONS]) <= MOST_ERROR_KINDS
    state = TrafficState(START, "h", MODEL.name, "", "POST /score", "5xx", 1, 1, {3: 1}, sums)
    (back,) = states_of(traffic_table([state]).to_batches())
    assert dict(back.error_kinds) == sums


@given(st.dictionaries(st.tuples(st.integers(400, 599), st.text(max_size=90)), st.integers(1, 999), max_size=20))
def test_an_hour_keeps_what_its_errors_were(kinds):
    kinds = {ErrorKind(*kind): number for kind, number in kinds.items()}
    state = TrafficState(START, "h", MODEL.name, "", "POST /score", "4xx", 10_000, 0, {3: 10_000}, kinds)
    metrics = traffic_metrics([state], model=MODEL.name, window=HOUR, latency_target=TARGET)
    found = [metric for metric in metrics if metric.name == ERROR_ANSWERS]
    assert len(found) == bool(kinds)
    for metric in found:
        assert metric.subject.labels()["http_route"] == "POST /score"
        assert metric.value == sum(kinds.values())
        assert error_kinds_kept(metric) == kinds


def test_an_alert_on_errors_names_the_exception_of_the_route_that_fails_most(tmp_path, log):
    ship(tmp_path, log, [request(n, **changed) for n, changed in enumerate(MIXED)])
    metrics = traffic_metrics(log.traffic(MODEL.name, HOUR), model=MODEL.name, window=HOUR, latency_target=TARGET)
    rate = next(m for m in metrics if m.name == "serving.error_rate" and not m.subject.segment_key)
    assert rate.details == {"top_route": "POST /score", "errors": 5, "requests": 9, "exception": "KeyError"}
