"""SIGKILL before every line of a batch job's and its shipper's code: no row lost, none doubled, nothing left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("batch_worker.py")


def sweep(folder, kind, step):
    done = subprocess.run(
        [sys.executable, str(WORKER), kind, str(folder), str(step)],
        capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("kind", "step"), [("job", 25), ("ship", 30)])
def test_a_few_lines_at_which_it_is_killed(tmp_path, kind, step):
    found = sweep(tmp_path, kind, step)
    assert found["killed"] == found["points"] >= 4


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["job", "ship"])
def test_every_line_at_which_it_is_killed(tmp_path, kind):
    found = sweep(tmp_path, kind, 1)
    assert found["killed"] == found["points"] >= 90
    print(f"{kind}: killed at {found['killed']} lines, 0 lost, 0 doubled, nothing left")
