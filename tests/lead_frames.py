"""Small data sets of leads with known shifts, seeded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def leads(rows: int = 2_000, *, seed: int = 1, age: float = 40.0, web: float = 0.5, missing: float = 0.0) -> pa.Table:
    """Age, source, a flag, a time and a score."""
    rng = np.random.default_rng(seed)
    ages = rng.normal(age, 9.0, rows)
    source = rng.choice(["web", "phone", "mail"], rows, p=[web, (1 - web) / 2, (1 - web) / 2])
    absent = rng.random(rows) < missing
    return pa.table(
        {
            "age": pa.array(ages, mask=absent),
            "source": source.tolist(),
            "returning": rng.random(rows) < 0.3,
            "seen_at": pa.array((rng.random(rows) * 86_400e6).astype("int64"), pa.timestamp("us")),
            "score": 1 / (1 + np.exp(-(ages - 40) / 10)),
            "bought": rng.random(rows) < 0.1,
        }
    )


HOSTILE = '<script>alert("1")</script>\x1b[31m"\' onload=x \u202eevil\x00'
