"""The shipper under faults: 0 lost, 0 doubled. Short forms here, the promised numbers behind the mark `faults`."""

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from deltalake import DeltaTable

from shipping import away, expect, ids_in, ship_until
from spools import START, fill, request
from tables import FakeClock
from tiltmeter.capture.spool import sealed_segments
from tiltmeter.domain.errors import StoreError
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.light import leave_pandas_out
from tiltmeter.store.table import WriteHandle

SPAWN = multiprocessing.get_context("spawn")


class CutWires(WriteHandle):
    """A store that takes a commit and is cut off before its answer arrives, or before the commit, by turns."""

    __slots__ = ()
    cuts: ClassVar[list[str]] = []

    def append(self, rows, transactions, *, metadata=None):
        cut = self.cuts.pop() if self.cuts else "none"
        if cut == "before":
            raise StoreError("connection lost", retryable=True)
        version = super().append(rows, transactions, metadata=metadata)
        if cut == "after":
            raise StoreError("connection lost", retryable=True)
        return version


class CutLog(DeltaLog):
    def for_writing(self, name):
        handle = super().for_writing(name)
        return CutWires(handle.definition, handle.files, handle.handle)


def ambiguous(tmp_path: Path, rounds: int) -> None:
    clock = FakeClock(START + timedelta(minutes=1))
    log = CutLog(tmp_path / "tables", clock)
    shipper = Shipper(tmp_path / "spool", log, {}, clock)
    for number in range(rounds):
        fill(tmp_path / "spool", [request(n) for n in range(5 * number, 5 * number + 5)])
        CutWires.cuts = [["after"], ["before"], ["after", "none"], ["after", "after"]][number % 4]
        for _ in range(6):
            try:
                shipper.ship_once(flush=True)
                break
            except StoreError:
                if number % 3 == 0:  # as if the process had died as well
                    shipper = Shipper(tmp_path / "spool", log, {}, clock)
    CutWires.cuts = []
    shipper.ship_once(flush=True)
    expect(log, range(5 * rounds))
    handle = DeltaTable(str(tmp_path / "tables" / "predictions"))
    assert all(Path(uri.removeprefix("file://")).exists() for uri in handle.file_uris())


def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_doubled(tmp_path):
    ambiguous(tmp_path, 8)


@pytest.mark.faults
def test_a_hundred_ambiguous_commits_lose_and_double_nothing(tmp_path):
    ambiguous(tmp_path, 100)


def test_minutes_without_a_table_are_caught_up(tmp_path):
    away(tmp_path, 300, per_second=5)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_an_hour_without_a_table_is_caught_up_in_five_minutes(tmp_path):
    with SPAWN.Pool(1, leave_pandas_out) as pool:  # a process of its own, as `tiltmeter ship` begins
        took, memory = pool.apply(away, (tmp_path,), {"seconds": 3600, "per_second": 100})
    print(f"drained 360,001 records in {took:.0f} s, {memory} MiB at most")
    assert took < 300
    assert memory < 286, "300 MB"


def rivals(tmp_path: Path, *, shippers: int, segments: int, kills: int) -> None:
    spool, tables = tmp_path / "spool", tmp_path / "tables"
    running = [SPAWN.Process(target=ship_until, args=(str(spool), str(tables), 600.0)) for _ in range(shippers)]
    for process in running:
        process.start()
    try:
        for number in range(segments):
            fill(spool, [request(n) for n in range(10 * number, 10 * number + 10)], host=f"api-{number % 3}")
            if number < kills:
                started = time.monotonic() + 60
                while len(sealed_segments(spool)) > 2 and time.monotonic() < started:
                    time.sleep(0.01)  # the rivals are at work when one of them dies
                victim = running.pop(0)
                os.kill(victim.pid, signal.SIGKILL)
                victim.join(30)
                running.append(SPAWN.Process(target=ship_until, args=(str(spool), str(tables), 600.0)))
                running[-1].start()
        deadline = time.monotonic() + 120
        while sealed_segments(spool) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sealed_segments(spool) == [], "the rivals shipped everything themselves"
        assert all(process.is_alive() for process in running)
    finally:
        for process in running:
            process.kill()
            process.join(30)
    ship_until(str(spool), str(tables), 0.0)
    clock = FakeClock(START)
    log = DeltaLog(tables, clock)
    Shipper(spool, log, {}, clock).ship_once(flush=True)
    expect(log, range(10 * segments))


@pytest.mark.slow
def test_two_shippers_on_one_spool_ship_every_record_once(tmp_path):
    rivals(tmp_path, shippers=2, segments=12, kills=2)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_five_rival_shippers_killed_again_and_again_ship_every_record_once(tmp_path):
    rivals(tmp_path, shippers=5, segments=60, kills=30)


