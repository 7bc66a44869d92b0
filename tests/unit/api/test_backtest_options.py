"""A backtest looks at its options as a comparison does, whatever its baseline is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import tiltmeter
from tiltmeter import Baseline
from tiltmeter.api.columns import roles_of
from tiltmeter.api.history import profiled_windows
from tiltmeter.api.replaying import History, backtest_history
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.window import Grain

START = datetime(2026, 9, 1, tzinfo=UTC)


def days(first, many, rows=300):
    rng = np.random.default_rng(first)
    total = many * rows
    micros = int((START + timedelta(days=first)).timestamp() * 1e6) + np.arange(total) * (86_400_000_000 // rows)
    return pa.table(
        {
            "age": rng.normal(40, 9, total),
            "plan": rng.choice(["a", "b"], total).tolist(),
            "score": rng.random(total),
            "bought": rng.random(total) < 0.1,
            "lead": [f"lead-{number}" for number in range(total)],
            "at": pa.array(micros, pa.timestamp("us")),
        }
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    pq.write_table(days(0, 3), folder / "before.parquet")
    pq.write_table(days(3, 3), folder / "after.parquet")
    pq.write_table(pa.concat_tables([days(0, 3), days(3, 3)]), folder / "all.parquet")
    frozen = Baseline.fit(
        folder / "before.parquet", score="score", label="bought", entity="lead", ignore=("at",),
        kinds={"age": "numeric"}, missing_values={"age": (999,)},
    )  # fmt: skip
    frozen.save(folder / "saved.tmb")
    return folder


def replay(place, source, weights=None, **roles):
    if source == "until":
        history = History.of(place / "all.parquet", time="at", until=START + timedelta(days=3))
    else:
        history = History.of(place / "after.parquet", time="at", baseline=str(place / source))
    return backtest_history(
        history, roles_of(time="at", **roles), load_rules(None), grain=Grain.DAY, zone=ZoneInfo("UTC"), weights=weights
    )


@pytest.mark.parametrize("source", ["until", "before.parquet", "saved.tmb"])
@pytest.mark.parametrize("weights", [{"agee": 3}, {"age": -1}, {"age": float("inf")}, {"age": float("nan")}])
def test_weights_that_are_none_are_refused(place, source, weights):
    with pytest.raises(UsageError, match="weight"):
        replay(place, source, weights)
    assert len(replay(place, source, {"age": 3, "plan": 0}).windows) == 3


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ({"score": "typo"}, 'no score column "typo"'),
        ({"score": "age"}, '--score says "age"'),
        ({"label": "plan"}, '--label says "plan"'),
        ({"entity": "plan"}, '--entity says "plan"'),
        ({"features": ("age",)}, "--features says age"),
        ({"features": ("age", "pln")}, '"pln"'),
        ({"ignore": ("age",)}, "--ignore names it"),
        ({"ignore": ("agee",)}, '"agee"'),
        ({"kinds": {"age": "categorical"}}, "--kind says categorical"),
        ({"kinds": {"agee": "numeric"}}, '"agee"'),
        ({"missing_values": {"age": (-1,)}}, "--missing says -1"),
    ],
)
def test_what_a_saved_baseline_was_not_frozen_with_is_refused(place, roles, said):
    with pytest.raises(UsageError) as told:
        replay(place, "saved.tmb", **roles)
    assert said in str(told.value)


def test_what_a_saved_baseline_was_frozen_with_may_be_said_again(place):
    same = {
        "score": "score", "label": "bought", "entity": "lead", "ignore": ("at",), "kinds": {"age": "numeric"},
        "features": ("age", "plan"), "missing_values": {"age": (999,)},
    }  # fmt: skip
    assert len(replay(place, "saved.tmb", **same).windows) == 3


def test_a_comparison_with_a_saved_baseline_looks_at_its_weights(place):
    saved = Baseline.load(place / "saved.tmb")
    for weights in ({"agee": 3}, {"age": -1}, {"age": float("nan")}):
        with pytest.raises(UsageError, match="weight"):
            saved.compare(place / "after.parquet", weights=weights)
    assert saved.compare(place / "after.parquet", weights={"age": 2}).overall.psi is not None


@pytest.mark.parametrize(
    ("weights", "options", "said"),
    [
        ('{"agee": 3}', (), 'did you mean "age"'),
        ('{"age": 1e400}', (), "a weight is a number from 0 up"),
        ('{"age": 1' + "0" * 400 + "}", (), "a weight is a number from 0 up"),
        ('{"age": 1}', ("--score", "typo"), 'there is no score column "typo"'),
    ],
)
def test_the_command_ends_with_2(place, weights, options, said):
    (place / "weights.json").write_text(weights)
    ran = tiltmeter(
        "backtest", place / "after.parquet", "--time-column", "at", "--every", "day", "--baseline", place / "saved.tmb",
        "--weights", place / "weights.json", *options,
    )  # fmt: skip
    assert (ran.code, len(ran.error_lines)) == (2, 1), ran.err
    assert said in ran.err, ran.err


def with_twin(table, name):
    """The table with a second column of that name."""
    return table.append_column(name, pa.array(range(table.num_rows)))


@pytest.mark.parametrize("name", ["age", "plan"])
def test_a_name_that_occurs_twice_is_left_out_beside_a_saved_baseline(place, tmp_path, name):
    pq.write_table(with_twin(days(3, 3), name), tmp_path / "twice.parquet")
    saved = Baseline.load(place / "saved.tmb")
    found = saved.compare(tmp_path / "twice.parquet")
    assert f"left out: {name}" in found.notes[-1]
    assert name not in found.comparison.features
    assert (found.comparison.new_columns, found.overall.severity.word) == ((), "none")
    assert name in saved.compare(place / "after.parquet").comparison.features
    with pytest.warns(UserWarning, match=f"left out: {name}"):
        assert name not in saved.profile(tmp_path / "twice.parquet").features

    history = History.of(tmp_path / "twice.parquet", time="at", baseline=str(place / "saved.tmb"))
    replayed = backtest_history(history, roles_of(time="at"), load_rules(None), grain=Grain.DAY, zone=ZoneInfo("UTC"))
    assert f"left out: {name}" in history.notes.lines[-1]
    for window in replayed.windows:
        assert name not in window.features
        assert {one.severity.word for one in window.features.values()} == {"none"}


def test_a_column_that_is_needed_once_may_not_occur_twice_beside_a_saved_baseline(place):
    saved, table = Baseline.load(place / "saved.tmb"), with_twin(days(3, 3), "score")
    for look in (saved.compare, saved.profile):
        with pytest.raises(UsageError, match='score column "score" occurs more than once'):
            look(table)
    history = History.of(table, time="at", baseline=str(place / "saved.tmb"))
    with pytest.raises(UsageError, match='score column "score" occurs more than once'):
        history.frozen(roles_of(time="at"), engine="local")


def test_an_ignored_column_that_a_saved_baseline_does_not_know_is_not_new(place, tmp_path):
    pq.write_table(days(3, 3).append_column("note", pa.array(["n"] * 900)), tmp_path / "more.parquet")
    new = {}
    for ignored in ((), ("note",)):
        history = History.of(tmp_path / "more.parquet", time="at", baseline=str(place / "saved.tmb"))
        baseline = history.frozen(roles_of(time="at", ignore=ignored), engine="local")
        windows = profiled_windows(
            baseline.engine, history.rows, baseline.bins, time="at", grain=Grain.DAY, zone=ZoneInfo("UTC")
        )
        new[ignored] = [set(profile.new_columns) for _, profile in windows if profile is not None]
    assert new == {(): [{"note"}] * 3, ("note",): [set()] * 3}
