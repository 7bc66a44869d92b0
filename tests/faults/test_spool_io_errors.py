"""The n-th write or sync fails: nobody is told that a record was kept when it was not, and nothing is doubled."""

import errno
import os

import pytest

from faults.simulated_files import NoLuck, SimulatedFiles, path
from spools import acknowledged
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.spool import SpoolRefused, SpoolWriter, read_segment, sealed_segments, take_over_abandoned

SPOOL = path("spool")


class FailsAt(SimulatedFiles):
    """The n-th call of one operation fails, and with `stays` every one after it."""

    def __init__(self, operation, nth, number, *, stays):
        super().__init__()
        self.operation, self.nth, self.number, self.stays = operation, nth, number, stays
        self.calls = 0

    def _count(self, operation):
        if operation == self.operation:
            self.calls += 1
            if self.calls == self.nth or (self.stays and self.calls > self.nth):
                return True
        return False

    def write(self, fd, data):
        if self._count("write"):
            raise OSError(self.number, os.strerror(self.number))
        return super().write(fd, data)

    def sync(self, fd):
        if self._count("sync"):
            self.failing["sync"] = 1
        super().sync(fd)


@pytest.mark.parametrize("stays", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EINTR], ids=["EIO", "ENOSPC", "EINTR"])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_the_nth_failure_is_no_false_acknowledgement(operation, number, stays):
    for nth in range(1, 101):
        files = FailsAt(operation, nth, number, stays=stays)
        files.make_folder(SPOOL)
        now = [0.0]
        writer = SpoolWriter(
            SPOOL,
            durability="disk",
            budget=Budget(max_bytes=10**11, min_free=0.0),
            host="h",
            files=files,
            monotonic=lambda now=now: now[0],
            threaded=False,
        )
        kept = set()
        for serial in range(60):
            payload = b"%d" % serial
            now[0] += 0.3
            try:
                position = writer.put(payload)
            except SpoolRefused:
                continue
            if acknowledged(writer, position):
                kept.add(payload)
        files.operation = "none"
        files.lose_power(NoLuck())
        take_over_abandoned(SPOOL, files=files)
        rows = [p for s in sealed_segments(SPOOL, files=files) for _, p in read_segment(s.path, files=files).records]
        assert kept <= set(rows)
        assert len(rows) == len(set(rows))
        assert stays or len(kept) >= 50
