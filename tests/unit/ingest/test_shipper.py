"""What the workers spooled is in the tables once, typed, counted, and gone from the spool."""

import json
import shutil
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from spools import START, fill, outcome, request
from tables import FakeClock
from tiltmeter.capture.record import encode_record
from tiltmeter.capture.spool import SpoolWriter, sealed_segments
from tiltmeter.capture.swift import FORM
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.model import Model
from tiltmeter.domain.traffic import latency_bin
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.parquet_rows import RowFilter

MODEL = Model("lead-scoring")
ALL_DAY = Window(START - timedelta(days=1), START + timedelta(days=1), Grain.DAY)


@pytest.fixture
def clock():
    return FakeClock(START + timedelta(minutes=1))


@pytest.fixture
def log(tmp_path, clock):
    return DeltaLog(tmp_path / "tables", clock)


@pytest.fixture
def shipper(tmp_path, log, clock):
    return Shipper(tmp_path / "spool", log, {MODEL.name: MODEL}, clock)


def stored(log, columns):
    rows = log.rows(MODEL, ALL_DAY)
    return pa.Table.from_batches(list(rows.batches(columns))).to_pylist()


def test_requests_and_outcomes_of_all_workers_arrive_in_one_commit(tmp_path, shipper, log):
    fill(tmp_path / "spool", [request(n) for n in range(100)] + [outcome(n) for n in range(5)])
    fill(tmp_path / "spool", [request(n) for n in range(100, 150)], host="api-2")
    shipped = shipper.ship_once(flush=True)
    assert (shipped.predictions, shipped.outcomes, shipped.waiting) == (150, 5, 0)
    handle = DeltaTable(str(tmp_path / "tables" / "predictions"))
    assert handle.version() == 1
    assert handle.protocol().min_reader_version == 1
    assert handle.protocol().min_writer_version == 2
    assert log.new_rows(MODEL, None).count() == 150
    assert log.outcomes(MODEL.name, START).num_rows == 5
    assert sum(state.requests for state in log.traffic(MODEL.name, ALL_DAY)) == 150
    assert list((tmp_path / "spool").rglob("*.seg")) == []
    assert shipper.ship_once(flush=True).predictions == 0


def test_values_that_fit_no_column_are_kept_as_text_and_counted(tmp_path, shipper, log):
    odd = [
        request(1, features={"n00": 1.5, "flag": True}),
        request(2, features={"n00": "many", "flag": "yes"}),
        request(3, features={"n00": 2**53 + 1, "flag": False}),
        request(4, features={"n00": None}),
    ]
    fill(tmp_path / "spool", odd)
    shipper.ship_once()
    rows = stored(log, ["f_n00", "f_flag", "_rescued_data", "request_id"])
    by_id = {row["request_id"]: row for row in rows}
    assert [by_id[f"r-{n}"]["f_n00"] for n in (1, 2, 3, 4)] == [1.5, None, None, None]
    assert [by_id[f"r-{n}"]["f_flag"] for n in (1, 2, 3, 4)] == [True, None, False, None]
    assert json.loads(by_id["r-2"]["_rescued_data"]) == {"n00": "many", "flag": "yes"}
    assert json.loads(by_id["r-3"]["_rescued_data"]) == {"n00": str(2**53 + 1)}
    assert by_id["r-1"]["_rescued_data"] is None
    assert shipper.counters["type_clashes"] == 2
    assert shipper.counters["values_rescued"] == 1


def test_the_type_a_table_has_wins_over_what_a_new_shipper_sees_first(tmp_path, log, clock):
    first = Shipper(tmp_path / "spool", log, {}, clock)
    fill(tmp_path / "spool", [request(1, features={"late": 1.0})])
    first.ship_once(flush=True)
    second = Shipper(tmp_path / "spool", log, {}, clock)
    fill(tmp_path / "spool", [request(2, features={"late": "text"}), request(3, features={"late": 3.0})])
    assert second.ship_once(flush=True).predictions == 2
    rows = {row["request_id"]: row for row in stored(log, ["f_late", "request_id", "_rescued_data"])}
    assert rows["r-3"]["f_late"] == 3.0
    assert json.loads(rows["r-2"]["_rescued_data"]) == {"late": "text"}


