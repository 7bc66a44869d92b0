"""Peak memory of streaming 30 features, each size in a process of its own; 100,000 levels; 10,000 features.

    python benchmarks/memory.py

Limits: 10M rows under 750 MB and at most 1.2 times 1M; 1M rows with 100,000 levels under 2 CPU s;
`tiltmeter compare --json` of 10,000 features × 1,000 rows a side, start included, under 10 CPU s and 1 GB, and at most
12.5 times as long as a process that only decodes both files: a slow machine makes both longer.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import job
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.engines.local.parquet_files import BLOCK_COLUMNS
from tiltmeter.profiling.codec import decode_bins, encode_bins
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import profile_rows

LIMIT_MB, LIMIT_GROWTH, LIMIT_LEVELS_S, LIMIT_WIDE_S, LIMIT_WIDE_MB = 750, 1.2, 2.0, 10.0, 1_000
LIMIT_WIDE_RATIO, REPEATS = 12.5, 3


def stream(rows: int) -> None:
    """With stored bins, as every window is counted."""
    bins = decode_bins((job.FOLDER / "bins.tmb").read_bytes())
    profile_rows(open_rows(job.file(rows)), bins, threads=2)


def levels() -> None:
    rng = np.random.default_rng(1)
    codes = pa.array(rng.integers(0, 100_000, 1_000_000), pa.int32())
    names = pa.array([f"level-{code}" for code in range(100_000)])
    table = pa.table({"c": pa.DictionaryArray.from_arrays(codes, names).cast(pa.string())})
    started = time.process_time()
    engine = LocalEngine()
    rows = open_rows(table)
    engine.profile(rows, engine.fit(rows, ColumnRoles()))
    print(json.dumps({"cpu_s": time.process_time() - started}))


def wide() -> None:
    """The command itself, in a process of its own."""
    rng = np.random.default_rng(1)
    sides = [job.FOLDER / f"wide-{side}.parquet" for side in ("reference", "current")]
    for side in sides:
        if not side.exists():
            pq.write_table(pa.table({f"f{i:05d}": rng.normal(size=1_000) for i in range(10_000)}), side)
    compare = [sys.executable, "-m", "tiltmeter.cli.app", "compare", *map(str, sides), "--json"]
    decode = [sys.executable, __file__, "decode", *map(str, sides)]
    took = [(cpu_seconds(decode), cpu_seconds(compare)) for _ in range(REPEATS)]
    least, floor = min(ours for _, ours in took), min(decoded for decoded, _ in took)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"cpu_s": least, "peak_mb": peak, "ratio": least / floor}))


def decode(paths: list[str]) -> None:
    """What any comparison must do, as many columns at once as ours reads."""
    for path in paths:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        for start in range(0, len(names), BLOCK_COLUMNS):
            file.read_row_group(0, columns=names[start : start + BLOCK_COLUMNS], use_threads=False)


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measured(task: str) -> dict[str, float]:
    answer = subprocess.run([sys.executable, __file__, task], check=True, capture_output=True, text=True)
    return {key: value for line in answer.stdout.splitlines() for key, value in json.loads(line).items()}


def main() -> int:
    fitted = fit_bins(open_rows(job.file(500_000, seed=3, shift=0.0)), ColumnRoles())
    (job.FOLDER / "bins.tmb").write_bytes(encode_bins(fitted))
    for rows in (1_000_000, 10_000_000):
        job.file(rows)
    small, large = measured("1000000")["peak_mb"], measured("10000000")["peak_mb"]
    many, broad = measured("levels"), measured("wide")
    rows = [
        ("peak MB, 1M rows", small, LIMIT_MB),
        ("peak MB, 10M rows", large, LIMIT_MB),
        ("growth from 1M to 10M", large / small, LIMIT_GROWTH),
        ("CPU s, 1M rows with 100,000 levels", many["cpu_s"], LIMIT_LEVELS_S),
        ("CPU s, compare --json of 10,000 features", broad["cpu_s"], LIMIT_WIDE_S),
        ("the same, × decoding both files by PyArrow", broad["ratio"], LIMIT_WIDE_RATIO),
        ("peak MB of that", broad["peak_mb"], LIMIT_WIDE_MB),
    ]
    for what, value, limit in rows:
        print(f"{what:45} {value:10.2f}  limit {limit:7.1f}  {'kept' if value <= limit else 'MISSED'}")
    return 0 if all(value <= limit for _, value, limit in rows) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["decode"]:
        decode(sys.argv[2:])
        sys.exit(0)
    if len(sys.argv) > 1:
        {"levels": levels, "wide": wide}.get(sys.argv[1], lambda: stream(int(sys.argv[1])))()
        if sys.argv[1] != "wide":
            print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        sys.exit(0)
    sys.exit(main())
