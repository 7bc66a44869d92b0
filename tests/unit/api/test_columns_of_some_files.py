"""A column that only some files or hours of a side hold: rows without it are missing in it, as in a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiltmeter import Baseline, compare
from tiltmeter.api.columns import roles_of
from tiltmeter.api.replaying import History, backtest_history
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.window import Grain
from tiltmeter.engines.local import open_rows
from tiltmeter.profiling.codec import decode_profile, encode_profile

START = datetime(2026, 9, 1, tzinfo=UTC)


def leads(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {"age": rng.normal(40, 9, rows), "plan": rng.choice(["a", "b", "c"], rows), "size": rng.normal(size=rows)}
    )


def folder_of(place, *tables):
    place.mkdir()
    for number, table in enumerate(tables):
        pq.write_table(table, place / f"{number}.parquet")
    return place


def nulls_for(table: pa.Table, names) -> pa.Table:
    for name in names:
        table = table.append_column(name, pa.nulls(table.num_rows, leads(1, 0).schema.field(name).type))
    return table


def comparable(feature):
    names = (
        "status severity psi psi_p_value psi_noise_floor psi_lower minimum_detectable ks chi2 chi2_p_value "
        "missing_change missing_p_value new_level_excess out_of_range"
    )
    return {name: getattr(feature, name) for name in names.split()} | {
        "cells": feature.cells,
        "current": feature.current,
    }


@pytest.mark.parametrize("name", ["age", "plan"])
@pytest.mark.parametrize("swapped", [False, True])
def test_files_that_lack_a_column_and_files_of_nulls_say_the_same(tmp_path, name, swapped):
    few, many = leads(50, 1), leads(9_950, 2).drop_columns([name])
    lacking = folder_of(tmp_path / "lacking", few, many)
    with_nulls = folder_of(tmp_path / "nulls", few, nulls_for(many, [name]))
    other = leads(5_000, 3)
    found = [compare(side, other) if swapped else compare(other, side) for side in (lacking, with_nulls)]
    assert comparable(found[0][name]) == comparable(found[1][name])
    share = (found[0][name].reference if swapped else found[0][name].current).missing_share
    assert share == pytest.approx(0.995)
    if not swapped:
        assert found[0][name].severity.word == "critical"
        assert found[0][name].missing_change == pytest.approx(0.995)


def test_a_column_that_vanished_from_most_files_is_missing_there(tmp_path):
    days = [leads(1_000, seed) for seed in range(7)]
    before = folder_of(tmp_path / "before", *days)
    after = folder_of(tmp_path / "after", days[0], *(day.drop_columns(["age", "plan"]) for day in days[1:]))
    found = compare(before, after)
    for name in ("age", "plan"):
        assert (found[name].status.value, found[name].severity.word) == ("ok", "critical")
        assert found[name].current.missing == 6_000
    assert found["size"].severity.word == "none"
    alike = compare(after, after)
    assert {one.severity.word for one in alike.comparison.features.values()} == {"none"}


def test_a_window_with_and_without_a_column_is_counted_with_all_its_rows(tmp_path):
    def day(number, table):
        times = pa.array([START + timedelta(days=number, seconds=row) for row in range(table.num_rows)])
        return table.append_column("at", times)

    Baseline.fit(leads(2_000, 1)).save(tmp_path / "saved.tmb")
    kept, lost = leads(500, 3), leads(500, 4).drop_columns(["age"])
    data = folder_of(tmp_path / "data", day(0, leads(1_000, 2)), day(1, kept), day(1, lost))
    history = History.of(data, time="at", baseline=str(tmp_path / "saved.tmb"))
    found = backtest_history(history, roles_of(time="at"), load_rules(None), grain=Grain.DAY, zone=ZoneInfo("UTC"))
    ages = [window.features["age"] for window in found.windows]
    assert [(one.missing_share, one.severity.word) for one in ages] == [(0.0, "none"), (0.5, "critical")]


def test_profiles_add_in_any_order_and_stay_the_same_when_stored():
    baseline = Baseline.fit(leads(1_000, 1))
    parts = [leads(300, 2), leads(200, 3).drop_columns(["age"]), leads(100, 4).drop_columns(["age", "plan"])]
    one, two, three = (baseline.engine.profile(open_rows(part), baseline.bins) for part in parts)
    sums = [(one + two) + three, one + (two + three), three + (two + one), (two + three) + one]
    assert len({encode_profile(total) for total in sums}) == 1
    total = decode_profile(encode_profile(sums[0]))
    assert {name: (held.rows, held.missing) for name, held in total.features.items()} == {
        "age": (600, 300), "plan": (600, 100), "size": (600, 0)
    }  # fmt: skip
