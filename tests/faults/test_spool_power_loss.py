"""Power loss, `kill -9` and sick disks in any order: nothing acknowledged is lost, nothing stands in the table twice.

The shipper is modelled by its rule: skip what the table's transaction of the slot has passed, commit, then remove.
"""

import os
from random import Random

import pytest
from hypothesis import HealthCheck, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from faults.simulated_files import SimulatedFiles, path
from spools import acknowledged
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.spool import (
    SpoolRefused,
    SpoolWriter,
    read_segment,
    remove_segment,
    sealed_segments,
    take_over_abandoned,
)

SPOOL = path("spool")


class Table:
    """A Delta table, as far as exactly-once is concerned."""

    def __init__(self):
        self.rows = []
        self.version = {}

    def commit(self, slot_id, seq, payloads):
        if seq > self.version.get(slot_id, 0):
            self.rows += payloads
            self.version[slot_id] = seq


class SpoolUnderPowerLoss(RuleBasedStateMachine):
    @initialize(durability=st.sampled_from(["disk", "process"]))
    def start(self, durability):
        self.files = SimulatedFiles()
        self.files.make_folder(SPOOL)
        self.durability = durability
        self.table = Table()
        self.now = 0.0
        self.number = 0
        self.kept_through_kill = set()
        self.kept_through_power_loss = set()
        self.workers = [None, None]
        self.fds = [set(), set()]

    def worker(self, which):
        if self.workers[which] is None:
            self.workers[which] = SpoolWriter(
                SPOOL,
                durability=self.durability,
                budget=Budget(max_bytes=10**11, min_free=0.0),
                host="h",
                seal_bytes=3000,
                files=self.files,
                monotonic=lambda: self.now,
                threaded=False,
            )
        return self.workers[which]

    def touching(self, which):
        """Which descriptors a worker opened, so that they can die with it."""
        machine = self

        class Touching:
            def __enter__(self):
                self.before = set(machine.files.open_files)

            def __exit__(self, *_):
                machine.fds[which] |= set(machine.files.open_files) - self.before

        return Touching()

    @rule(which=st.integers(0, 1), count=st.integers(1, 8), size=st.integers(8, 1500), wait=st.booleans())
    def put(self, which, count, size, wait):
        writer = self.worker(which)
        with self.touching(which):
            for _ in range(count):
                self.number += 1
                payload = b"%d:" % self.number + b"x" * size
                try:
                    position = writer.put(payload)
                except SpoolRefused:
                    continue
                self.kept_through_kill.add(payload)
                if self.durability == "disk" and wait and acknowledged(writer, position):
                    self.kept_through_power_loss.add(payload)

    @rule(which=st.integers(0, 1), seconds=st.floats(0.1, 3.0))
    def tend(self, which, seconds):
        self.now += seconds
        if self.workers[which] is not None:
            with self.touching(which):
                self.workers[which].tend()

    @rule(kind=st.sampled_from(["sync", "write", "short", "truncate", "rename", "folder"]), times=st.integers(1, 4))
    def sicken(self, kind, times):
        self.files.failing[kind] = times

    @rule()
    def ship(self):
        self.take_over()
        for segment in sealed_segments(SPOOL, files=self.files):
            contents = read_segment(segment.path, files=self.files)
            self.table.commit(segment.slot_id, segment.seq, [payload for _, payload in contents.records])
            remove_segment(segment.path, files=self.files)

    def take_over(self):
        before = set(self.files.open_files)
        take_over_abandoned(SPOOL, files=self.files)
        assert set(self.files.open_files) == before, "a take-over left files open"

    @rule()
    def ship_and_die_before_removing(self):
        for segment in sealed_segments(SPOOL, files=self.files):
            contents = read_segment(segment.path, files=self.files)
            self.table.commit(segment.slot_id, segment.seq, [payload for _, payload in contents.records])

    @rule(which=st.integers(0, 1))
    def kill(self, which):
        self.files.kill(self.fds[which])
        self.workers[which], self.fds[which] = None, set()

    @rule(which=st.integers(0, 1))
    def stop(self, which):
        if self.workers[which] is not None:
            self.workers[which].close()
            self.kill(which)

    @rule(seed=st.integers(0, 2**32))
    def lose_power(self, seed):
        self.workers, self.fds = [None, None], [set(), set()]
        self.files.lose_power(Random(seed))
        # What only `kill -9` was promised for may be gone now, unless it reached the table.
        self.kept_through_kill = self.kept_through_power_loss | (self.kept_through_kill & set(self.table.rows))

    @invariant()
    def nothing_is_in_the_table_twice(self):
        if hasattr(self, "table"):
            assert len(self.table.rows) == len(set(self.table.rows))

    def teardown(self):
        if not hasattr(self, "table"):
            return
        self.files.failing = dict.fromkeys(self.files.failing, 0)
        for which in (0, 1):
            self.kill(which)
        self.ship()
        self.ship()
        assert not sealed_segments(SPOOL, files=self.files)
        assert self.kept_through_kill <= set(self.table.rows)
        assert self.kept_through_power_loss <= set(self.table.rows)
        self.nothing_is_in_the_table_twice()


def sequences(number):
    run_state_machine_as_test(
        SpoolUnderPowerLoss,
        settings=settings(
            max_examples=number,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            database=None,
        ),
    )


def test_150_sequences_of_power_loss_lose_nothing_acknowledged():
    sequences(150)


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_10_000_sequences_of_power_loss_lose_nothing_acknowledged():
    sequences(int(os.environ.get("TILTMETER_TEST_SEQUENCES", "10000")))
