"""Writing, shipping and compacting for a long time in a process of its own, with its memory and open files."""

import gc
import os
from datetime import timedelta
from pathlib import Path

from spools import START, request
from tables import FakeClock
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.record import encode_record
from tiltmeter.capture.spool import SpoolWriter
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.maintenance import compact, vacuum

DAY_HOURS = 24


def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def handles():
    return len(list(Path("/proc/self/fd").iterdir()))


def soak(folder, rounds, per_round):
    """Write, ship and compact round after round; memory in MiB and open files after each."""
    clock = FakeClock(START + timedelta(minutes=1))
    writer = SpoolWriter(folder / "spool", budget=Budget(10**12, 0.0), host="h", threaded=False, seal_seconds=0.0)
    log = DeltaLog(folder / "tables", clock)
    shipper = Shipper(folder / "spool", log, {}, clock, host="h")
    payloads = [encode_record(request(number)) for number in range(1000)]
    memory, files, shipped = [], [], 0
    for place in range(rounds):
        for number in range(per_round):
            writer.put(payloads[number % 1000])
            if number % 20_000 == 0:
                writer.tend()
        writer.tend()
        clock.pass_(DAY_HOURS * 3600 / rounds)
        shipped += shipper.ship_once(clock.now(), flush=True).predictions
        shipper.live_snapshot(clock.now())
        shipper.prometheus(clock.now())
        if place % 4 == 3:
            for name in ("predictions", "traffic"):
                compact(log.table(name))
                vacuum(log.table(name), timedelta(hours=1))
        gc.collect()
        memory.append(resident_mib())
        files.append(handles())
    writer.close()
    shipped += shipper.ship_once(clock.now(), flush=True).predictions
    assert shipped == rounds * per_round
    return memory, files
