"""The benchmark job: 30 features, 20 numeric of mixed shapes and full entropy, 10 categories of 2 to 5,000 levels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 250_000
LEVELS = (2, 3, 5, 8, 20, 50, 200, 1_000, 2_000, 5_000)
NUMERIC = tuple(f"n{i:02d}" for i in range(20))
CATEGORICAL = tuple(f"c{i:02d}" for i in range(10))
FEATURES = NUMERIC + CATEGORICAL
FOLDER = Path(os.environ.get("TMPDIR", "/tmp")) / "tiltmeter-benchmarks"  # noqa: S108 - large, made again when gone


def numbers(rng: np.random.Generator, which: int, rows: int, *, shift: float = 0.0) -> np.ndarray:
    """One numeric column: normal, log-normal, exponential, uniform or two-humped, 0 to 8 % missing, no rounding."""
    shapes = (
        lambda: rng.normal(shift, 1, rows),
        lambda: rng.lognormal(3 + shift, 1, rows),
        lambda: rng.exponential(50 * (1 + shift), rows),
        lambda: rng.uniform(0, 1 + shift, rows),
        lambda: np.where(rng.random(rows) < 0.3, rng.normal(-3, 1, rows), rng.normal(4 + shift, 2, rows)),
    )
    values = shapes[which % len(shapes)]()
    values[rng.random(rows) < (which % 5) * 0.02] = np.nan
    return values


def table(rows: int, *, seed: int, shift: float = 0.0) -> pa.Table:
    """Rows of the job; the last quarter of the features is shifted."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for which, name in enumerate(NUMERIC):
        values = numbers(rng, which, rows, shift=shift if which >= 15 else 0.0)
        columns[name] = pa.array(values, from_pandas=True)
    for levels, name in zip(LEVELS, CATEGORICAL, strict=True):
        shares = 1 / np.arange(1, levels + 1)
        codes = rng.choice(levels, rows, p=shares / shares.sum()).astype(np.int32)
        mask = rng.random(rows) < 0.03
        words = pa.array([f"{name}-level-{code:05d}" for code in range(levels)])
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), words).cast(pa.string())
    return pa.table(columns)


def file(rows: int, *, seed: int = 7, shift: float = 0.1) -> Path:
    """The job as a Snappy Parquet file with row groups of 250,000 rows; written once."""
    path = FOLDER / f"job-{rows}-{seed}-{shift}.parquet"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with pq.ParquetWriter(draft, table(1, seed=seed).schema, compression="snappy") as writer:
        for part in range(-(-rows // GROUP_ROWS)):
            size = min(GROUP_ROWS, rows - part * GROUP_ROWS)
            writer.write_table(table(size, seed=seed * 1_000 + part, shift=shift), row_group_size=GROUP_ROWS)
    draft.rename(path)
    return path
