"""One odd value in a JSON-lines file changes the reading of its own column alone."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from tiltmeter import compare
from tiltmeter.domain.metric import Status
from tiltmeter.engines.local import open_rows

ODD = {
    "a column of several types": ({"odd": 1}, {"odd": "x"}),
    "an integer beyond 64 bits": ({"odd": 1}, {"odd": 2**70}),
    "a NaN as Python writes it": ({"odd": 1.5}, {"odd": float("nan")}),
}
TIMES = {
    "day": ["2026-11-01", "2026-11-02"],
    "at": ["2026-11-01 08:30:00", "2026-11-02T08:30:00"],
    "zoned": ["2026-11-01T08:30:00Z", "2026-11-02T08:30:00+02:00"],
    "sparse": [None, "2026-11-02 08:30"],
    "precise": ["2026-11-01 08:30:00.123", "2026-11-01"],
    "word": ["2026-11-01", "soon"],
    "plan": ["a", "b"],
    "days": [["2026-11-01"], ["2026-11-02"]],
    "lead": [{"born": "1980-01-31", "of": {"size": 1}}, {"born": None, "of": {"size": 2}}],
}


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path) -> pa.Table:
    rows = open_rows(path)
    return pa.Table.from_batches(list(rows.batches()), rows.schema)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_leaves_the_other_columns_as_they_are(tmp_path, odd):
    plain = [dict(zip(TIMES, values, strict=True)) for values in zip(*TIMES.values(), strict=True)]
    rows = [row | extra for row, extra in zip(plain, ODD[odd], strict=True)]
    expected = read(written(tmp_path / "plain.jsonl", plain))
    assert pa.types.is_timestamp(expected.schema.field("day").type)
    found = read(written(tmp_path / "odd.jsonl", rows))
    assert set(found.schema.names) == {*expected.schema.names, "odd"}
    for name in expected.schema.names:
        assert found[name].to_pylist() == expected[name].to_pylist()
        is_time = pa.types.is_timestamp(expected.schema.field(name).type)
        assert pa.types.is_timestamp(found.schema.field(name).type) is is_time


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_elsewhere_is_no_change_of_type_of_dates(tmp_path, odd):
    rows = [{"day": f"2026-{1 + number % 12:02}-{1 + number % 28:02}", "odd": 1} for number in range(2_000)]
    before = written(tmp_path / "before.jsonl", rows)
    after = written(tmp_path / "after.jsonl", [*rows[:-1], rows[-1] | ODD[odd][1]])
    found = compare(before, after)["day"]
    assert found.status is Status.OK
    assert found.psi < 0.001


def test_a_value_that_is_no_object_leaves_the_fields_of_the_others_where_they_are(tmp_path):
    rows = [{"lead": {"size": 1, "plan": "a"}}, {"lead": {"size": 2}}, {"lead": "unknown"}, {"lead": None}]
    assert read(written(tmp_path / "n.jsonl", rows)).to_pydict() == {
        "lead.size": [1, 2, None, None],
        "lead.plan": ["a", None, None, None],
        "lead": [None, None, "unknown", None],
    }
