"""The CSV files of a folder are one data set, though each guesses its types by itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiltmeter import compare
from tiltmeter.api.history import TimeSlice
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.severity import Severity
from tiltmeter.engines.local import LocalEngine, open_rows

SPELLINGS = {
    "flags": (["TRUE", "FALSE"], "unknown"),
    "postcodes": (["07001", "10115"], "abroad"),
    "versions": (["1.50", "2.0"], "beta"),
    "days": (["2026-11-01", "2026-11-02"], "never"),
    "moments": (["2026-11-01 08:30", "2026-11-01T09:30"], "never"),
}


def folder(path, months):
    path.mkdir()
    for number, values in enumerate(months):
        lines = ["at,code,x", *(f"2026-11-{number + 1:02},{value},{place}" for place, value in enumerate(values))]
        (path / f"{number}.csv").write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("typed_first", [True, False])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_levels_are_frozen_as_they_are_spelt(tmp_path, spelling, typed_first):
    (one, two), word = SPELLINGS[spelling]
    months = [[one, two, one], [one, word]]
    rows = open_rows(folder(tmp_path / "d", months if typed_first else months[::-1]))
    engine = LocalEngine()
    for slice_ in (rows, TimeSlice(rows, "at", since=datetime(2026, 1, 1, tzinfo=UTC))):
        bins = engine.fit(slice_, ColumnRoles(time="at"))
        levels = bins.features["code"].cells.levels
        assert sorted(levels) == sorted((one, two, word))
        counted = engine.profile(slice_, bins).features["code"].counts
        assert {level: int(rows) for level, rows in zip(levels, counts_of(counted, levels), strict=True)} == {
            one: 3, two: 1, word: 1,
        }  # fmt: skip


def counts_of(counts, levels):
    assert counts[: len(levels)].sum() == counts.sum()  # nothing among other levels
    return counts[: len(levels)]


def test_drift_among_levels_that_one_file_alone_shows_as_text_is_seen(tmp_path):
    before = folder(tmp_path / "before", [["TRUE", "FALSE"] * 500, ["unknown"]])
    after = folder(tmp_path / "after", [["TRUE"] * 950 + ["FALSE"] * 50])
    assert compare(before, after)["code"].severity is not Severity.NONE


def test_numbers_with_declared_words_stay_numbers(tmp_path):
    """Read as text, ` 1.5` and `2,5` would be no numbers: they are text only where the column is one."""
    (tmp_path / "1.csv").write_text("x;y\n1,5;1\n2,5;2\n", encoding="utf-8")
    (tmp_path / "2.csv").write_text("x;y\n3;1\nN/A;2\n", encoding="utf-8")
    rows, engine = open_rows(tmp_path), LocalEngine()
    bins = engine.fit(rows, ColumnRoles(missing_values={"x": ("N/A",)}))
    assert bins.features["x"].kind.is_binned
    assert engine.profile(rows, bins).features["x"].missing == 1