def test_a_record_that_nobody_can_read_blocks_nothing(tmp_path, shipper, log):
    fill(tmp_path / "spool", [request(1), b"\xc1 no record", request(2)])
    assert shipper.ship_once(flush=True).predictions == 2
    assert shipper.counters["records_unreadable"] == 1
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert shipper.ship_once(flush=True).predictions == 0


def test_a_damaged_segment_gives_its_good_records_and_is_set_aside(tmp_path, shipper, log):
    fill(tmp_path / "spool", [request(n) for n in range(10)])
    (segment,) = (tmp_path / "spool").rglob("*.seg")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(bytes(data))
    assert shipper.ship_once(flush=True).predictions == 9
    assert shipper.counters["records_lost"] == 1
    assert [p.name.startswith("api-1-slot-0001") for p in (tmp_path / "damaged").iterdir()] == [True]


def test_a_segment_that_the_disk_does_not_give_holds_up_its_own_slot_alone(tmp_path, shipper, log):
    for part in range(2):
        fill(tmp_path / "spool", [request(part)], host="api-1")
    fill(tmp_path / "spool", [request(2)], host="api-2")
    first = sealed_segments(tmp_path / "spool", host="api-1")[0].path
    content = first.read_bytes()
    first.unlink()
    first.mkdir()  # reading it fails with an error of the system
    assert shipper.ship_once(flush=True).predictions == 1
    assert shipper.ship_once(flush=True).predictions == 0
    first.rmdir()
    first.write_bytes(content)
    assert shipper.ship_once(flush=True).predictions == 2
    assert sorted(row["request_id"] for row in stored(log, ["request_id"])) == ["r-0", "r-1", "r-2"]


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev,
    reason="there is no second file system",
)
def test_damaged_segments_are_set_aside_on_another_disk_and_replace_nothing_there(tmp_path, log, clock):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        shipper = Shipper(tmp_path / "spool", log, {}, clock, damaged=Path(other, "damaged"))
        for slot in range(2):  # a slot that was removed begins with the same names again
            fill(tmp_path / "spool", [request(2 * slot), b"\xc1 no record", request(2 * slot + 1)])
            assert shipper.ship_once(flush=True).predictions == 2
            shutil.rmtree(tmp_path / "spool")
        names = sorted(path.name for path in Path(other, "damaged").iterdir())
    assert names == ["api-1-slot-0001-000001.seg", "api-1-slot-0001-000001.seg.2"]
    assert shipper.counters["segments_set_aside"] == 2


def test_errors_and_answers_without_a_prediction_are_rows_with_their_bodies(tmp_path, shipper, log):
    failed = request(1, status=500, error_type="RuntimeError")
    strange = request(2, response=b'{"risk": 0.7}', response_bytes=13)
    fill(tmp_path / "spool", [failed, strange, request(3)])
    shipper.ship_once(flush=True)
    batches = log._predictions(RowFilter(), None).batches(["status_code", "request", "response"])
    handle = pa.Table.from_batches(list(batches)).to_pylist()
    kept = {row["status_code"]: row for row in handle if row["request"] is not None}
    assert set(kept) == {500, 200}
    assert kept[200]["response"] == '{"risk": 0.7}'
    assert log.new_rows(MODEL, None).count() == 1
    states = log.traffic(MODEL.name, ALL_DAY)
    assert {state.code_class: (state.requests, state.errors) for state in states} == {"2xx": (2, 0), "5xx": (1, 1)}
    report = shipper.live_snapshot()["routes"]["lead-scoring POST /score"]
    assert report == {"answers": 2, "without_prediction": 1, "response_keys": ["risk"]}


