"""SIGKILL at the n-th system call of a worker: what was acknowledged is there, once, and the next start is quick."""

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.spool import SpoolWriter, read_segment, sealed_segments, take_over_abandoned

WORKER = Path(__file__).with_name("spool_worker.py")
CALLS = ("write", "fdatasync", "rename", "openat", "fsync", "ftruncate", "unlink", "mkdir", "flock")
RECORDS = 60

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def run_worker(folder, durability, *strace):
    command = ["strace", "-f", "-qq", *strace, sys.executable, str(WORKER)]
    command += [str(folder / "spool"), str(folder / "acknowledged"), durability, str(RECORDS)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def kill_points(folder, durability):
    """(system call, n) of every call that a whole run makes once it has begun with its spool, per thread."""
    folder.mkdir()
    log = folder / "strace.log"
    done = run_worker(folder, durability, "-e", f"trace={','.join(CALLS)}", "-o", str(log))
    if done.returncode != 0 and "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:100]}")
    assert done.returncode == 0, done.stderr
    seen, points, begun = Counter(), set(), False
    for line in log.read_text().splitlines():
        thread, _, rest = line.partition(" ")
        call = rest.strip().partition("(")[0]
        if call in CALLS:
            seen[thread, call] += 1
            begun = begun or ("/spool" in rest and call == "mkdir")
            if begun:
                points.add((call, seen[thread, call]))
    return sorted(points)


def kill_at(folder, durability, call, nth):
    """Whether the worker was killed; asserts that nothing acknowledged is lost or doubled."""
    folder.mkdir()
    done = run_worker(
        folder, durability, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"
    )
    killed = done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert killed or done.returncode == 0, done.stderr
    notes = folder / "acknowledged"
    text = notes.read_bytes() if notes.exists() else b""
    acknowledged = {text[at : at + 7] for at in range(0, len(text) - 6, 7)}
    begun = time.monotonic()
    take_over_abandoned(folder / "spool")
    writer = SpoolWriter(folder / "spool", budget=Budget(10**12, 0.0), host="h", threaded=False)
    assert writer.start()
    assert time.monotonic() - begun < 5.0
    writer.put(b"999999:after")
    writer.close()
    rows = [p[:7] for s in sealed_segments(folder / "spool") for _, p in read_segment(s.path).records]
    assert acknowledged <= set(rows), f"{call} {nth}: lost {sorted(acknowledged - set(rows))[:3]}"
    assert len(rows) == len(set(rows)), f"{call} {nth}: doubled"
    assert rows[-1] == b"999999:"
    shutil.rmtree(folder)
    return killed


def sweep(folder, durability, count):
    points = kill_points(folder / "whole", durability)
    step = max(1, len(points) // count)
    killed = 0
    for position in range(0, len(points), step):
        if killed == count:
            break
        call, nth = points[position]
        killed += kill_at(folder / f"{call}-{nth}", durability, call, nth)
    return killed


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_a_few_kill_points_lose_nothing(tmp_path, durability):
    assert sweep(tmp_path, durability, 6) >= 4


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("durability", ["process", "disk"])
def test_a_hundred_kill_points_lose_nothing(tmp_path, durability):
    killed = sweep(tmp_path, durability, 110)
    assert killed >= 100
    print(f"{durability}: killed at {killed} system calls, 0 lost, 0 doubled")


@pytest.mark.faults
def test_a_start_with_a_spool_of_100_mb_takes_less_than_five_seconds(tmp_path):
    writer = SpoolWriter(tmp_path, budget=Budget(10**12, 0.0), host="h", threaded=False, seal_bytes=10**12)
    payload = bytes(1000)
    for _ in range(100_000):
        writer.put(payload)
    writer._files.close(writer._slot.lock)
    begun = time.monotonic()
    following = SpoolWriter(tmp_path, budget=Budget(10**12, 0.0), host="h", threaded=False)
    assert following.start()
    assert time.monotonic() - begun < 5.0
    following.close()
