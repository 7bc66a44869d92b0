from __future__ import annotations

import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import inspect

from tiltmeter.domain.errors import ConfigError, StoreError
from tiltmeter.ports import MetricQuery
from tiltmeter.state.database import parse_url
from tiltmeter.state.migrations import newest_version
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.state.tables import METADATA
from tiltmeter.testing.samples import HOUR, T0, SteppedClock, sample_alert, sample_message, sample_run, sample_window


def opened(tmp_path):
    return SqlStateStore("sqlite:state.db", SteppedClock(), home=tmp_path)


def test_the_migrations_make_exactly_the_declared_tables(tmp_path):
    store = opened(tmp_path)
    found = inspect(store._database.engine)
    assert set(found.get_table_names()) == set(METADATA.tables)
    for name, table in METADATA.tables.items():
        assert [c["name"] for c in found.get_columns(name)] == [c.name for c in table.columns], name
        assert set(found.get_pk_constraint(name)["constrained_columns"]) == {c.name for c in table.primary_key}, name
    store.close()


def test_opening_again_migrates_nothing_and_keeps_everything(tmp_path):
    first = opened(tmp_path)
    first.enqueue([sample_message()])
    assert first.migrated == [1]
    first.close()
    second = opened(tmp_path)
    assert second.migrated == []
    assert len(second.deliveries()) == 1
    second.close()


def test_a_database_of_a_newer_release_is_refused(tmp_path):
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.db") as raw:
        raw.execute("INSERT INTO schema_version VALUES (?, 0)", (newest_version() + 1,))
    raw.close()
    with pytest.raises(StoreError, match=f"schema {newest_version() + 1}; this release knows schema"):
        opened(tmp_path)


def test_the_file_is_its_owners_alone(tmp_path):
    store = opened(tmp_path)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    store.close()


def test_a_commit_survives_a_power_cut(tmp_path):
    store = opened(tmp_path)
    with store._database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()


def test_the_view_of_metrics_has_the_documented_columns(tmp_path):
    store = opened(tmp_path)
    columns = [c["name"] for c in inspect(store._database.engine).get_columns("metrics")]
    store.close()
    assert columns == [
        "window_start",
        "window_end",
        "grain",
        "model_name",
        "model_version",
        "segment_key",
        "segment_value",
        "feature",
        "metric",
        "value",
        "lower",
        "upper",
        "p_value",
        "q_value",
        "n_reference",
        "n_current",
        "status",
        "baseline_id",
        "bins_id",
        "source_version",
        "code_version",
        "computed_at",
    ]


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:state.db", "sqlite"),
        ("sqlite:////tmp/state.db", "sqlite"),
        ("postgresql://u:canary@db/tiltmeter", "postgresql+psycopg"),
        ("postgres://u:canary@db/tiltmeter", "postgresql+psycopg"),
    ],
)
def test_addresses_of_databases(url, driver):
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://u:canary@db/x", "state.db", "canary://", ""])
def test_a_wrong_address_is_a_configuration_error_without_its_password(url):
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "canary@" not in str(caught.value)


SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("v*.sql"))
"""A database of every released schema, as SQLite writes it out: never edited once released."""


@pytest.mark.parametrize("written", SCHEMAS, ids=lambda path: path.stem)
def test_a_database_of_every_schema_is_read_and_goes_on(tmp_path, written):
    with sqlite3.connect(tmp_path / "state.db") as raw:
        raw.executescript(written.read_text(encoding="utf-8"))
    raw.close()
    store = opened(tmp_path)
    assert store.migrated == list(range(int(written.stem[1:]) + 1, newest_version() + 1))
    (rows, psi) = sorted(store.metrics(MetricQuery()), key=lambda metric: metric.value, reverse=True)
    assert (psi.name, psi.value, rows.value) == ("drift.psi", 0.31, 300.0)
    assert store.alerts("lead-scoring", open_only=False)["f1"] == sample_alert()
    assert [i.id for i in store.incidents()] == ["inc_a"]
    assert [s.reason for s in store.silences(T0)] == ["backfill"]
    assert store.watermark("judged:drift:day:lead-scoring") == "2026-11-23T06:00:00+00:00"
    assert store.take_lease("scheduler", "host/2", now=T0, ttl=timedelta(seconds=45)) is None
    assert len(store.deliveries()) == 1
    assert store.commit(sample_run(at=sample_window(T0 + HOUR), messages=(sample_message(incident="inc_b"),)))
    store.close()


def test_every_schema_there_was_has_a_database_to_test_with():
    assert [path.stem for path in SCHEMAS] == [f"v{version}" for version in range(1, newest_version() + 1)]


def test_a_file_removed_in_use_is_missed_and_found_again(tmp_path):
    store = opened(tmp_path)
    store.enqueue([sample_message()])
    file = tmp_path / "state.db"
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="its file was removed while it was in use") as caught:
        store.deliveries()
    assert caught.value.retryable
    assert not file.exists(), "an empty one in its place would look like an installation that is well"
    (tmp_path / "elsewhere").rename(file)
    assert len(store.deliveries()) == 1
    store.close()


def test_a_file_put_in_the_place_of_another_is_the_one_that_is_read(tmp_path):
    other = SqlStateStore("sqlite:other.db", SteppedClock(), home=tmp_path)
    other.enqueue([sample_message()])
    other.close()
    store = opened(tmp_path)
    assert store.deliveries() == []
    for path in tmp_path.glob("state.db-*"):
        path.unlink()
    (tmp_path / "other.db").rename(tmp_path / "state.db")
    assert len(store.deliveries()) == 1
    store.close()