def test_live_numbers_are_there_before_the_table_has_them(tmp_path, shipper, clock):
    fill(tmp_path / "spool", [request(n, at=START + timedelta(seconds=50)) for n in range(100)])
    shipper._commit_at = clock.monotonic() + 100  # a commit is not due yet
    shipper.turn(clock.now())
    numbers = shipper.live_snapshot()["models"]["lead-scoring"]
    assert numbers["requests"] == 100
    assert numbers["share_within_target"] == 1.0
    assert numbers["latency_ms"]["p50"] == pytest.approx(25, rel=0.05)
    assert sum(s.requests for s in shipper.unwritten_traffic()) == 100
    assert 'tiltmeter_http_requests_total{model="lead-scoring"' in shipper.prometheus()
    assert shipper.ship_once(flush=True).predictions == 100
    assert shipper.unwritten_traffic() == []
    assert sum(s.requests for s in shipper.live_states()) == 100


def test_live_says_which_form_of_capture_ran_in_each_slot(tmp_path, shipper):
    fill(tmp_path / "spool", [request(1)], host="api-1")
    fill(tmp_path / "spool", [request(2)], host="api-2")
    (tmp_path / "spool/api-2/slot-0001/counters").write_text('{"form": "compiled"}')
    assert shipper.live_snapshot()["capture"] == [
        {"host": "api-1", "slot": "slot-0001", "form": FORM, "in_flight": 0},
        {"host": "api-2", "slot": "slot-0001", "form": "compiled", "in_flight": 0},
    ]


def test_live_numbers_do_not_wait_for_a_table_that_takes_its_time(tmp_path, clock):
    asked, go_on, stop = threading.Event(), threading.Event(), threading.Event()

    class Slow(DeltaLog):
        def for_writing(self, name):
            asked.set()
            go_on.wait(30)
            return super().for_writing(name)

    shipper = Shipper(tmp_path / "spool", Slow(tmp_path / "tables", clock), {}, clock)
    fill(tmp_path / "spool", [request(0)])
    running = threading.Thread(target=shipper.run, args=(stop,), kwargs={"beat": 0.01})
    running.start()
    try:
        assert asked.wait(30)
        fill(tmp_path / "spool", [request(n) for n in range(1, 6)])
        deadline = time.monotonic() + 30
        while sum(state.requests for state in shipper.live_states()) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sum(state.requests for state in shipper.live_states()) == 6
        assert not go_on.is_set()
    finally:
        go_on.set()
        stop.set()
        running.join(30)
    assert DeltaLog(tmp_path / "tables", clock).new_rows(MODEL, None).count() == 6


def test_what_lay_in_the_spool_when_the_loop_began_is_in_the_live_numbers_after_its_first_look(tmp_path, log, clock):
    shipper, stop = Shipper(tmp_path / "spool", log, {}, clock), threading.Event()
    fill(tmp_path / "spool", [request(n) for n in range(7)])
    assert not shipper.wait_for_first_look(0.0)
    running = threading.Thread(target=shipper.run, args=(stop,), kwargs={"beat": 3600.0})
    running.start()
    try:
        assert shipper.wait_for_first_look(30.0)
        assert sum(state.requests for state in shipper.unwritten_traffic()) == 7
    finally:
        stop.set()
        running.join(30)


def test_what_capture_could_not_keep_is_scraped(tmp_path, shipper, clock):
    for host, number in (("api-1", 3), ("api-2", 4)):
        writer = SpoolWriter(tmp_path / "spool", host=host, threaded=False)
        writer.start()
        writer.counters.add("dropped_full", number)
        writer.close()
    assert "\ntiltmeter_capture_dropped_full_total 7\n" in shipper.prometheus(clock.now())


def test_traffic_counts_the_exact_bins_of_two_hundred_milliseconds(tmp_path, shipper, log):
    fill(tmp_path / "spool", [request(1, duration_us=200_000), request(2, duration_us=200_001)])
    shipper.ship_once(flush=True)
    (state,) = log.traffic(MODEL.name, ALL_DAY)
    assert state.latency == {latency_bin(200.0): 1, latency_bin(200.0) + 1: 1}