def paused(tmp_path: Path, *, rounds: int) -> float:
    """A shipper is stopped in the middle of its work, another takes over, the first goes on; longest take-over."""
    spool, tables = tmp_path / "spool", tmp_path / "tables"
    pair = [SPAWN.Process(target=ship_until, args=(str(spool), str(tables), 600.0)) for _ in range(2)]
    for process in pair:
        process.start()
    longest = 0.0
    try:
        for number in range(rounds):
            fill(spool, [request(n) for n in range(10 * number, 10 * number + 10)])
            os.kill(pair[number % 2].pid, signal.SIGSTOP)
            begun = time.monotonic()
            while sealed_segments(spool) and time.monotonic() - begun < 60:
                time.sleep(0.01)
            longest = max(longest, time.monotonic() - begun)
            assert sealed_segments(spool) == [], "nobody took over within a minute"
            os.kill(pair[number % 2].pid, signal.SIGCONT)
    finally:
        for process in pair:
            process.kill()
            process.join(30)
    expect(DeltaLog(tables, FakeClock(START)), range(10 * rounds))
    return longest


@pytest.mark.slow
def test_a_stopped_shipper_is_replaced_and_doubles_nothing_when_it_goes_on(tmp_path):
    paused(tmp_path, rounds=4)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_fifty_stopped_shippers_are_replaced_within_a_minute(tmp_path):
    print(f"longest take-over {paused(tmp_path, rounds=50):.1f} s")


NEWEST = "00000000000000000002.json"


def emptied(log_folder: Path) -> None:
    (log_folder / NEWEST).write_bytes(b"")


def truncated(log_folder: Path) -> None:
    (log_folder / NEWEST).write_bytes((log_folder / NEWEST).read_bytes()[:200])


def garbled(log_folder: Path) -> None:
    (log_folder / NEWEST).write_bytes(b"\x00\xff" * 100)


def missing_middle(log_folder: Path) -> None:
    (log_folder / "00000000000000000001.json").unlink()


def missing_data(log_folder: Path) -> None:
    next(log_folder.parent.rglob("*.parquet")).unlink()


def cut_data(log_folder: Path) -> None:
    path = next(log_folder.parent.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [emptied, truncated, garbled, missing_middle, missing_data, cut_data])
def test_a_damaged_table_gives_an_error_in_words_and_never_a_wrong_number(tmp_path, damage):
    clock = FakeClock(START + timedelta(minutes=1))
    log = DeltaLog(tmp_path / "tables", clock)
    shipper = Shipper(tmp_path / "spool", log, {}, clock)
    for part in range(2):
        fill(tmp_path / "spool", [request(n) for n in range(10 * part, 10 * part + 10)])
        shipper.ship_once(flush=True)
    log_folder = tmp_path / "tables" / "predictions" / "_delta_log"
    saved = {path: path.read_bytes() for path in log_folder.parent.rglob("*") if path.is_file()}
    damage(log_folder)
    fill(tmp_path / "spool", [request(n) for n in range(20, 30)])
    fresh = DeltaLog(tmp_path / "tables", clock)
    with pytest.raises(StoreError):
        ids_in(fresh)
    broken_log = damage not in (missing_data, cut_data)
    if broken_log:
        with pytest.raises(StoreError):
            Shipper(tmp_path / "spool", fresh, {}, clock).ship_once(flush=True)
        assert len(sealed_segments(tmp_path / "spool")) == 1, "the spool keeps what the table cannot take"
    for path, content in saved.items():
        path.write_bytes(content)
    mended = DeltaLog(tmp_path / "tables", clock)
    Shipper(tmp_path / "spool", mended, {}, clock).ship_once(flush=True)
    expect(mended, range(30))
    assert ids_in(fresh) == ids_in(mended), "a reader that saw the damage sees the repair"


def test_a_corrupt_last_checkpoint_note_changes_no_number(tmp_path):
    clock = FakeClock(START + timedelta(minutes=1))
    log = DeltaLog(tmp_path / "tables", clock)
    fill(tmp_path / "spool", [request(n) for n in range(10)])
    Shipper(tmp_path / "spool", log, {}, clock).ship_once(flush=True)
    DeltaTable(str(tmp_path / "tables" / "predictions")).create_checkpoint()
    (tmp_path / "tables" / "predictions" / "_delta_log" / "_last_checkpoint").write_bytes(b"garbage")
    with suppress(StoreError):  # an error in words is fine, a wrong number is not
        assert sum(ids_in(DeltaLog(tmp_path / "tables", clock)).values()) == 10
