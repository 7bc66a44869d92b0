"""`tiltmeter.compare` and `Baseline`: what a Python user holds in the hand."""

import json
import math

import pandas as pd
import polars as pl
import pytest

import tiltmeter
from lead_frames import HOSTILE, leads
from tiltmeter.domain.errors import NoCommonColumns, StoreError, UnreadableData, UsageError
from tiltmeter.domain.severity import Severity

BEFORE, AFTER = leads(seed=1), leads(seed=2, age=52.0, web=0.2)
ROLES = {"score": "score", "label": "bought"}

FEATURE_FIELDS = [
    "kind", "status", "severity", "psi", "psi_p_value", "psi_q_value", "psi_lower", "psi_noise_floor", "psi_bins", "kl",
    "js_distance", "ks", "ks_upper", "ks_p_value", "chi2", "chi2_p_value", "chi2_df", "cramers_v",
    "minimum_detectable", "out_of_range", "why", "outliers_iqr", "outliers_z", "reference", "current", "new_levels",
    "lost_levels",
]  # fmt: skip
SIDE_FIELDS = [
    "count", "missing", "missing_share", "infinite", "extreme", "mean", "std", "min", "max", "median", "q01", "q05",
    "q25", "q75", "q95", "q99", "zero_share", "distinct", "distinct_error", "top",
]  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return tiltmeter.compare(BEFORE, AFTER, **ROLES)


def test_a_feature_is_found_by_its_name(result):
    assert result["age"].psi > 0.5
    assert result["age"].severity is Severity.CRITICAL
    assert result["returning"].severity is Severity.NONE
    assert result["score"].psi == result.overall.score_psi
    assert result.drifted == ["age", "source"]
    assert len(result) == 4
    assert "age" in result


def test_an_unknown_feature_is_answered_with_the_closest_one(result):
    with pytest.raises(UsageError, match='did you mean "age"'):
        result["agee"]


def test_the_document_has_every_field_in_the_order_of_the_interface(result):
    document = result.to_dict()
    assert list(document)[:5] == ["schema", "rows", "features", "overall", "definition"]
    assert document["schema"] == "tiltmeter.compare/1"
    for feature in document["features"].values():
        assert list(feature)[: len(FEATURE_FIELDS)] == FEATURE_FIELDS
        assert list(feature["reference"])[: len(SIDE_FIELDS)] == SIDE_FIELDS
        assert list(feature["current"]) == list(feature["reference"])
    assert list(document["overall"]) == [
        "psi", "score_psi", "features", "features_warning", "features_critical", "severity",
    ]  # fmt: skip
    assert list(document["definition"]) == ["bins", "empty_cells", "version"]


def test_every_null_of_a_feature_has_a_reason(result):
    for feature in result.to_dict()["features"].values():
        for name, value in feature.items():
            if value is None:
                assert feature["why"].get(name), name


def test_the_document_is_valid_json_without_nan(result):
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text) == result.to_dict()


def test_score_and_label_are_no_features(result):
    document = result.to_dict()
    assert set(document["features"]) == {"age", "source", "returning", "seen_at"}
    assert document["score"]["psi"] == document["overall"]["score_psi"]
    assert document["conversion_rate"]["reference"] == pytest.approx(0.1, abs=0.03)


def test_severity_of_the_whole_is_that_of_the_score(result):
    assert result.overall.severity is result.score.severity is Severity.CRITICAL
    without = tiltmeter.compare(BEFORE, AFTER, ignore=["score", "bought"])
    assert without.overall.score_psi is None
    assert without.overall.severity is (Severity.WARNING if without.overall.psi > 0.25 else Severity.NONE)


def test_info_rules_never_enter_a_severity():
    # A shift of 0.15 standard deviations at 20,000 rows: q far below 0.001, PSI far below 0.25.
    moved = tiltmeter.compare(leads(20_000, seed=3), leads(20_000, seed=4, age=41.4), features=["age"])
    assert moved["age"].test_q_value < 1e-6
    assert moved["age"].severity is Severity.NONE


def test_a_column_that_is_gone_is_critical_and_a_new_one_info():
    after = AFTER.rename_columns(["age", "source", "returning", "seen_at", "score", "purchased"])
    found = tiltmeter.compare(BEFORE, after)
    assert found["bought"].severity is Severity.CRITICAL
    assert found["bought"].status == "missing_column"
    assert found["purchased"].severity is Severity.INFO
    assert found["purchased"].status == "new_column"
    assert "purchased" not in found.drifted
    assert found.overall.features == 6


