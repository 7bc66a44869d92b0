"""The writer: sealing, budget, waiting for the disk, and exact counts of what it refused."""

import asyncio
import json
import threading
from math import inf

import pyarrow as pa
import pytest

from faults.simulated_files import NoLuck, SimulatedFiles, path
from spools import acknowledged
from tiltmeter.capture.batch import batch_job
from tiltmeter.capture.budget import Budget, used_bytes
from tiltmeter.capture.counters import NAMES, read_counters, read_forms
from tiltmeter.capture.files import LOCAL_FILES, LocalFiles
from tiltmeter.capture.spool import SpoolRefused, SpoolWriter, read_segment, sealed_segments, take_over_abandoned
from tiltmeter.capture.swift import FORM
from tiltmeter.domain.errors import StoreError
from waiting import until

ROOMY = Budget(max_bytes=10**12, min_free=0.0)
SPOOL = path("spool")


def fill(writer):
    """Put records until one is refused."""
    for _ in range(1000):
        try:
            writer.put(b"x" * 400)
        except SpoolRefused:
            return
    raise AssertionError("the spool never filled")


def all_payloads(spool):
    return [payload for s in sealed_segments(spool) for _, payload in read_segment(s.path).records]


class SickFiles(LocalFiles):
    """Fails the operations that a test names."""

    def __init__(self):
        self.fail = set()
        self.whole = inf  # writes that still succeed; those after them come out short

    def write(self, fd, data):
        if "write" in self.fail:
            raise OSError(28, "No space left on device")
        self.whole -= 1
        return LocalFiles.write(fd, data if self.whole >= 0 else data[: len(data) // 2])

    def sync(self, fd):
        if "sync" in self.fail:
            raise OSError(5, "Input/output error")
        LocalFiles.sync(fd)

    def truncate(self, fd, size):
        if "truncate" in self.fail:
            raise OSError(5, "Input/output error")
        LocalFiles.truncate(fd, size)


def test_a_segment_is_sealed_after_its_time(tmp_path):
    writer = SpoolWriter(tmp_path, budget=ROOMY, seal_seconds=0.05)
    writer.put(b"a")
    until(lambda: sealed_segments(tmp_path))
    assert all_payloads(tmp_path) == [b"a"]
    writer.close()


def test_a_segment_is_sealed_at_its_size(tmp_path):
    writer = SpoolWriter(tmp_path, budget=ROOMY, seal_seconds=3600, seal_bytes=1000)
    for _ in range(3):
        writer.put(b"x" * 400)
    until(lambda: sealed_segments(tmp_path))
    writer.close()
    assert len(all_payloads(tmp_path)) == 3


def test_records_keep_their_order_and_index(tmp_path):
    writer = SpoolWriter(tmp_path, budget=ROOMY, seal_bytes=500, threaded=False)
    for number in range(50):
        writer.put(b"%03d" % number)
        if number % 7 == 0:
            writer.tend()
    writer.close()
    assert all_payloads(tmp_path) == [b"%03d" % number for number in range(50)]
    for segment in sealed_segments(tmp_path):
        contents = read_segment(segment.path)
        assert [index for index, _ in contents.records] == list(range(len(contents.records)))
        assert contents.lost_exact
        assert not contents.damaged


def test_many_threads_lose_nothing(tmp_path):
    writer = SpoolWriter(tmp_path, budget=ROOMY, seal_bytes=5000, seal_seconds=0.02)

    def put(name):
        for number in range(500):
            writer.put(f"{name}-{number}".encode())

    threads = [threading.Thread(target=put, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(all_payloads(tmp_path)) == sorted(f"{n}-{i}".encode() for n in range(4) for i in range(500))


def test_over_budget_is_refused_and_what_was_kept_stays(tmp_path):
    writer = SpoolWriter(tmp_path, budget=Budget(max_bytes=3000, min_free=0.0), threaded=False)
    kept = refused = 0
    for _ in range(20):
        try:
            writer.put(b"x" * 400)
            kept += 1
        except SpoolRefused as refusal:
            refused += refusal.counter == "dropped_full"
    writer.close()
    assert len(all_payloads(tmp_path)) == kept
    assert kept + refused == 20
    assert 0 < kept < 7
    assert used_bytes(LOCAL_FILES, tmp_path) <= 3000 + 1024 + 200  # counters file, id and the next header


def test_room_comes_back_when_segments_are_shipped(tmp_path):
    now = [0.0]
    writer = SpoolWriter(
        tmp_path, budget=Budget(max_bytes=5000, min_free=0.0), threaded=False, monotonic=lambda: now[0]
    )
    fill(writer)
    now[0] += 2.0
    writer.tend()
    for segment in sealed_segments(tmp_path):
        segment.path.unlink()
    now[0] += 2.0
    writer.tend()
    writer.put(b"again")
    writer.close()
    assert all_payloads(tmp_path)[-1] == b"again"


def test_the_free_space_floor_is_kept(tmp_path):
    class Full(LocalFiles):
        def space(self, path):
            return 9, 100

    writer = SpoolWriter(tmp_path, budget=Budget(min_free=0.10), files=Full(), threaded=False)
    with pytest.raises(SpoolRefused, match="full"):
        writer.put(b"x")
    writer.close()


@pytest.mark.parametrize(
    ("failing", "segments"),
    [(set(), 1), ({"truncate"}, 2)],
    ids=["is cut off again", "stays where it cannot be cut off, and is skipped"],
)
def test_a_torn_frame(tmp_path, failing, segments):
    files = SickFiles()
    writer = SpoolWriter(tmp_path, budget=ROOMY, files=files, threaded=False)
    writer.put(b"before")
    files.whole, files.fail = 0, failing
    with pytest.raises(SpoolRefused) as refused:
        writer.put(b"torn in the middle")
    assert refused.value.counter == "dropped_disk"
    files.whole, files.fail = inf, set()
    writer.put(b"after")
    writer.close()
    assert all_payloads(tmp_path) == [b"before", b"after"]
    sealed = [read_segment(segment.path) for segment in sealed_segments(tmp_path)]
    assert len(sealed) == segments
    assert sum(contents.lost_records for contents in sealed) == 0
    assert any(contents.lost_bytes for contents in sealed) == bool(failing)


def test_a_failed_sync_abandons_the_segment_and_writes_its_records_again(tmp_path):
    files = SickFiles()
    now = [0.0]
    writer = SpoolWriter(tmp_path, budget=ROOMY, files=files, threaded=False, monotonic=lambda: now[0])
    writer.put(b"a")
    writer.put(b"b")
    failures = iter([True])

    def sync_once_failing(fd):
        if next(failures, False):
            raise OSError(5, "Input/output error")
        LocalFiles.sync(fd)

    now[0] += 2.0
    original, files.sync = files.sync, sync_after(sync_once_failing, skip=1)  # the new segment's own sync comes first
    writer.tend()
    files.sync = original
    writer.put(b"c")
    writer.close()
    assert all_payloads(tmp_path) == [b"a", b"b", b"c"]
    (counts,) = read_counters(tmp_path).values()
    assert counts == {"failed_segments": 1}


def test_a_record_is_never_written_into_a_file_whose_sync_failed():
    files = SimulatedFiles()
    files.make_folder(SPOOL)
    writer = SpoolWriter(SPOOL, durability="disk", budget=ROOMY, host="h", files=files, threaded=False)
    writer.put(b"a")
    files.failing["sync"] = 2  # the segment's, and that of the new one for its records
    assert not acknowledged(writer, writer.put(b"b"))
    assert acknowledged(writer, writer.put(b"c"))
    files.lose_power(NoLuck())
    take_over_abandoned(SPOOL, files=files)
    assert payloads_in(files) == [b"c"]


def test_a_segment_whose_folder_was_not_synced_is_synced_before_it_is_used():
    files = SimulatedFiles()
    files.make_folder(SPOOL)
    now = [0.0]
    writer = SpoolWriter(
        SPOOL, durability="disk", budget=ROOMY, host="h", files=files, threaded=False, monotonic=lambda: now[0]
    )
    files.passing["folder"], files.failing["folder"] = 1, 1  # the folder is synced for `id`, then for the segment
    with pytest.raises(SpoolRefused):
        writer.put(b"a")
    now[0] += 2.0
    assert acknowledged(writer, writer.put(b"b"))
    files.lose_power(NoLuck())
    take_over_abandoned(SPOOL, files=files)
    assert payloads_in(files) == [b"b"]


def test_sealing_goes_on_after_a_folder_could_not_be_synced():
    files = SimulatedFiles()
    files.make_folder(SPOOL)
    now = [0.0]
    writer = SpoolWriter(SPOOL, budget=ROOMY, host="h", files=files, threaded=False, monotonic=lambda: now[0])
    writer.put(b"a")
    files.passing["folder"], files.failing["folder"] = 1, 1  # for the next segment, then for the one that is sealed
    for payload in (b"b", b"c"):
        now[0] += 2.0
        writer.tend()
        writer.put(payload)
    now[0] += 2.0
    writer.tend()
    assert not files.failing["folder"]
    assert payloads_in(files) == [b"a", b"b", b"c"]


def test_a_slot_whose_counters_cannot_be_opened_is_given_back_and_claimed_again(tmp_path):
    class NoCounters(LocalFiles):
        fails = True

        def open(self, path, *, create=False, append=True):
            if path.name == "counters" and self.fails:
                raise OSError(5, "Input/output error")
            return super().open(path, create=create, append=append)

    files = NoCounters()
    now = [0.0]
    writer = SpoolWriter(
        tmp_path, durability="disk", budget=ROOMY, host="h", seal_seconds=0.05, files=files, monotonic=lambda: now[0]
    )
    with pytest.raises(SpoolRefused):
        writer.put(b"a")
    files.fails = False
    now[0] += 2.0
    writer.block_until_durable(writer.put(b"b"), seconds=10)  # so its thread runs
    writer.close()
    assert [folder.name for folder in (tmp_path / "h").iterdir()] == ["slot-0001"]
    assert all_payloads(tmp_path) == [b"b"]


def test_a_slot_that_cannot_be_brought_into_order_leaves_no_file_open():
    files = SimulatedFiles()
    files.make_folder(SPOOL)
    writer = SpoolWriter(SPOOL, budget=ROOMY, host="h", files=files, threaded=False)
    writer.put(b"a")
    files.kill(files.open_files)
    files.passing["rename"], files.failing["rename"] = (
        1,
        1,
    )  # the fresh segment is named, the old one not sealed
    assert not take_over_abandoned(SPOOL, files=files)
    assert not files.open_files
    take_over_abandoned(SPOOL, files=files)
    assert payloads_in(files) == [b"a"]


def payloads_in(files):
    return [p for s in sealed_segments(SPOOL, files=files) for _, p in read_segment(s.path, files=files).records]


def test_a_torn_count_that_cannot_be_cut_back_costs_no_record(tmp_path):
    files = SickFiles()
    now = [0.0]
    writer = SpoolWriter(tmp_path, budget=ROOMY, files=files, threaded=False, monotonic=lambda: now[0])
    writer.put(b"a")
    now[0] += 2.0
    files.fail, files.whole = {"truncate"}, 1  # the header of the new segment; the count comes out short
    writer.tend()
    files.fail, files.whole = set(), inf
    writer.put(b"b")
    files.whole = 0
    with pytest.raises(SpoolRefused):
        writer.put(b"torn, and cut back")
    files.whole = inf
    writer.put(b"c")
    writer.close()
    assert all_payloads(tmp_path) == [b"a", b"b", b"c"]


def sync_after(failing, skip):
    calls = [0]

    def sync(fd):
        calls[0] += 1
        if calls[0] <= skip:
            LocalFiles.sync(fd)
        else:
            failing(fd)

    return sync


def test_disk_durability_waits_for_the_sync(tmp_path):
    started, may_go_on = threading.Event(), threading.Event()

    class Slow(LocalFiles):
        def sync(self, fd):
            if threading.current_thread().name == "tiltmeter-spool":
                started.set()
                may_go_on.wait(10)
            LocalFiles.sync(fd)

    writer = SpoolWriter(tmp_path, budget=ROOMY, durability="disk", files=Slow(), seal_seconds=3600)

    async def main():
        waiting = [asyncio.create_task(writer.durable(writer.put(b"%d" % n))) for n in range(8)]
        await asyncio.to_thread(started.wait, 10)
        assert not any(task.done() for task in waiting)
        may_go_on.set()
        await asyncio.wait_for(asyncio.gather(*waiting), 10)

    asyncio.run(main())
    writer.block_until_durable(writer.put(b"from a thread"), seconds=10)
    writer.close()
    assert len(all_payloads(tmp_path)) == 9


def test_a_disk_that_refuses_twice_tells_whoever_waits(tmp_path):
    files = SickFiles()
    writer = SpoolWriter(tmp_path, budget=ROOMY, durability="disk", files=files, seal_seconds=3600)
    writer.put(b"a")
    files.fail = {"sync"}
    position = writer.put(b"b")
    with pytest.raises(StoreError):
        writer.block_until_durable(position, seconds=10)
    files.fail = set()
    writer.block_until_durable(writer.put(b"c"), seconds=10)
    with pytest.raises(StoreError):  # whoever asks later is not told that it was kept
        writer.block_until_durable(position, seconds=10)
    writer.close()


def test_counters_survive_the_process_and_add_up(tmp_path):
    for _ in range(2):
        writer = SpoolWriter(tmp_path, budget=ROOMY, host="h", threaded=False)
        writer.put(b"x")
        writer.counters.add("dropped_full", 3)
        writer.close()
    assert read_counters(tmp_path) == {tmp_path / "h/slot-0001": {"dropped_full": 6}}
    assert "dropped_full" in NAMES
    kept = (tmp_path / "h/slot-0001/counters").read_bytes()
    assert json.loads(kept) == {"dropped_full": 6, "form": FORM}
    assert len(kept) == 1024
    assert read_forms(tmp_path) == {tmp_path / "h/slot-0001": FORM}


def test_counters_of_a_version_that_named_no_form_are_read(tmp_path):
    writer = SpoolWriter(tmp_path, budget=ROOMY, host="h", threaded=False)
    assert writer.start()
    writer.close()
    (tmp_path / "h/slot-0001/counters").write_text('{"dropped_full": 2}'.ljust(1024))
    assert read_forms(tmp_path) == {}
    assert read_counters(tmp_path) == {tmp_path / "h/slot-0001": {"dropped_full": 2}}


def test_an_unwritable_spool_is_refused_and_tried_again_later(tmp_path):
    blocked = tmp_path / "spool"
    blocked.write_text("a file stands in the way")
    now = [0.0]
    writer = SpoolWriter(blocked, budget=ROOMY, threaded=False, monotonic=lambda: now[0])
    with pytest.raises(SpoolRefused):
        writer.put(b"x")
    blocked.unlink()
    with pytest.raises(SpoolRefused):
        writer.put(b"x")  # not before a second has passed: a sick disk is not hammered
    now[0] += 1.5
    writer.put(b"x")
    writer.close()
    assert all_payloads(blocked) == [b"x"]


def test_batch_runs_that_wait_do_not_use_up_the_budget_of_requests(tmp_path):
    with batch_job(model="m", job="backfill", spool=tmp_path) as run:
        run.log(pa.table({"score": [0.1] * 10_000, "size": list(range(10_000))}), score="score")
    writer = SpoolWriter(tmp_path, budget=Budget(max_bytes=20_000, min_free=0.0), threaded=False)
    assert writer.start()
    writer.put(b"record")
    writer.close()
