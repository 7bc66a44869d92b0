"""What a comparison pays for saying which feature's mix moved the mean score: 1,000,000 rows × 30 a side.

    python benchmarks/causes.py [rows]

Limit: the further pass costs at most a quarter more than the comparison itself. It is made only where the mean score
moved. It cannot share the comparison's quickest way: that one counts columns without telling which value is of which
row, and here each value must meet the score of its row, so that half of the pass is decoding whole rows.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import job
import tiltmeter
from tiltmeter.api.root_cause import with_causes
from tiltmeter.engines.local import LocalEngine, open_rows

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1.25


def scored(rows: int, *, seed: int, lift: float) -> Path:
    """The job with a score; written once."""
    path = job.FOLDER / f"scored-{rows}-{seed}-{lift}.parquet"
    if not path.exists():
        table = pq.read_table(job.file(rows, seed=seed))
        score = pa.array(np.random.default_rng(seed).beta(2, 8, table.num_rows) + lift)
        pq.write_table(table.append_column("score", score), path, row_group_size=job.GROUP_ROWS)
    return path


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    before, after = scored(rows, seed=7, lift=0.0), scored(rows, seed=8, lift=0.0)
    moved = scored(rows, seed=8, lift=0.02)
    sides = (open_rows(str(before)), open_rows(str(moved)))
    result = tiltmeter.compare(before, moved, score="score")
    plain = tiltmeter.Baseline(result.reference, LocalEngine()).compare_profile(result.current).comparison
    spent = {"compare": [], "explain": []}
    for _ in range(3):
        started = time.process_time()
        quiet = tiltmeter.compare(before, after, score="score")
        spent["compare"].append(time.process_time() - started)
        started = time.process_time()
        found = with_causes(plain, result.reference, result.current, sides, LocalEngine())
        spent["explain"].append(time.process_time() - started)
    assert quiet.score_shift.why == "did_not_move"
    assert len(found.score_shift.features) == len(job.FEATURES)
    compare, explain = min(spent["compare"]), min(spent["explain"])
    print(f"{'rows a side':>12} {'compare CPU s':>14} {'explain CPU s':>14} {'ratio':>6}")
    print(f"{rows:>12,} {compare:>14.2f} {explain:>14.2f} {explain / compare:>6.2f}")
    kept = explain <= LIMIT * compare
    print(f"limit {LIMIT:g}: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
