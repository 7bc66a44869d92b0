"""What `/metrics` counts of predictions, worked out by hand; what waits in the spool, to the record."""

from datetime import timedelta

import polars as pl
import pytest

from spools import START, fill, outcome, request
from tables import FakeClock
from tiltmeter.capture.batch import batch_job
from tiltmeter.capture.in_flight import read_in_flight
from tiltmeter.capture.spool import SpoolWriter, sealed_segments
from tiltmeter.ingest.live import MOST_SERIES
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog

MODEL = 'model="lead-scoring",model_version="14"'


@pytest.fixture
def clock():
    return FakeClock(START + timedelta(minutes=1))


@pytest.fixture
def shipper(tmp_path, clock):
    return Shipper(tmp_path / "spool", DeltaLog(tmp_path / "tables", clock), {}, clock)


def scored(number, score, **more):
    body = b'{"score": %s}' % str(score).encode()
    return request(number, response=body, response_bytes=len(body), **more)


def value(text, series):
    (line,) = [line for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(line.rpartition(" ")[2])


def test_predictions_are_counted_by_what_became_of_them(tmp_path, shipper):
    said = b'{"risk": "high"}'
    fill(
        tmp_path / "spool",
        [
            *(scored(n, 0.5) for n in range(4)),
            request(10, response=said, response_bytes=len(said)),
            *(scored(n, 0.5, status=422) for n in (11, 12)),
            *(scored(n, 0.5, status=500) for n in (13, 14, 15)),
            outcome(1),
        ],
    )
    shipper.ship_once()
    shipper.ship_once(flush=True)
    text = shipper.prometheus()
    found = {
        kind: value(text, f'tiltmeter_predictions_total{{{MODEL},outcome="{kind}"}}')
        for kind in ("scored", "unscored", "refused", "failed")
    }
    assert found == {"scored": 4, "unscored": 1, "refused": 2, "failed": 3}


def test_scores_lie_in_right_closed_buckets_of_a_tenth(tmp_path, shipper):
    fill(tmp_path / "spool", [scored(n, score) for n, score in enumerate((0.0, 0.1, 0.10001, 0.3, 0.95, 1.0, 7.5))])
    shipper.ship_once()
    text = shipper.prometheus()
    edges = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0", "+Inf")
    below = [value(text, f'tiltmeter_prediction_score_bucket{{{MODEL},le="{edge}"}}') for edge in edges]
    assert below == [2, 3, 4, 4, 4, 4, 4, 4, 4, 6, 7]
    assert value(text, f"tiltmeter_prediction_score_count{{{MODEL}}}") == 7
    assert value(text, f"tiltmeter_prediction_score_sum{{{MODEL}}}") == pytest.approx(9.95001)


def test_rows_of_a_batch_job_are_counted_once_however_often_it_is_repeated(tmp_path, shipper):
    frame = pl.DataFrame({"lead_id": ["a", "b", "c"], "score": [0.25, 0.75, None]})
    for _ in range(2):
        with batch_job(model="m", job="nightly", run_id="r1", spool=tmp_path / "spool", now=lambda: START) as job:
            job.log(frame, score="score", entity_id="lead_id")
        shipper.ship_once()
    text = shipper.prometheus()
    assert value(text, 'tiltmeter_predictions_total{model="m",model_version="",outcome="scored"}') == 2
    assert value(text, 'tiltmeter_predictions_total{model="m",model_version="",outcome="unscored"}') == 1


def test_versions_without_end_share_one_series(tmp_path, shipper):
    fill(tmp_path / "spool", [scored(n, 0.5, model_version=str(n)) for n in range(MOST_SERIES + 10)])
    shipper.ship_once()
    lines = [line for line in shipper.prometheus().splitlines() if line.startswith("tiltmeter_prediction_score_count")]
    assert len(lines) == MOST_SERIES + 1
    assert 'tiltmeter_prediction_score_count{model="__other__",model_version="__other__"} 10' in lines


def test_a_counter_shows_every_digit(shipper):
    shipper.counters["predictions_shipped"] = 123_456_789
    assert "\ntiltmeter_shipper_predictions_shipped_total 123456789\n" in shipper.prometheus()


def test_the_queue_is_the_records_that_are_sealed_and_not_in_the_tables(tmp_path, shipper, clock):
    def length():
        return value(shipper.prometheus(), "tiltmeter_prediction_log_queue_length")

    assert length() == 0
    shipper.loaded_bytes = 1  # one segment is read, the others wait unread
    for first in (0, 30, 60):
        fill(tmp_path / "spool", [request(n) for n in range(first, first + 30)], host=f"api-{first}")
    fill(tmp_path / "spool", [outcome(n) for n in range(7)], host="api-0")
    shipper._commit_at = shipper._flush_at = clock.monotonic() + 100  # neither is due yet
    shipper.turn(clock.now())
    assert len(shipper._pending) < len(sealed_segments(tmp_path / "spool"))
    assert length() == 97
    shipper.ship_once()
    assert len(sealed_segments(tmp_path / "spool")) == 4, "kept until their traffic is written"
    assert length() == 0


def test_requests_in_flight_are_those_of_the_shippers_host(tmp_path, shipper):
    workers = [SpoolWriter(tmp_path / "spool", host=host, threaded=False) for host in ("api-1", "api-2")]
    for worker in workers:
        worker.in_flight.requests.update((1, 2))
        worker.start()
    assert value(shipper.prometheus(), "tiltmeter_http_requests_in_flight") == 4
    shipper.host = "api-1"
    assert value(shipper.prometheus(), "tiltmeter_http_requests_in_flight") == 2
    assert [one["in_flight"] for one in shipper.live_snapshot()["capture"]] == [2, 2]
    for worker in workers:
        worker.close()
    assert read_in_flight(tmp_path / "spool") == {}
