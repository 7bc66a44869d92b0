"""`tiltmeter erase` while workers write: what is on its way is erased too."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from command_line import tiltmeter
from spools import request
from tables import FakeClock, prediction_rows
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.record import encode_record
from tiltmeter.capture.spool import SpoolWriter, begun_segments
from tiltmeter.config.load import load_settings
from tiltmeter.domain.window import Grain, Window
from tiltmeter.pipeline import observe
from tiltmeter.wiring import build_world, stored_log


def test_a_record_that_a_worker_has_not_sealed_yet_is_erased_with_the_others(tmp_path):
    spool = tmp_path / "spool"
    config = tmp_path / "tiltmeter.yaml"
    config.write_text(
        f"home: {tmp_path / 'home'}\ncapture: {{spool: {{path: {spool}}}}}\nmodels: {{lead-scoring: {{}}}}\n"
    )
    writer = SpoolWriter(spool, budget=Budget(10**12, 0.0))
    for number in (1, 2, 3):
        writer.put(encode_record(request(number)))
    assert len(begun_segments(spool)) == 1
    ran = tiltmeter("erase", "--entity", "lead-2", "--json", "--config", str(config))
    writer.close()
    said = ran.document
    assert (said["shipped_before"], said["rows"]["predictions"], said["still_written"]) == (3, 1, [])
    shipped = tiltmeter("ship", "--once", "--json", "--config", str(config))
    assert shipped.document["predictions"] == 0
    left = [path for path in tmp_path.rglob("*") if path.is_file() and b"lead-2" in path.read_bytes()]
    assert left == []


def test_a_worker_that_hangs_is_named_instead_of_waited_for_without_end(tmp_path):
    spool = tmp_path / "spool"
    config = tmp_path / "tiltmeter.yaml"
    config.write_text(
        f"home: {tmp_path / 'home'}\ncapture: {{spool: {{path: {spool}}}}}\nmodels: {{lead-scoring: {{}}}}\n"
    )
    writer = SpoolWriter(spool, budget=Budget(10**12, 0.0), host="api-1", threaded=False)
    writer.put(encode_record(request(1)))
    ran = tiltmeter("erase", "--entity", "lead-1", "--config", str(config))
    writer.close()
    assert (
        "api-1/slot-0001/000001.open: a job or a worker is writing it now; run this again when it has ended" in ran.out
    )


def test_rows_that_wait_for_their_profile_are_counted_once(tmp_path):
    config = tmp_path / "tiltmeter.yaml"
    trained = f"{{training: {{data: {tmp_path}/t.parquet}}}}"
    config.write_text(f"home: {tmp_path / 'home'}\nmodels: {{lead-scoring: {{baselines: {trained}}}}}\n")
    rows = prediction_rows(300)
    trained_on = pa.table({"size": rows["f_size"], "source": rows["f_source"], "prediction": rows["prediction"]})
    pq.write_table(trained_on, tmp_path / "t.parquet")
    configuration = load_settings(config)
    clock = FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC))
    world = build_world(configuration, clock=clock, with_channels=False)
    model = world.models["lead-scoring"]
    log = stored_log(configuration, clock, world.models)
    log.append("predictions", rows, {"slot": 1})
    assert observe(model, world).hours
    log.append("predictions", prediction_rows(50, first=400), {"slot": 2})
    ran = tiltmeter("erase", "--entity", "lead-3", "--json", "--config", str(config))
    assert (ran.document["rows"]["predictions"], ran.document["hours"]) == (1, {"lead-scoring": 1})
    observe(model, world)
    bins = world.baselines.bins(model, clock.now())
    day = Window(datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC), Grain.DAY)
    assert world.states.total("lead-scoring", bins.bins_id, day).rows == 349
    world.state.close()
