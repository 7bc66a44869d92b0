"""Ten times the load that can be stored: every request is answered, and sent = stored + shed, exactly."""

import asyncio
import multiprocessing
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from shipping import ship_until_told
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.counters import read_counters
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.spool import SpoolWriter, sealed_segments
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog
from tiltmeter.wiring import SystemClock

SPAWN = multiprocessing.get_context("spawn")
BUDGET_BYTES = 400_000
BODY = b'{"size": 1.5, "plan": "pro", "note": "%s"}' % (b"x" * 600)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


def service():
    app = FastAPI()

    @app.post("/score")
    async def score():
        return JSONResponse({"score": 0.5})

    return app


class Load:
    """Requests at a steady rate, and what was answered."""

    def __init__(self, app):
        self.app = app
        self.codes = Counter()
        self.ids = []

    async def one(self):
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "POST",
            "path": "/score", "raw_path": b"/score", "query_string": b"", "root_path": "", "headers": HEADERS,
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "state": {},
        }  # fmt: skip
        answer = {}

        async def receive():
            return {"type": "http.request", "body": BODY, "more_body": False}

        async def send(message):
            answer.update(message)

        await self.app(scope, receive, send)
        self.codes[answer["status"]] += 1
        self.ids.append(dict(answer["headers"])[b"x-request-id"].decode())

    async def run(self, seconds, per_second):
        """At most 20 ms of requests at once, so that a machine that is busy sends as many, only later."""
        begun = time.monotonic()
        for tick in range(seconds * 50):
            await asyncio.sleep(max(0.0, begun + tick / 50 - time.monotonic()))
            for _ in range(per_second // 50):
                await self.one()


def shed(spool):
    names = ("dropped_full", "dropped_disk", "unsynced_records")
    return sum(counts.get(name, 0) for counts in read_counters(spool).values() for name in names)


def overload(tmp_path, *, seconds, per_second):
    """Load far over what the budget takes between two commits; then calm again."""
    spool, tables = tmp_path / "spool", tmp_path / "tables"
    writer = SpoolWriter(spool, budget=Budget(max_bytes=BUDGET_BYTES, min_free=0.0), seal_seconds=0.2)
    app = service()
    captured = Capture(app, model="m", writer=writer)
    load, stop = Load(app), SPAWN.Event()
    shipping = SPAWN.Process(target=ship_until_told, args=(spool, tables, stop))
    shipping.start()
    try:
        asyncio.run(load.run(seconds, per_second))
        at_the_end = shed(spool)
        assert at_the_end > 0, "it was no overload"
        calm = time.monotonic()
        while True:
            before = shed(spool)
            asyncio.run(load.one())
            if shed(spool) == before:
                break
            assert time.monotonic() - calm < 60, "records are still shed a minute after the overload"
            time.sleep(0.1)
        back_after = time.monotonic() - calm
    finally:
        stop.set()
        shipping.join(60)
    captured.close()
    clock = SystemClock()
    log = DeltaLog(tables, clock)
    Shipper(spool, log, {}, clock).ship_once(flush=True)
    assert sealed_segments(spool) == []
    now = datetime.now(UTC)
    rows = log.rows(Model("m"), Window(now - timedelta(days=1), now + timedelta(days=1), Grain.DAY))
    stored = pa.Table.from_batches(list(rows.batches(["request_id"])))["request_id"].to_pylist()
    assert set(load.codes) == {200}
    assert len(stored) == len(set(stored)), "nothing twice"
    assert set(stored) <= set(load.ids)
    assert len(load.ids) == len(stored) + shed(spool)
    return len(load.ids), len(stored), shed(spool), back_after


@pytest.mark.slow
def test_four_seconds_of_overload_shed_what_is_counted(tmp_path):
    overload(tmp_path, seconds=4, per_second=1_500)


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_five_minutes_of_overload_shed_exactly_what_is_counted(tmp_path):
    sent, stored, lost, back_after = overload(tmp_path, seconds=300, per_second=1_500)
    print(f"{sent} sent = {stored} stored + {lost} shed; records are kept again after {back_after:.1f} s")
