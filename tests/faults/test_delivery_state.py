"""The state database under locks, a full disk, damage and upgrades: nothing half written, nothing lost."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.message import DeliveryStatus, Receipt
from tiltmeter.ports import MetricQuery
from tiltmeter.service.sender import Sender
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import (
    HOUR,
    T0,
    SteppedClock,
    sample_alert,
    sample_event,
    sample_incident,
    sample_message,
    sample_metric,
    sample_run,
    sample_window,
)


class RealClock:
    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic()


class Taking:
    """A channel that takes everything."""

    name = kind = "slack"

    def send(self, message):
        return Receipt(reference=message.delivery_id)


def full_run(hour: int = 0, *, metrics: int = 400):
    window = sample_window(T0 + hour * HOUR)
    return sample_run(
        at=window,
        metrics=tuple(sample_metric(feature=f"f{n}", at=window) for n in range(metrics)),
        alerts=(sample_alert(f"a{hour}"),),
        events=(sample_event(f"a{hour}", incident=f"inc_{hour}"),),
        incidents=(sample_incident(f"inc_{hour}"),),
        messages=(sample_message(incident=f"inc_{hour}"),),
    )


def test_an_hour_of_400_numbers_is_committed_in_50_ms(tmp_path):
    store = SqlStateStore("sqlite:state.db", SteppedClock(), home=tmp_path)
    taken = []
    for hour in range(12):
        run = full_run(hour)
        started = time.process_time()
        store.commit(run)
        taken.append(time.process_time() - started)
    store.close()
    assert sorted(taken)[len(taken) // 2] < 0.05


HOLDER = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
held.execute("COMMIT")
"""


def _while_locked(tmp_path: Path, seconds: float) -> None:
    clock = RealClock()
    store = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    store.enqueue([sample_message(at=clock.now())])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "state.db"), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    said, stop = [], threading.Event()
    sender = Sender(store, {"slack": Taking()}, clock, report=lambda event, fields: said.append((event, dict(fields))))
    runner = threading.Thread(target=sender.run, args=(stop,))
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.monotonic()
    runner.start()
    with pytest.raises(StoreError) as caught:
        store.commit(full_run())
    assert caught.value.retryable
    assert "locked" in str(caught.value)
    assert "another process" in str(caught.value)
    holder.wait(seconds + 30)
    holder.stdout.close()
    spent = resource.getrusage(resource.RUSAGE_SELF)
    busy = spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime
    if seconds >= 20:
        assert busy / (time.monotonic() - started) < 0.05
    deadline = time.monotonic() + 20
    while not list(store.deliveries(status=DeliveryStatus.SENT)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert store.commit(full_run())
    stop.set()
    runner.join(20)
    store.close()
    assert "message_sent" in [event for event, _ in said]


def test_a_lock_of_7_seconds_delays_and_loses_nothing(tmp_path):
    _while_locked(tmp_path, 7)


@pytest.mark.faults
def test_a_lock_of_60_seconds_delays_and_loses_nothing_at_under_5_percent_cpu(tmp_path):
    _while_locked(tmp_path, 60)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_leaves_nothing_half_written_and_goes_on_once_freed(small_disk):
    store = SqlStateStore("sqlite:state.db", SteppedClock(), home=small_disk)
    ballast = small_disk / "ballast"
    committed, failures, hour = [], [], 0
    while not failures:
        try:
            assert store.commit(full_run(hour))
            committed.append(hour)
        except StoreError as error:
            failures.append(error)
        hour += 1
        if hour == 3:
            free = os.statvfs(small_disk)
            ballast.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - 300_000))
    assert failures[0].retryable
    assert "disk" in str(failures[0])
    assert len(store.metrics(MetricQuery())) == 400 * len(committed)
    assert {i.id for i in store.incidents()} == {f"inc_{n}" for n in committed}
    assert len(store.deliveries()) == len(committed)
    ballast.unlink()
    assert store.commit(full_run(hour - 1))
    store.close()
    with sqlite3.connect(small_disk / "state.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


KILLED = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from test_delivery_state import full_run
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import SteppedClock
store = SqlStateStore("sqlite:state.db", SteppedClock(), home=Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
store.commit(full_run(int(sys.argv[2]), metrics=20))
"""


@pytest.mark.faults
def test_a_kill_at_any_write_leaves_the_window_done_once_or_not_at_all(tmp_path):
    """strace kills the process at its n-th write, sync or truncation of the state database."""
    if subprocess.run(["strace", "-V"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not installed")
    store = SqlStateStore("sqlite:state.db", SteppedClock(), home=tmp_path)
    store.commit(full_run(0, metrics=20))
    store.close()
    killed = 0
    for nth in range(1, 60):
        command = [
            "strace",
            "-f",
            "-o",
            "/dev/null",
            "-e",
            f"inject=pwrite64,fdatasync,fsync:signal=SIGKILL:when={nth}",
        ]
        command += [sys.executable, "-c", KILLED, str(tmp_path), str(nth), str(Path(__file__).parent)]
        ended = subprocess.run(command, input=b"\n", capture_output=True, check=False)
        killed += ended.returncode != 0
        store = SqlStateStore("sqlite:state.db", SteppedClock(), home=tmp_path)
        rows = len(store.deliveries(incident=f"inc_{nth}"))
        incident = store.incident(f"inc_{nth}")
        numbers = len(list(store.metrics(MetricQuery(since=T0 + nth * HOUR, until=T0 + (nth + 1) * HOUR))))
        assert (rows, incident is not None, numbers) in {(0, False, 0), (1, True, 20)}
        assert store.commit(full_run(nth, metrics=20)) == (rows == 0), "done again exactly when it was not done"
        assert len(store.deliveries(incident=f"inc_{nth}")) == 1
        store.close()
        if ended.returncode == 0:
            break
    assert killed >= 5


def test_a_damaged_file_is_an_error_in_one_sentence(tmp_path):
    (tmp_path / "state.db").write_bytes(bytes(Random(1).randbytes(8192)))
    with pytest.raises(StoreError) as caught:
        SqlStateStore("sqlite:state.db", SteppedClock(), home=tmp_path)
    assert "not a database" in str(caught.value)
    assert not caught.value.retryable


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot be created"):
        SqlStateStore("sqlite:state.db", SteppedClock(), home=tmp_path / "none")


def test_two_evaluators_judge_every_window_once(tmp_path):
    clock = SteppedClock()
    stores = [SqlStateStore("sqlite:state.db", clock, home=tmp_path) for _ in range(2)]
    done: list[bool] = []

    def judge(store) -> None:
        for hour in range(10):
            while True:
                try:
                    done.append(store.commit(full_run(hour, metrics=5)))
                    break
                except StoreError as error:
                    if not error.retryable:
                        raise

    runners = [threading.Thread(target=judge, args=(store,)) for store in stores]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(60)
    assert sorted(done) == [False] * 10 + [True] * 10
    assert len(stores[0].deliveries()) == 10
    for store in stores:
        store.close()


def test_a_paused_holder_cannot_commit_after_its_lease_was_taken(tmp_path):
    store = SqlStateStore("sqlite:state.db", SteppedClock(), home=tmp_path)
    paused = store.take_lease("evaluator", "a", now=T0, ttl=timedelta(seconds=60))
    store.take_lease("evaluator", "b", now=T0 + timedelta(seconds=61), ttl=timedelta(seconds=60))
    with pytest.raises(StoreError, match="lost"):
        store.commit(full_run(), lease=paused)
    assert store.deliveries() == []
    store.close()
