"""`tiltmeter erase` while workers write: what is on its way is erased too."""

from command_line import tiltmeter
from spools import request
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.record import encode_record
from tiltmeter.capture.spool import SpoolWriter, begun_segments


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
