"""The shipper's memory does not grow with a part: a million rows of 28 columns in one frame."""

import subprocess
import sys

import pytest

MOST_MIB = 400
WRITE = """
import sys
import numpy as np
import pyarrow as pa
from tiltmeter.capture.batch import batch_job
rows, random = 1_000_000, np.random.default_rng(1)
words = np.array([f"word-{n}" for n in range(200)])
columns = {f"n{n}": random.normal(size=rows) for n in range(18)}
columns |= {f"c{n}": words[random.integers(0, 200, rows)] for n in range(8)}
columns |= {"lead_id": np.array([f"lead-{n:09d}" for n in range(rows)]), "score": random.random(rows)}
with batch_job(model="m", job="j", run_id="r", spool=sys.argv[1] + "/spool") as run:
    run.log(pa.table(columns), score="score", entity_id="lead_id")
"""
SHIP = """
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from tiltmeter.ingest.batch_parts import BatchShipper
from tiltmeter.ingest.columns import FeatureTypes
from tiltmeter.store.delta import DeltaLog
from tiltmeter.wiring import SystemClock
folder = Path(sys.argv[1])
log = DeltaLog(folder / "tables", SystemClock())
shipped = BatchShipper(folder / "spool", log, FeatureTypes(), folder / "damaged").ship(datetime.now(UTC))
print(shipped, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.faults
def test_a_part_of_a_million_rows_is_shipped_in_bounded_memory(tmp_path):
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], check=True, timeout=300)
    done = subprocess.run(
        [sys.executable, "-c", SHIP, str(tmp_path)], check=True, timeout=300, capture_output=True, text=True
    )
    shipped, peak_mib = map(int, done.stdout.split()[-2:])
    assert shipped == 1_000_000
    assert peak_mib < MOST_MIB
    print(f"1,000,000 rows of 28 columns: {peak_mib} MiB")
