"""What a scrape holds: base units, the newest numbers alone, jobs under their own label, a bounded number of series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiltmeter import __version__
from tiltmeter.domain.baseline import BaselineRecord
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import BaselineSelector, Model, OutcomeSettings
from tiltmeter.domain.rule import RuleSet
from tiltmeter.domain.traffic import TrafficState, latency_bin
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.serving import live_traffic
from tiltmeter.monitors.traffic import Capacity
from tiltmeter.service.exposition import baselines, build_info, current_metrics, gauges, installed_commit, job_runs
from tiltmeter.service.job_counts import JobRecords
from tiltmeter.service.series_choice import chosen

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def day(end=NOW):
    return Window(end - timedelta(days=1), end, Grain.DAY)


def newest_metrics(metrics, models=None):
    return gauges(chosen(current_metrics(metrics, models or {}), RuleSet(())), models or {})


def psi(feature="size", version="", end=NOW, value=0.3):
    return Metric("drift.psi", Subject("m", version, feature), day(end), value)


def test_milliseconds_are_exported_as_seconds():
    metric = Metric("serving.latency_ms.p95", Subject("m"), day(), 250.0)
    assert 'tiltmeter_serving_latency_p95_seconds{model="m",model_version="",window="day"} 0.25' in newest_metrics(
        [metric]
    )


def test_a_test_is_exported_with_its_p_value():
    metric = Metric("drift.chi2", Subject("m", feature="plan"), day(), 9.2, p_value=0.0024)
    lines = newest_metrics([metric, psi()])
    assert 'tiltmeter_feature_chi2{model="m",model_version="",feature="plan",window="day"} 9.2' in lines
    assert 'tiltmeter_feature_chi2_pvalue{model="m",model_version="",feature="plan",window="day"} 0.0024' in lines
    assert sum("pvalue{" in line for line in lines) == 1


def test_the_commit_is_told_where_the_package_came_from_a_repository(tmp_path, monkeypatch):
    (tmp_path / "tiltmeter-9.dist-info").mkdir()
    (tmp_path / "tiltmeter-9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiltmeter\nVersion: 9\n")
    origin = tmp_path / "tiltmeter-9.dist-info" / "direct_url.json"
    monkeypatch.syspath_prepend(str(tmp_path))
    for written, label in (
        ('{"url": "https://example.com/t", "vcs_info": {"vcs": "git", "commit_id": "4f2a"}}', ',commit="4f2a"'),
        ('{"url": "file:///t", "dir_info": {}}', ""),
        ("no JSON", ""),
    ):
        origin.write_text(written)
        installed_commit.cache_clear()
        assert build_info()[2] == f'tiltmeter_build_info{{version="{__version__}"{label}}} 1.0'
    installed_commit.cache_clear()


def test_a_version_that_is_gone_leaves_the_scrape():
    lines = newest_metrics([psi(), psi(version="13", end=NOW - timedelta(days=9), value=0.9)])
    assert not [line for line in lines if 'model_version="13"' in line]
    assert [line for line in lines if line.endswith("} 0.3")]


def test_of_two_numbers_of_one_subject_the_first_stands():
    lines = newest_metrics([psi(value=0.1), psi(value=0.2)])
    assert sum(line.startswith("tiltmeter_feature_psi{") for line in lines) == 1
    assert any(line.endswith(" 0.1") for line in lines)


def test_jobs_have_a_label_that_is_not_prometheus_own():
    metric = Metric("batch.overdue", Subject("m", segment_key="job", segment_value="nightly"), day(), 60.0)
    assert any('job_name="nightly"' in line and line.endswith(" 60.0") for line in newest_metrics([metric]))
    segment = Metric("drift.psi", Subject("m", feature="size", segment_key="plan", segment_value="x"), day(), 0.3)
    assert not [line for line in newest_metrics([segment]) if line.startswith("tiltmeter_feature_psi")]


def test_newest_and_newest_good_run_are_told_apart():
    def run(hours, state):
        at = NOW - timedelta(hours=hours)
        return {"job_name": "n", "start_time": at, "end_time": at, "run_ms": 9_000, "result_state": state,
                "records_in": 5, "records_scored": 4, "records_failed": 1}  # fmt: skip

    lines = job_runs([run(26, "SUCCESS"), run(2, "FAILED")])
    assert (
        f'tiltmeter_job_last_success_timestamp_seconds{{job_name="n"}} {(NOW - timedelta(hours=26)).timestamp()}'
        in lines
    )
    assert f'tiltmeter_job_last_run_timestamp_seconds{{job_name="n"}} {(NOW - timedelta(hours=2)).timestamp()}' in lines
    assert 'tiltmeter_job_records{job_name="n",result="failed"} 1.0' in lines


def test_capacity_is_known_after_the_first_busy_minute():
    class Log:
        def traffic(self, model, window):
            start = NOW - timedelta(minutes=2)
            return [TrafficState(start, "h", "m", "1", "POST /score", "2xx", 90, 0, {latency_bin(20.0): 90})]

    class World:
        log = Log()

    span = Window(NOW - timedelta(minutes=5), NOW, Grain.LIVE)
    metrics = live_traffic(Model("m"), span, World(), capacity=Capacity())
    line = 'tiltmeter_serving_capacity_requests_per_second{model="m",model_version="",window="live"} 1.5'
    assert line in newest_metrics(metrics)


def test_versions_have_their_own_time_of_evaluation():
    lines = newest_metrics([psi(), psi(version="14", end=NOW - timedelta(hours=1))])
    name = 'tiltmeter_evaluation_timestamp_seconds{model="m",model_version="%s",window="day"} %s'
    assert name % ("", NOW.timestamp()) in lines
    assert name % ("14", (NOW - timedelta(hours=1)).timestamp()) in lines


def test_revenue_names_its_currency():
    metric = Metric("outcomes.revenue_per_lead", Subject("m"), day(), 12.5)
    models = {"m": Model("m", outcomes=OutcomeSettings(currency="SEK"))}
    (line,) = [one for one in newest_metrics([metric], models) if one.startswith("tiltmeter_model_revenue")]
    assert line.endswith('window="day",currency="SEK"} 12.5')


OUTCOMES = (
    "outcomes.conversion_rate", "outcomes.precision", "outcomes.recall", "outcomes.revenue_per_lead",
    "outcomes.precision_at_k", "outcomes.recall_at_k",
)  # fmt: skip


def matured(name, *, version="", late=30, days=0, value=0.1):
    """What the day that ended so many days ago found about the week of leads that had just become mature."""
    end = NOW - timedelta(days=days + late)
    return Metric(name, Subject("m", version), Window(end - timedelta(days=7), end, Grain.DAY), value)


@pytest.mark.parametrize("late", [30, 90])
def test_outcomes_are_exported_though_their_leads_are_long_ago(late):
    models = {"m": Model("m", outcomes=OutcomeSettings(mature_after=timedelta(days=late)))}
    lines = newest_metrics([psi(), *(matured(name, late=late) for name in OUTCOMES)], models)
    for name in OUTCOMES:
        exported = CATALOGUE[name].exported
        assert [line for line in lines if line.startswith(f"{exported}{{")], name
    stamp = 'tiltmeter_evaluation_timestamp_seconds{model="m",model_version="",window="day"} %s'
    assert stamp % NOW.timestamp() in lines


def test_outcomes_that_are_no_longer_judged_leave_the_scrape():
    rate = "outcomes.conversion_rate"
    models = {"m": Model("m")}
    ago = [matured(rate, version=version, days=days) for version, days in (("", 0), ("14", 13), ("13", 15))]
    lines = [line for line in newest_metrics([psi(), *ago], models) if line.startswith(CATALOGUE[rate].exported)]
    shown = [version for version in ("", "14", "13") if any(f'model_version="{version}"' in line for line in lines)]
    assert shown == ["", "14"]
    forgotten = newest_metrics([psi(), matured(rate, days=20)], models)
    assert not [line for line in forgotten if line.startswith(CATALOGUE[rate].exported)]


def test_the_baseline_that_judges_has_a_time_and_others_have_none():
    def record(model, name, version=""):
        return BaselineRecord(model, name, "b", "c", NOW, "training.parquet", version)

    models = {"m": Model("m", baselines=(BaselineSelector("training", data="t"), BaselineSelector("month", data="u")))}
    lines = baselines([record("m", "training", "14"), record("m", "month"), record("gone", "training")], models)
    assert lines[2:] == [f'tiltmeter_baseline_timestamp_seconds{{model="m",model_version="14"}} {NOW.timestamp()}']


def reported(run_id, records_in, *, scored=0, failed=0, ingested=NOW, **more):
    numbers = {"records_in": records_in, "records_scored": scored, "records_failed": failed}
    return {
        "workspace": "",
        "job_name": "n",
        "run_id": run_id,
        "attempt": 0,
        "ingest_time": ingested,
        **numbers,
        **more,
    }


def total(counted, result):
    (line,) = [one for one in counted.lines() if f'result="{result}"' in one]
    return float(line.rpartition(" ")[2])


def test_records_of_jobs_are_counted_once_however_often_they_are_read():
    counted = JobRecords(NOW)
    known = reported("old", 1000, ingested=NOW - timedelta(days=1))
    counted.add([known, reported("a", 10, scored=8, failed=2)])
    assert [total(counted, result) for result in ("in", "out", "rejected")] == [10, 8, 2]
    counted.add([known, reported("a", 10, scored=8, failed=2), reported("b", 5, scored=5)])
    counted.add([reported("b", 5, scored=5)])  # the others are older than the horizon by now
    assert [total(counted, result) for result in ("in", "out", "rejected")] == [15, 13, 2]


def test_a_run_that_goes_on_adds_what_is_new_and_takes_nothing_back():
    counted = JobRecords(NOW)
    before = reported("long", 100, ingested=NOW - timedelta(hours=1))
    for numbers in (before, reported("long", 160), reported("long", 120), reported("long", 170)):
        counted.add([numbers])
    assert total(counted, "in") == 70


def test_tasks_of_a_run_and_runs_without_numbers_count_nothing():
    counted = JobRecords(NOW)
    counted.add([reported("a", 10, task_key="load"), reported("a", None)])
    assert total(counted, "in") == 0