def test_a_shipper_that_died_before_its_traffic_was_written_writes_it_once(tmp_path, log, clock):
    fill(tmp_path / "spool", [request(n) for n in range(30)])
    first = Shipper(tmp_path / "spool", log, {}, clock)
    first._flush_at = 1e9
    assert first.ship_once().predictions == 30
    second = Shipper(tmp_path / "spool", log, {}, clock)
    assert second.ship_once(flush=True).predictions == 0
    third = Shipper(tmp_path / "spool", log, {}, clock)
    third.ship_once(flush=True)
    assert sum(state.requests for state in log.traffic(MODEL.name, ALL_DAY)) == 30
    assert log.new_rows(MODEL, None).count() == 30


def test_a_table_that_is_away_keeps_the_spool_and_is_tried_again_later_and_later(tmp_path, log, clock):
    (tmp_path / "tables").write_text("not a folder")
    shipper = Shipper(tmp_path / "spool", log, {}, clock)
    fill(tmp_path / "spool", [request(n) for n in range(30)])
    with pytest.raises(StoreError):
        shipper.ship_once()
    waits = []
    for _ in range(9):
        shipper.turn(clock.now())
        waits.append(shipper._wait)
        clock.pass_(shipper._wait + 5)
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == 60.0
    assert len(list((tmp_path / "spool").rglob("*.seg"))) == 1
    (tmp_path / "tables").unlink()
    clock.pass_(61)
    shipper.turn(clock.now())
    assert log.new_rows(MODEL, None).count() == 30
    assert shipper._wait == 0.0


def test_a_clock_from_another_century_moves_no_row_out_of_reach(tmp_path, shipper, log):
    fill(tmp_path / "spool", [request(1, time_us=2**60), request(2, time_us=-5)])
    assert shipper.ship_once(flush=True).predictions == 2
    rows = stored(log, ["request_time", "_rescued_data"])
    assert {row["request_time"].date() for row in rows} == {datetime(2026, 3, 10, tzinfo=UTC).date()}
    assert {json.loads(row["_rescued_data"])["request_time"] for row in rows} == {str(2**60), "-5"}


def test_hostile_feature_names_become_columns_of_their_own(tmp_path, shipper, log):
    names = ["a.b", "a b", 'a"b', "a`b", "a/b", "a%b", "", "ünï", "a;b", "a'b", "{a}", "a\nb"]
    fill(tmp_path / "spool", [encode_record(request(1, features=dict.fromkeys(names, 1.0)))])
    assert shipper.ship_once(flush=True).predictions == 1
    (row,) = stored(log, [f"f_{name}" for name in names])
    assert all(row[f"f_{name}"] == 1.0 for name in names)


def test_names_that_no_reader_could_tell_apart_are_kept_as_text(tmp_path, shipper, log):
    fill(tmp_path / "spool", [request(1, features={"Age": 1.0, "age": 2.0, "a\x00b": 3.0})])
    shipper.ship_once(flush=True)
    (row,) = stored(log, ["f_Age", "_rescued_data"])
    assert row["f_Age"] == 1.0
    assert json.loads(row["_rescued_data"]) == {"age": 2.0, "a\x00b": 3.0}
    assert shipper.counters["columns_refused"] == 2


def test_a_corrected_outcome_wins_whatever_the_order_of_arrival(tmp_path, shipper, log):
    later = START + timedelta(hours=1)
    fill(tmp_path / "spool", [outcome(1, converted=True, recorded=later), outcome(1, converted=False), outcome(2)])
    shipper.ship_once(flush=True)
    found = {row["outcome_id"]: row["converted"] for row in log.outcomes("any-model", START).to_pylist()}
    assert found == {"o-1": True, "o-2": True}


def test_a_backlog_larger_than_memory_is_drained_in_one_turn(tmp_path, shipper, log):
    for part in range(12):
        fill(tmp_path / "spool", [request(n) for n in range(100 * part, 100 * part + 100)])
    shipper.loaded_bytes = 100_000
    shipper._scan(START)
    assert 0 < len(shipper._pending) < 12
    shipped = shipper.ship_once(flush=True)
    assert (shipped.predictions, shipped.waiting) == (1200, 0)
    assert log.new_rows(MODEL, None).count() == 1200
