"""What every engine must do: a suite to inherit from, with a fixture `engine` and one that makes rows."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from tiltmeter.domain.errors import EmptyWindow
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.domain.profile import LevelProfile, NumericProfile, Profile
from tiltmeter.ports import Engine, Rows
from tiltmeter.statistics.segmenting import Segmentation


def golden_table() -> pa.Table:
    """Twelve rows whose profile is worked out by hand."""
    start = datetime(2026, 11, 1, 10, 30, tzinfo=UTC)
    return pa.table(
        {
            "size": [1.0, 2.0, 2.0, 3.0, None, math.nan, 5.0, math.inf, 2.0, 0.0, -0.0, 9.0],
            "plan": ["a", "b", "b", None, "a", "b", "c", "a", "b", "b", "a", "b"],
            "late": [True, False, False, False, None, True, True, False, False, False, False, False],
            "won": ["yes", "no", "NO", "1", None, "y", "no", "true", "no", "no", "no", "no"],
            "lead": ["l1", "l2", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "l9", "l9", None],
            "version": ["13"] * 6 + ["14"] * 6,
            "at": [start + timedelta(minutes=10 * row) for row in range(12)],
        }
    )


ROLES = ColumnRoles(label="won", entity="lead", time="at", ignore=("version",))


class EngineContract:
    """Inherit, and give the fixtures `engine` (an `Engine`) and `as_rows` (an Arrow table -> `Rows` of that engine)."""

    @pytest.fixture
    def golden(self, engine: Engine, as_rows: Any) -> tuple[Engine, Rows, Profile]:  # noqa: ANN401 - a fixture
        rows = as_rows(golden_table())
        return engine, rows, engine.profile(rows, engine.fit(rows, ROLES))

    def test_kinds_are_inferred(self, engine: Engine, as_rows: Any) -> None:  # noqa: ANN401 - a fixture
        bins = engine.fit(as_rows(golden_table()), ROLES)
        kinds = {name: feature.kind for name, feature in bins.features.items()}
        assert kinds == {"size": FeatureKind.NUMERIC, "plan": FeatureKind.CATEGORICAL, "late": FeatureKind.BOOLEAN}

    def test_numbers_are_counted(self, golden: tuple[Engine, Rows, Profile]) -> None:
        size = golden[2].features["size"]
        assert isinstance(size, NumericProfile)
        assert (size.rows, size.missing, size.positive_infinite, size.negative_infinite) == (12, 2, 1, 0)
        assert (size.zeros, size.minimum, size.maximum) == (2, 0.0, 9.0)
        assert int(size.counts.sum()) == 10
        assert size.distinct.estimate() == (7, 0.0)  # 0, 1, 2, 3, 5, 9 and infinity

    def test_levels_are_counted(self, golden: tuple[Engine, Rows, Profile]) -> None:
        plan = golden[2].features["plan"]
        assert isinstance(plan, LevelProfile)
        assert plan.counts.tolist() == [6, 4, 1]  # b, a, c
        assert (plan.missing, plan.new, plan.new_rows) == (1, {}, 0)

    def test_labels_and_entities_are_counted(self, golden: tuple[Engine, Rows, Profile]) -> None:
        profile = golden[2]
        assert (profile.converted, profile.labelled) == (4, 11)
        assert profile.entities is not None
        assert profile.entities.estimate() == (9, 0.0)

    def test_hours_add_up_to_the_whole(self, golden: tuple[Engine, Rows, Profile]) -> None:
        engine, rows, whole = golden
        bins = engine.fit(rows, ROLES)
        states = engine.profile_hours(
            rows, bins, model="m", time="at", version="version", segments=["plan"], zone=ZoneInfo("UTC")
        )
        totals = [one for key, one in states.items() if not key.model_version and not key.segment_key]
        total = reduce(add, totals)
        assert [one.rows for one in totals] == [3, 6, 3]  # from half past ten, every ten minutes
        size, expected = total.features["size"], whole.features["size"]
        assert isinstance(size, NumericProfile)
        assert isinstance(expected, NumericProfile)
        assert (size.sum1, size.sum2) == (expected.sum1, expected.sum2)
        assert np.array_equal(size.counts, expected.counts)
        by_version = {
            (key.window_start.hour, key.model_version): one.rows for key, one in states.items() if key.model_version
        }
        assert by_version == {(10, "13"): 3, (11, "13"): 3, (11, "14"): 3, (12, "14"): 3}

    def test_scores_are_added_up_by_segment(self, engine: Engine, as_rows: Any) -> None:  # noqa: ANN401 - a fixture
        table = golden_table().append_column(
            "score", [[0.25, 0.5, 0.5, None, 1.0, 0.5, 0.0, math.nan, 0.5] + [0.75] * 3]
        )
        roles = ColumnRoles(score="score", features=("plan", "size"))
        bins = engine.fit(as_rows(table), roles)
        plan = Segmentation(("b", "a", "c", "(other)", "(missing)"))
        sums = engine.score_sums(as_rows(table), bins, {"plan": plan})["plan"]
        # b: 2nd, 3rd, 6th, 9th, 10th, 12th row; a: 1st, 5th, 11th, its 8th has no score; c: 7th; the 4th misses both.
        center = bins.features["score"].cells.center  # type: ignore[union-attr]
        assert center == 0.5
        assert sums.rows.tolist() == [6, 3, 1, 0, 0]
        assert (sums.sums + sums.rows * center).tolist() == [0.5 * 4 + 0.75 * 2, 0.25 + 1.0 + 0.75, 0.0, 0.0, 0.0]
        known = Segmentation(("b", "a", "c", "d", "(other)", "(missing)"), {"d": 3})
        plans = pa.array(["d", "e", "b", None, "d"])
        later = pa.table({"plan": plans, "score": [1.0, 0.5, 0.25, 0.75, 0.5]})
        found = engine.score_sums(as_rows(later), bins, {"plan": known})["plan"]
        assert found.rows.tolist() == [1, 0, 0, 2, 1, 1]
        assert (found.sums + found.rows * center).tolist() == [0.25, 0.0, 0.0, 1.5, 0.5, 0.75]
        assert engine.score_sums(as_rows(later.drop_columns(["score"])), bins, {"plan": known}) == {}

    def test_a_column_that_is_gone_or_changed_its_type_loses_nothing_else(self, engine: Engine, as_rows: Any) -> None:  # noqa: ANN401 - a fixture
        bins = engine.fit(as_rows(golden_table()), ROLES)
        changed = (
            golden_table().drop_columns(["plan"]).set_column(0, "size", [["x"] * 12]).append_column("new", [[1] * 12])
        )
        profile = engine.profile(as_rows(changed), bins)
        assert set(profile.features) == {"late"}
        assert dict(profile.retyped) == {"size": "text"}
        assert profile.new_columns == {"new"}

    def test_no_rows_make_no_baseline_but_an_empty_profile(self, engine: Engine, as_rows: Any) -> None:  # noqa: ANN401 - a fixture
        with pytest.raises(EmptyWindow):
            engine.fit(as_rows(golden_table().slice(0, 0)), ROLES)
        bins = engine.fit(as_rows(golden_table()), ROLES)
        profile = engine.profile(as_rows(golden_table().slice(0, 0)), bins)
        assert profile.rows == 0
        assert set(profile.features) == {"size", "plan", "late"}
