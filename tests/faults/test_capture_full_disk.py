"""A full disk under a real FastAPI application: it keeps answering, refusals are counted exactly, and it recovers."""

import asyncio
import shutil
import subprocess
import time

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.counters import read_counters
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.spool import SpoolWriter, read_segment, remove_segment, sealed_segments

ROOMY = Budget(max_bytes=10**12, min_free=0.0)
DROPPED = ("dropped_disk", "dropped_full")


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("mount is not installed")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Lead(BaseModel):
    note: str


def service():
    app = FastAPI()

    @app.post("/score")
    async def score(lead: Lead):
        return {"score": 0.5}

    return app


def load(app, requests, size=2000):
    """Answers' status codes and seconds each took."""
    codes, took = [], []

    async def main():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
            for _ in range(requests):
                begun = time.perf_counter()
                answer = await http.post("/score", json={"note": "x" * size})
                took.append(time.perf_counter() - begun)
                codes.append(answer.status_code)

    asyncio.run(main())
    return codes, sorted(took)


def stored(spool):
    found = 0
    for segment in sealed_segments(spool):
        contents = read_segment(segment.path)
        assert contents.lost_records == 0
        found += len(contents.records)
    return found


def dropped(writer):
    return sum(writer.counters.values().get(name, 0) for name in DROPPED)


def test_a_full_disk_costs_records_that_are_counted_and_no_answer(small_disk):
    app = service()
    writer = SpoolWriter(small_disk, budget=ROOMY, host="h", seal_seconds=0.05)
    captured = Capture(app, model="m", writer=writer)
    codes, _ = load(app, 1500)
    sent, shipped = 1500, 0
    assert dropped(writer) > 0, "the disk never filled"
    deadline = time.monotonic() + 20
    refused = True
    while refused and time.monotonic() < deadline:  # the shipper makes room: without a restart records are kept again
        for segment in sealed_segments(small_disk):
            contents = read_segment(segment.path)
            assert contents.lost_records == 0
            shipped += len(contents.records)
            remove_segment(segment.path)
        before = dropped(writer)
        more, _ = load(app, 1)
        codes += more
        sent += 1
        refused = dropped(writer) > before
    assert not refused, "records are still refused although there is room"
    assert set(codes) == {200}
    captured.close()
    (counts,) = read_counters(small_disk).values()
    assert sent == shipped + stored(small_disk) + sum(counts.get(name, 0) for name in DROPPED)


@pytest.mark.faults  # needs the machine for itself
def test_a_full_disk_does_not_slow_the_answers(small_disk, tmp_path):
    fine, full = service(), service()
    fine_writer = SpoolWriter(tmp_path / "fine", budget=ROOMY)
    full_writer = SpoolWriter(small_disk, budget=ROOMY)
    fine_capture = Capture(fine, model="m", writer=fine_writer)
    full_capture = Capture(full, model="m", writer=full_writer)
    load(full, 1500)
    ratios = []
    for _ in range(7):
        _, usual = load(fine, 300)
        _, crowded = load(full, 300)
        ratios.append(crowded[285] / usual[285])
    assert dropped(full_writer) > 0
    assert sorted(ratios)[3] < 1.10
    fine_capture.close()
    full_capture.close()