def test_missing_values_that_came_are_named_with_their_severity():
    found = tiltmeter.compare(BEFORE, leads(seed=5, missing=0.3), features=["age"])
    assert found["age"].severity is Severity.CRITICAL
    assert "points more missing" in found.sentence


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, dict])
def test_frames_of_any_library_give_the_same_numbers(result, frame):
    made = {
        pd.DataFrame: lambda table: table.to_pandas(),
        pl.DataFrame: pl.from_arrow,
        dict: lambda table: table.to_pydict(),
    }[frame]
    other = tiltmeter.compare(made(BEFORE), made(AFTER), **ROLES)
    assert other["age"].psi == result["age"].psi
    assert other["source"].chi2 == result["source"].chi2


def test_a_frame_has_a_row_a_feature_and_pandas_on_request(result):
    table = result.to_frame()
    assert table.column("feature").to_pylist() == ["age", "source", "returning", "seen_at", "score"]
    assert table.column("reference_mean")[0].as_py() == result["age"].reference.mean
    assert isinstance(result.to_frame(pandas=True), pd.DataFrame)


def test_profiles_of_a_baseline_add_up_exactly(result, tmp_path):
    baseline = tiltmeter.Baseline.fit(BEFORE, **ROLES)
    halves = baseline.profile(AFTER.slice(0, 700)) + baseline.profile(AFTER.slice(700))
    together = baseline.compare(halves)
    assert together["age"] == result["age"]
    assert together.to_dict()["overall"] == result.to_dict()["overall"]


def test_a_saved_baseline_gives_the_same_numbers(result, tmp_path):
    place = tmp_path / "leads.tmb"
    tiltmeter.Baseline.fit(BEFORE, **ROLES).save(place)
    loaded = tiltmeter.Baseline.load(place)
    assert loaded.compare(AFTER)["age"] == result["age"]
    assert [file.name for file in tmp_path.iterdir()] == ["leads.tmb"]


def test_a_baseline_that_is_none_says_so(tmp_path):
    with pytest.raises(UnreadableData, match=r"nope\.tmb"):
        tiltmeter.Baseline.load(tmp_path / "nope.tmb")
    (tmp_path / "x.tmb").write_bytes(b"something else")
    with pytest.raises(StoreError, match=r"x\.tmb"):
        tiltmeter.Baseline.load(tmp_path / "x.tmb")


def test_two_sides_without_a_common_column_are_refused():
    with pytest.raises(NoCommonColumns, match="no column in common"):
        tiltmeter.compare(BEFORE, {"x": [1.0, 2.0] * 200})


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, True])
def test_a_weight_is_a_number_from_zero_up(weight):
    with pytest.raises(UsageError, match="weight"):
        tiltmeter.compare(BEFORE, AFTER, weights={"age": weight})


def test_one_column_name_as_text_may_be_ignored():
    assert "age" not in tiltmeter.compare(BEFORE, AFTER, ignore="age")


def test_hostile_names_come_through_whole():
    before = {HOSTILE: ["a", "b"] * 200, "plain": [1.0, 2.0] * 200}
    after = {HOSTILE: ["a", HOSTILE] * 200, "plain": [1.0, 2.0] * 200}
    found = tiltmeter.compare(before, after)
    document = found.to_dict()
    assert document["features"][HOSTILE]["new_levels"]["names"] == [HOSTILE]
    assert not any(character in found.sentence for character in "\x1b\x00\u202e")


def test_an_entity_column_makes_tests_count_ids():
    rows = {"x": [float(i % 50) for i in range(1000)], "lead": [i // 5 for i in range(1000)]}
    found = tiltmeter.compare(rows, rows, entity="lead")
    assert found.comparison.n_current == 200
    assert list(found) == ["x"]


def test_a_column_without_a_name_is_a_feature_like_any_other():
    before, after = ({"": [shift + i for i in range(400)], "x": [1.0, 2.0] * 200} for shift in (0, 300))
    found = tiltmeter.compare(before, after)
    assert set(found) == {"", "x"}
    assert found.drifted == [""]
    assert found.to_dict()["rows_tested"] == {"reference": 400, "current": 400}
