"""Batch jobs: frames of every library, one run, exact counts."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiltmeter.capture.batch import PART_ROWS, batch_job
from tiltmeter.domain.batch_run import BatchRun, RunState, decode_manifest
from tiltmeter.domain.errors import UsageError

COLUMNS = {
    "lead_id": ["a", "b", "c"],
    "score": [0.1, 0.2, None],
    "size": [1, 2, 3],
    "plan": ["pro", None, "free"],
    "trial": [True, False, True],
}
NOW = datetime(2026, 11, 1, 6, tzinfo=UTC)


def the_run(spool):
    (folder,) = (Path(spool) / "batch").iterdir()
    manifest = decode_manifest((folder / "manifest.json").read_bytes())
    return folder, manifest, [pq.read_table(folder / part.file) for part in manifest.parts]


def job(spool, **more):
    return batch_job(**{"model": "lead-scoring", "job": "nightly", "spool": spool, "now": lambda: NOW, **more})


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_frame_of_any_library_makes_the_same_rows(tmp_path, library):
    with job(tmp_path, run_id="r1") as run:
        run.log(library(COLUMNS), score="score", entity_id="lead_id")
    _, manifest, (table,) = the_run(tmp_path)
    assert (manifest.records_in, manifest.records_scored, manifest.records_failed) == (3, 2, 1)
    assert manifest.state is RunState.SUCCESS
    rows = table.to_pylist()
    assert [row["entity_id"] for row in rows] == ["a", "b", "c"]
    assert [row["prediction"] for row in rows] == [0.1, 0.2, None]
    assert [row["f_size"] for row in rows] == [1.0, 2.0, 3.0]
    assert [row["f_plan"] for row in rows] == ["pro", None, "free"]
    assert [row["f_trial"] for row in rows] == [True, False, True]
    assert rows[0]["event_id"] == "job/lead-scoring/nightly/r1-0"
    assert {row["request_time"] for row in rows} == {NOW}
    assert {(row["source"], row["model_name"], row["run_id"], row["job_id"]) for row in rows} == {
        ("batch", "lead-scoring", "r1", "nightly")
    }
    assert "f_score" not in table.column_names
    assert "f_lead_id" not in table.column_names


def test_times_versions_and_service_columns_of_a_history_are_taken(tmp_path):
    times = [NOW - timedelta(days=n) for n in range(3)]
    frame = pd.DataFrame(COLUMNS | {"at": times, "version": ["1", "1", "2"], "ms": [1.5, 2.5, 3.5]})
    with job(tmp_path, source="api") as run:
        run.log(
            frame,
            score="score",
            time="at",
            model_version="version",
            columns={"execution_duration_ms": "ms"},
            ignore=["lead_id"],
        )
    _, _, (table,) = the_run(tmp_path)
    assert table["request_time"].to_pylist() == times
    assert table["model_version"].to_pylist() == ["1", "1", "2"]
    assert table["execution_duration_ms"].to_pylist() == [1.5, 2.5, 3.5]
    assert {name for name in table.column_names if name.startswith("f_")} == {"f_size", "f_plan", "f_trial"}


def test_parts_are_whole_and_described(tmp_path):
    with job(tmp_path) as run:
        run.log(pd.DataFrame(COLUMNS), score="score")
        run.log(pd.DataFrame(COLUMNS), score="score")
    folder, manifest, tables = the_run(tmp_path)
    assert [part.rows for part in manifest.parts] == [3, 3]
    for part in manifest.parts:
        content = (folder / part.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (part.bytes, part.sha256)
    ids = [event for table in tables for event in table["event_id"].to_pylist()]
    assert len(set(ids)) == 6


def test_a_run_that_is_repeated_changes_nothing(tmp_path):
    for score in (0.1, 0.9):
        with job(tmp_path, run_id="2026-11-01") as run:
            run.log(pd.DataFrame({"score": [score]}), score="score")
    _, _, (table,) = the_run(tmp_path)
    assert table["prediction"].to_pylist() == [0.1]


def test_a_job_that_raises_is_recorded_as_failed_with_what_it_had(tmp_path):
    def failing():
        with job(tmp_path) as run:
            run.log(pd.DataFrame(COLUMNS), score="score")
            run.add(rows_in=7, rows_failed=7)
            raise RuntimeError("customer data")

    with pytest.raises(RuntimeError):
        failing()
    _, manifest, tables = the_run(tmp_path)
    assert manifest.state is RunState.FAILED
    assert manifest.message == "RuntimeError"  # its text may quote a row
    assert (manifest.records_in, manifest.records_scored, manifest.records_failed) == (10, 2, 8)
    assert len(tables) == 1


def test_another_job_or_model_with_the_same_run_id_is_another_run(tmp_path):
    run_id = "scheduled__2026-11-23T02:00:00+00:00"  # Airflow gives it to every daily DAG
    for model, name in (("lead-scoring", "nightly"), ("churn", "churn-nightly"), ("churn", "nightly")):
        with job(tmp_path, model=model, job=name, run_id=run_id) as run:
            run.log(pd.DataFrame({"score": [0.1]}), score="score")
    folders = list((tmp_path / "batch").iterdir())
    manifests = [decode_manifest((folder / "manifest.json").read_bytes()) for folder in folders]
    assert sorted((m.model, m.job) for m in manifests) == [
        ("churn", "churn-nightly"),
        ("churn", "nightly"),
        ("lead-scoring", "nightly"),
    ]
    ids = {pq.read_table(f / "part-00000.parquet")["event_id"][0].as_py() for f in folders}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/b", "c", "d"), ("a", "b/c", "d")),
        (("a", "b", "c/x/1"), ("a", "b", "c", "x", 1)),
        (("a", "b", "c", "1"), ("a", "b", "c", "", 1)),
        (("a", "b-c", "d"), ("a-b", "c", "d")),
    ],
)
def test_no_two_runs_have_one_name(one, other):
    first, second = BatchRun(*one), BatchRun(*other)
    assert first.application != second.application
    assert first.folder != second.folder


def test_a_run_appears_only_when_it_is_complete(tmp_path):
    with job(tmp_path, run_id="r1") as run:
        run.log(pd.DataFrame(COLUMNS), score="score")
        (writing,) = (tmp_path / "batch").iterdir()
        assert ".writing-" in writing.name
        assert not (writing / "manifest.json").exists()
    folder, _, _ = the_run(tmp_path)
    assert folder.name.startswith("lead-scoring-nightly-r1-")


@pytest.mark.parametrize("run_id", ["../../etc", "a/b", "x" * 300, "r.writing-1", ".hidden", "ü", "a\0b"])
def test_a_run_id_cannot_leave_the_spool(tmp_path, run_id):
    name = BatchRun("lead-scoring", "nightly", run_id).folder
    assert "/" not in name
    assert not name.startswith(".")
    with job(tmp_path, run_id=run_id) as run:
        run.log(pd.DataFrame(COLUMNS), score="score")
    folder, manifest, _ = the_run(tmp_path)
    assert folder.name == name
    assert manifest.run_id == run_id


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "scroe"}, 'no column "scroe"; did you mean "score"'),
        ({"score": "score", "time": "size"}, "no time zone"),
        ({"score": "plan"}, "cannot be the prediction"),
        ({"score": "score", "columns": {"latency": "size"}}, "no column of the log"),
    ],
)
def test_a_wrong_column_is_named(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message), job(tmp_path) as run:
        run.log(pd.DataFrame(COLUMNS), **arguments)


def test_what_is_no_frame_is_refused(tmp_path):
    with pytest.raises(UsageError, match="list is no data frame"), job(tmp_path) as run:
        run.log([1, 2], score="score")


def test_every_type_becomes_number_truth_or_text_and_the_rest_is_named(tmp_path):
    table = pa.table(
        {
            "score": [0.5, 0.6],
            "small": pa.array([1, 2], pa.int8()),
            "large": pa.array([2**53 + 1, 5], pa.int64()),
            "unsigned": pa.array([2**64 - 1, 5], pa.uint64()),
            "day": pa.array([1, 2], pa.date32()),
            "words": pa.array(["a", "b"]).dictionary_encode(),
            "numbers": pa.array([1, 2]).dictionary_encode(),
            "nothing": pa.nulls(2),
            "many": pa.array([[1], [2]]),
            "bytes": pa.array([b"a", b"b"]),
        }
    )
    with job(tmp_path) as run:
        run.log(table, score="score")
    _, manifest, (kept,) = the_run(tmp_path)
    assert manifest.columns_ignored == ("many", "bytes")
    types = {name: str(kept.schema.field(name).type) for name in kept.column_names if name.startswith("f_")}
    assert types == {
        "f_small": "double",
        "f_large": "double",
        "f_unsigned": "double",
        "f_day": "string",
        "f_words": "string",
        "f_numbers": "double",
    }
    assert kept["f_large"].to_pylist() == [None, 5.0]
    assert json.loads(kept["_rescued_data"][0].as_py()) == {
        "large": "9007199254740993",
        "unsigned": "18446744073709551615",
    }
    assert kept["_rescued_data"][1].as_py() is None


def test_an_empty_frame_is_a_run_without_rows(tmp_path):
    with job(tmp_path) as run:
        run.log(pd.DataFrame(COLUMNS).head(0), score="score")
    _, manifest, tables = the_run(tmp_path)
    assert manifest.records_in == 0
    assert tables == []


def test_a_pandas_index_is_no_feature(tmp_path):
    with job(tmp_path) as run:
        run.log(pd.DataFrame(COLUMNS, index=["x", "y", "z"]), score="score")
    _, _, (table,) = the_run(tmp_path)
    assert not [name for name in table.column_names if "index" in name]


def test_private_columns_do_not_reach_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTMETER_HASH_KEY", "k")
    frame = pd.DataFrame(COLUMNS | {"email": ["SECRET@x"] * 3, "phone": ["SECRET"] * 3})
    with job(tmp_path, drop=["email"], hash=["phone", "lead_id"]) as run:
        run.log(frame, score="score", entity_id="lead_id")
    folder, _, (table,) = the_run(tmp_path)
    assert b"SECRET" not in b"".join(path.read_bytes() for path in folder.iterdir())
    assert "f_email" not in table.column_names
    assert all(value.startswith("hmac:") for value in table["entity_id"].to_pylist())


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_scores_that_are_no_number_are_kept_without_a_prediction(tmp_path, library):
    with job(tmp_path) as run:
        run.log(library({"score": [0.1, np.inf, np.nan, -np.inf]}), score="score")
    _, manifest, (table,) = the_run(tmp_path)
    assert (manifest.records_scored, manifest.records_failed) == (1, 3)
    assert table["prediction"].to_pylist() == [0.1, None, None, None]
    assert table["_rescued_data"].to_pylist() == [None, '{"prediction": "inf"}', None, '{"prediction": "-inf"}']


def test_a_clock_that_is_set_back_makes_no_negative_duration(tmp_path):
    times = iter([NOW, *[NOW - timedelta(hours=1)] * 9])
    with job(tmp_path, now=lambda: next(times)) as run:
        run.log(pd.DataFrame(COLUMNS), score="score")
    _, manifest, _ = the_run(tmp_path)
    assert manifest.ended_us == manifest.started_us


def test_a_frame_of_more_rows_than_a_part_holds_is_cut_and_ids_go_on(tmp_path):
    rows = PART_ROWS + 3
    with job(tmp_path, run_id="r1") as run:
        run.log(pa.table({"score": pa.repeat(0.5, rows)}), score="score")
    _, manifest, (first, second) = the_run(tmp_path)
    assert [part.rows for part in manifest.parts] == [PART_ROWS, 3]
    ids = [table["event_id"] for table in (first, second)]
    assert (ids[0][-1].as_py(), ids[1][0].as_py()) == (
        f"job/lead-scoring/nightly/r1-{PART_ROWS - 1}",
        f"job/lead-scoring/nightly/r1-{PART_ROWS}",
    )
    assert manifest.records_scored == rows


def test_categories_that_differ_from_chunk_to_chunk_keep_their_words(tmp_path):
    chunks = [pa.array(["web", "ad", None]).dictionary_encode(), pa.array(["mail", "web"]).dictionary_encode()]
    table = pa.table({"score": [0.1] * 5, "lead_source": pa.chunked_array(chunks)})
    halves = [pd.DataFrame({"lead_source": pd.Categorical(words)}) for words in (["a", "b"], ["c", "a"])]
    with job(tmp_path) as run:
        run.log(table, score="score")
        for half in halves:
            run.log(half.assign(score=0.5), score="score")
    _, _, parts = the_run(tmp_path)
    words = [part["f_lead_source"].to_pylist() for part in parts]
    assert words == [["web", "ad", None, "mail", "web"], ["a", "b"], ["c", "a"]]
