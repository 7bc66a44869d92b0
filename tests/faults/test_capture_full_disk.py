"""A full disk under a real FastAPI application: it keeps answering, refusals are counted exactly, and it recovers."""

import asyncio
import errno
import os
import shutil
import subprocess
import threading
import time

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.counters import read_counters
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.files import LocalFiles
from tiltmeter.capture.spool import SpoolRefused, SpoolWriter, read_segment, remove_segment, sealed_segments

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
    """Status codes of the answers."""
    codes = []

    async def main():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
            for _ in range(requests):
                answer = await http.post("/score", json={"note": "x" * size})
                codes.append(answer.status_code)

    asyncio.run(main())
    return codes


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
    codes = load(app, 1500)
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
        codes += load(app, 1)
        sent += 1
        refused = dropped(writer) > before
    assert not refused, "records are still refused although there is room"
    assert set(codes) == {200}
    captured.close()
    (counts,) = read_counters(small_disk).values()
    assert sent == shipped + stored(small_disk) + sum(counts.get(name, 0) for name in DROPPED)


def test_a_full_spool_wakes_its_thread_once_a_look_and_not_once_a_record(tmp_path):
    asked = []

    def monotonic():
        asked.append(threading.current_thread().name)
        return time.monotonic()

    writer = SpoolWriter(tmp_path, budget=Budget(max_bytes=0, min_free=0.0), monotonic=monotonic)
    begun = time.monotonic()
    for _ in range(300):
        with pytest.raises(SpoolRefused):
            writer.put(b"record")
        time.sleep(0.001)  # time in which the thread could run, were it woken
    looks = asked.count("tiltmeter-spool")
    writer.close()
    assert looks < 60 + 40 * (time.monotonic() - begun)


class FullDisk(LocalFiles):
    """Takes no new file while it is full, and counts how often it was asked for one."""

    def __init__(self):
        self.is_full, self.asked = False, 0

    def open(self, path, *, create=False, append=True):
        if create and self.is_full:
            self.asked += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().open(path, create=create, append=append)


def test_a_full_disk_on_which_no_segment_can_be_begun_does_not_keep_the_thread_spinning(tmp_path):
    disk = FullDisk()
    writer = SpoolWriter(tmp_path, budget=ROOMY, files=disk, seal_seconds=0.05)
    writer.put(b"record")
    disk.is_full = True
    until = time.monotonic() + 10
    while not disk.asked and time.monotonic() < until:
        time.sleep(0.01)
    begun = time.monotonic()
    time.sleep(0.5)  # time in which a thread that spins asks thousands of times
    assert 1 <= disk.asked <= 2 + 2 * (time.monotonic() - begun)
    disk.is_full = False
    while not sealed_segments(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    writer.close()
    assert stored(tmp_path) == 1
