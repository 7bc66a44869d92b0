# ruff: noqa: ARG005 - each maker takes what some maker needs
"""Frames nobody wants: every type and value that broke somebody's statistics, drawn from a seed."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa

from hostile_columns import hostile_columns
from tiltmeter.api.baseline import compare
from tiltmeter.domain.errors import TiltmeterError

_ROWS = (0, 1, 2, 3, 30, 199, 200, 201, 400)
_SPECIAL = [0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 1.7976931348623157e308, 5e-324, 2.0**53,
            1e-300, 999.0, 0.1]  # fmt: skip
_WORDS = ["", " ", "a", "A", "NaN", "null", "true", "0", "1e5", "\x00", "\u202e", "😀", "e\u0301", "é", "<script>",
          "(other)", "(missing)", "a" * 5_000, ",;\n\t\"'", "\ud7ff"]  # fmt: skip
_NAMES = ["x", "", " ", "a.b", "a,b", "😀", "\x00", "<b>", "__index_level_0__", "psi", "'; DROP", "x" * 300]


_SHAPES = (
    lambda r, g, rows: np.array([r.choice(_SPECIAL) for _ in range(rows)]),
    lambda r, g, rows: np.full(rows, r.choice(_SPECIAL)),
    lambda r, g, rows: g.normal(r.choice([0.0, 1e12, 1e-12, 1e300]), r.choice([1.0, 1e-9, 1e6]), rows),
    lambda r, g, rows: np.where(g.random(rows) < 0.7, 0.0, g.lognormal(0, 3, rows)),
    lambda r, g, rows: g.integers(-3, 4, rows).astype(float),
    lambda r, g, rows: np.where(g.random(rows) < 0.5, math.nan, g.standard_cauchy(rows) * 1e150),
    lambda r, g, rows: np.ldexp(g.random(rows), g.integers(-1_070, 1_020, rows)),
)


def _numbers(r: random.Random, rows: int, kind: type = np.float64) -> np.ndarray:
    with np.errstate(all="ignore"):
        return r.choice(_SHAPES)(r, np.random.default_rng(r.getrandbits(32)), rows).astype(kind)


def _chosen(r: random.Random, rows: int, among: list) -> list:
    return [r.choice(among) for _ in range(rows)]


_MOMENTS = [datetime(year, 3, 29, 1, tzinfo=UTC) for year in (1970, 2026, 2200)]
_DECIMALS = [Decimal("0.01"), Decimal("-99999999999999999999.99"), Decimal(0)]
_WHOLE = [-(2**63), 2**63 - 1, 0, 1, -1, 2**53 + 1]

_COLUMNS = (
    lambda r, n, mask: pa.array(_numbers(r, n), mask=mask),
    lambda r, n, mask: pa.array(_numbers(r, n), mask=mask),
    lambda r, n, mask: pa.array(_numbers(r, n, np.float32), mask=mask),
    lambda r, n, mask: pa.array(_chosen(r, n, _WHOLE), pa.int64(), mask=mask),
    lambda r, n, mask: pa.array(_chosen(r, n, [0, 1, 2**64 - 1]), pa.uint64(), mask=mask),
    lambda r, n, mask: pa.array([r.random() < 0.1 for _ in range(n)], pa.bool_(), mask=mask),
    lambda r, n, mask: pa.array(_chosen(r, n, _WORDS), pa.string(), mask=mask),
    lambda r, n, mask: pa.array(_chosen(r, n, _WORDS), pa.string(), mask=mask).dictionary_encode(),
    lambda r, n, mask: pa.array([f"id-{r.randrange(10**6)}" for _ in range(n)], pa.large_string(), mask=mask),
    lambda r, n, mask: pa.array(_chosen(r, n, _MOMENTS), pa.timestamp("us", "UTC"), mask=mask),
    lambda r, n, mask: pa.array(
        [date(1, 1, 1) + timedelta(days=r.randrange(3_000_000)) for _ in range(n)], pa.date32(), mask=mask
    ),
    lambda r, n, mask: pa.array(_chosen(r, n, _DECIMALS), pa.decimal128(38, 2), mask=mask),
    lambda r, n, mask: pa.nulls(n),
    lambda r, n, mask: pa.array(_chosen(r, n, [[], [1, 2], None]), pa.list_(pa.int64())),
)


def _column(r: random.Random, rows: int) -> pa.Array:
    share = r.choice([0.0, 0.0, 0.1, 0.9, 1.0])
    return r.choice(_COLUMNS)(r, rows, np.array([r.random() < share for _ in range(rows)], dtype=bool))


def hostile_pair(seed: int) -> tuple[pa.Table, pa.Table]:
    """A reference and a window: columns drift, flip their type, vanish, come, occur twice."""
    r = random.Random(seed)
    names = r.sample(_NAMES, r.randint(1, 5))
    before, after = r.choice(_ROWS), r.choice(_ROWS)
    sides: tuple[list, list] = ([], [])
    for name in names:
        state = r.getstate()
        sides[0].append((name, _column(r, before)))
        fate = r.randrange(8)
        if fate == 0:
            continue  # gone
        if fate < 6:
            r.setstate(state)  # the same kind of column again, with other rows
        sides[1].append((name, _column(r, after)))
    if r.random() < 0.2:
        sides[1].append((r.choice(_NAMES), _column(r, after)))
    if seed % 2:  # drawn apart: what a seed draws above stays what it was when it was remembered
        odd = random.Random(f"odd {seed}")
        columns = list(hostile_columns().values())
        one = odd.choice(columns)
        other = odd.choice(columns) if odd.random() < 0.3 else one
        sides[0].append(("odd", one.slice(odd.randrange(3), before)))
        sides[1].append(("odd", other.slice(odd.randrange(3), after)))
    return tuple(pa.Table.from_arrays([c for _, c in side], names=[n for n, _ in side]) for side in sides)


def survives(seed: int) -> bool:
    """Compare the pair of that seed; every number is finite or None with a reason, every view can be made.

    Returns:
        Whether there was something to compare: an empty or disjoint pair is an error in one sentence instead.
    """
    before, after = hostile_pair(seed)
    try:
        found = compare(before, after)
    except TiltmeterError:
        return False
    document = found.to_dict()
    text = json.dumps(document, allow_nan=False)
    assert text
    for name, feature in document["features"].items():
        for field, value in feature.items():
            assert value is not None or feature["why"].get(field), (seed, name, field)
    assert found.sentence
    if seed % 10 == 0:
        page = found.to_html() + found._repr_html_()
        assert "<script" not in page
        found.to_frame()
    return True
