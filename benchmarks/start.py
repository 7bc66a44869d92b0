"""Wall and CPU seconds of `tiltmeter compare` on two small CSV files, start of the interpreter included.

    python benchmarks/start.py [reference.csv current.csv [options]]

Without files of yours: 24,000 rows against 3,600 of 20 columns, half of them words, separated by semicolons. Limit: 2 s
of wall time on a quiet machine; the CPU seconds beside it tell what other load added.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

import job

LIMIT_S, REPEATS = 2.0, 7


def made() -> list[str]:
    """Two files with the shape of a year of calls to leads."""
    job.FOLDER.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, rows, seed in (("reference", 24_000, 1), ("current", 3_600, 2)):
        rng = np.random.default_rng(seed)
        columns = {f"number_{i}": [f"{value:.3f}" for value in rng.normal(50, 9, rows)] for i in range(10)}
        columns |= {f"word_{i}": rng.choice([f"level-{k}" for k in range(3 + i)], rows).tolist() for i in range(10)}
        lines = [";".join(columns), *(";".join(row) for row in zip(*columns.values(), strict=True))]
        path = job.FOLDER / f"start-{name}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        paths.append(str(path))
    return paths


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "tiltmeter.cli.app", "compare", *(arguments or made())]
    walls, cpus = [], []
    for _ in range(REPEATS):
        before, started = os.times(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        walls.append(time.perf_counter() - started)
        after = os.times()
        cpus.append(after.children_user - before.children_user + after.children_system - before.children_system)
    print(f"compare, start included: {min(walls):.2f} s wall, {min(cpus):.2f} s CPU (least of {REPEATS})")
    print(f"limit {LIMIT_S} s: {'kept' if min(walls) < LIMIT_S else 'MISSED'}")
    return 0 if min(walls) < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
