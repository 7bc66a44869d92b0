"""`tiltmeter export metrics` in the shape of Databricks data profiling: names, words, and numbers that add up."""

import json
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

import small_home
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.window import Grain, Window
from tiltmeter.views.metric_tables import TABLE, metric_tables
from tiltmeter.wiring import build_world

# Columns as the documentation page and public repositories print them.
PROFILE = {
    "window",
    "log_type",
    "logging_table_commit_version",
    "monitor_version",
    "granularity",
    "slice_key",
    "slice_value",
    "column_name",
    "count",
    "data_type",
    "num_nulls",
    "avg",
    "quantiles",
    "min",
    "max",
    "stddev",
    "num_zeros",
    "num_nan",
    "avg_length",
    "non_null_columns",
    "frequent_items",
    "median",
    "distinct_count",
    "percent_nan",
    "percent_null",
    "percent_zeros",
    "percent_distinct",
}
DRIFT = {
    "window",
    "window_cmp",
    "granularity",
    "monitor_version",
    "slice_key",
    "slice_value",
    "column_name",
    "data_type",
    "drift_type",
    "count_delta",
    "avg_delta",
    "percent_null_delta",
    "percent_zeros_delta",
    "percent_distinct_delta",
    "non_null_columns_delta",
    "js_distance",
    "ks_test",
    "wasserstein_distance",
    "population_stability_index",
    "chi_squared_test",
    "tv_distance",
    "l_infinity_distance",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return small_home.build(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def tables(home):
    world = build_world(load_settings(home, environ={}), clock=FakeClock(small_home.END), with_channels=False)
    span = Window(small_home.END - timedelta(days=5), small_home.END, Grain.DAY)
    ticks = []
    made = metric_tables(world, list(world.models.values()), span, Grain.DAY, tick=lambda: ticks.append(1))
    world.state.close()
    assert len(ticks) == 5
    return made


def test_every_column_of_theirs_is_there_under_its_name(tables):
    assert set(tables.profile.column_names) >= PROFILE
    assert set(tables.drift.column_names) >= DRIFT


def test_rows_of_a_day_add_up_and_the_planted_level_shows(tables):
    profile = tables.profile.to_pylist()
    whole = [r for r in profile if r["column_name"] == TABLE and r["log_type"] == "INPUT" and r["model_id"] is None]
    assert [r["count"] for r in whole] == [24 * small_home.HOURLY] * 5
    assert {r["granularity"] for r in profile} == {"1 day"}
    source = [r for r in profile if r["column_name"] == "source" and r["log_type"] == "INPUT" and r["model_id"] is None]
    items = {i["item"]: i["count"] for i in source[-1]["frequent_items"]}
    assert items["partner-x"] == 240
    assert sum(items.values()) == source[-1]["count"]
    assert {r["column_name"] for r in profile} == {TABLE, "company_size", "source", "prediction"}


def test_drift_has_both_types_and_distances_by_their_definition(tables):
    drift = [r for r in tables.drift.to_pylist() if r["column_name"] == "source" and r["model_id"] is None]
    assert [r["drift_type"] for r in drift].count("BASELINE") == 5
    later = [r for r in drift if r["drift_type"] == "CONSECUTIVE"]
    assert [r["window_cmp"]["end"] == r["window"]["start"] for r in later] == [True] * 4
    last = later[-1]
    assert 0.2 < last["l_infinity_distance"] <= last["tv_distance"] < 0.3  # a quarter of the rows is in a new level
    assert last["chi_squared_test"]["pvalue"] < 1e-9
    assert last["count_delta"] == 0
    assert all(r["window_cmp"] is None for r in drift if r["drift_type"] == "BASELINE")


def test_the_command_writes_both_formats_again_and_again(home, tmp_path):
    from tiltmeter.cli.export import app

    asked = ["metrics", str(tmp_path), "--config", str(home), "--since", "3650d", "--every", "month"]
    for _ in range(2):
        done = CliRunner().invoke(app, [*asked, "--json"])
        assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    counts = DeltaTable(tmp_path / "profile_metrics").get_add_actions(flatten=True)["num_records"].to_pylist()
    assert sum(counts) == rows["profile_metrics"] > 0
    CliRunner().invoke(app, [*asked, "--format", "parquet"])
    assert pq.read_table(tmp_path / "profile_metrics.parquet").num_rows == rows["profile_metrics"]
