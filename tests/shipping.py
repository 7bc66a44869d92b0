"""What tests of the shipper do in processes of their own, and how they count what arrived."""

import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from spools import START, fill, request
from tables import FakeClock
from tiltmeter.capture.spool import sealed_segments
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog
from tiltmeter.wiring import SystemClock

MODEL = Model("lead-scoring")
ALL_DAY = Window(START - timedelta(days=1), START + timedelta(days=1), Grain.DAY)


def ids_in(log: DeltaLog) -> Counter[str]:
    rows = log.rows(MODEL, ALL_DAY)
    return Counter(
        pa.Table.from_batches(list(rows.batches(["request_id"])), pa.schema([rows.schema.field("request_id")]))[
            "request_id"
        ].to_pylist()
    )


def requests_in(log: DeltaLog) -> int:
    return sum(state.requests for state in log.traffic(MODEL.name, ALL_DAY))


def expect(log: DeltaLog, numbers) -> None:
    assert ids_in(log) == Counter(f"r-{n}" for n in numbers)
    assert requests_in(log) == len(numbers)


def away(tmp_path: Path, seconds: int, *, per_second: int) -> tuple[float, int]:
    """The table is away for a while of a faked clock; seconds to drain and the largest memory in MiB."""
    import resource

    clock = FakeClock(START)
    tables = tmp_path / "tables"
    log = DeltaLog(tables, clock)
    shipper = Shipper(tmp_path / "spool", log, {}, clock)
    fill(tmp_path / "spool", [request(0)])
    shipper.turn(clock.now())
    tables.rename(tmp_path / "gone")
    tables.write_text("the volume is not mounted")
    tries, predicted = shipper.counters["failed_turns"], 0.0
    for second in range(0, seconds, 60):
        first = 1 + second * per_second
        fill(tmp_path / "spool", [request(n) for n in range(first, first + 60 * per_second)])
        for _ in range(12):
            clock.pass_(5)
            shipper.turn(clock.now())
        predicted = predicted or spool_bytes(tmp_path / "spool") * seconds / 60
    assert 0.9 < spool_bytes(tmp_path / "spool") / predicted < 1.1, (
        "the first minute says how much room an outage takes"
    )
    assert shipper.counters["failed_turns"] - tries <= seconds / 60 + 7, "no busy loop while the table is away"
    tables.unlink()
    (tmp_path / "gone").rename(tables)
    begun = time.monotonic()
    shipper.ship_once(flush=True)
    took = time.monotonic() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # before this test itself counts ids
    expect(log, range(1 + seconds * per_second))
    assert sealed_segments(tmp_path / "spool") == []
    return took, memory


def spool_bytes(spool: Path) -> int:
    return sum(segment.stat().st_size for segment in spool.rglob("*.seg"))


def ship_until(spool: str, tables: str, seconds: float) -> None:
    clock = FakeClock(START + timedelta(minutes=1))
    shipper = Shipper(spool, DeltaLog(tables, clock), {}, clock)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            shipper.ship_once(flush=True)
        except StoreError:
            continue


def ship_until_told(spool: Path, tables: Path, stop) -> None:
    """As `tiltmeter ship` does, by the real clock; `stop` is an event of multiprocessing."""
    clock = SystemClock()
    shipper = Shipper(spool, DeltaLog(tables, clock), {}, clock, every=timedelta(seconds=1))
    while not stop.wait(0.2):
        shipper.turn(clock.now())
        if shipper.spool_age() == 0.0:
            shipper.ship_once(flush=True)
