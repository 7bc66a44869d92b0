"""Stored numbers in Prometheus' text format: one metric a statistic, base units, bounded labels."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from tiltmeter import __version__
from tiltmeter.domain.job_state import is_good
from tiltmeter.domain.metric import EXPORT_PREFIX, Unit
from tiltmeter.domain.model import OutcomeSettings
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.cohorts import OUTCOMES
from tiltmeter.monitors.jobs import JOB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from tiltmeter.domain.baseline import BaselineRecord
    from tiltmeter.domain.metric import Metric, MetricDeclaration, Subject
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Grain
    from tiltmeter.service.series_choice import Choice

_P_VALUES = {"drift.ks": "feature_ks_pvalue", "drift.chi2": "feature_chi2_pvalue"}
"""Exported beside the statistic: a statistic of chi-square alone says nothing without its degrees of freedom."""

_LABEL_LENGTH = 120
_LIVE_AGE = timedelta(hours=2)  # live numbers are kept by the hour


def label_value(text: str) -> str:
    """A hostile name as a label value: escaped, one line, of bounded length."""
    cut = text[:_LABEL_LENGTH]
    printable = "".join(character if character.isprintable() else "·" for character in cut)
    return printable.replace("\\", "\\\\").replace('"', '\\"')


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One line of the format, without the prefix in `name`."""
    inside = ",".join(f'{key}="{label_value(text)}"' for key, text in labels.items())
    return f"{EXPORT_PREFIX}{name}{{{inside}}} {value!r}" if inside else f"{EXPORT_PREFIX}{name} {value!r}"


def family(name: str, kind: str, meaning: str, samples: Iterable[str]) -> list[str]:
    """Help, type and samples of one metric; `name` without the prefix. Nothing where there is no sample."""
    found = list(samples)
    return [f"# HELP {EXPORT_PREFIX}{name} {meaning}", f"# TYPE {EXPORT_PREFIX}{name} {kind}", *found] if found else []


def build_info() -> list[str]:
    """Which version runs."""
    labels = {"version": __version__, "commit": installed_commit()}
    return family(
        "build_info", "gauge", "Always 1.", [sample("build_info", {k: v for k, v in labels.items() if v}, 1.0)]
    )


@cache
def installed_commit() -> str:
    """Commit that was installed; empty where the package did not come from a repository."""
    with suppress(PackageNotFoundError, ValueError):
        origin = json.loads(distribution("tiltmeter").read_text("direct_url.json") or "{}")
        return str(origin.get("vcs_info", {}).get("commit_id", ""))
    return ""


def baselines(records: Iterable[BaselineRecord], models: Mapping[str, Model]) -> list[str]:
    """Since when each model is judged by its baseline; what no model uses any more is left out."""
    stamps = [
        sample(
            "baseline_timestamp_seconds", {"model": one.model, "model_version": one.version}, one.created_at.timestamp()
        )
        for one in records
        if one.model in models and one.name == models[one.model].baselines[0].name
    ]
    return family("baseline_timestamp_seconds", "gauge", "When the baseline was frozen that judges the model.", stamps)


def current_metrics(metrics: Iterable[Metric], models: Mapping[str, Model]) -> list[Metric]:
    """The numbers that still hold, one a name, subject and grain.

    Args:
        metrics: newest number per name, subject and grain, of several the first. Left out are those without a value or
            an exported name, segments (their values are unbounded) and what a later window no longer tells (a version
            that is gone).
        models: say after how long outcomes are known.
    """
    first: dict[tuple[str, Subject, Grain], Metric] = {}
    for metric in metrics:
        if _is_exported(metric):
            first.setdefault((metric.name, metric.subject, metric.window.grain), metric)
    wanted = list(first.values())
    evaluated = _newest_ends(wanted, models)
    return [m for m in wanted if not _is_stale(m, models, evaluated[m.subject.model, "", str(m.window.grain)])]


def gauges(choice: Choice, models: Mapping[str, Model]) -> list[str]:
    """The chosen numbers, when they were judged, and how many were left out.

    Args:
        choice: of numbers that still hold.
        models: say after how long outcomes are known, and the currency of revenue.
    """
    by_metric: dict[str, list[str]] = defaultdict(list)
    tests: dict[str, list[str]] = defaultdict(list)
    for series in choice.kept:
        metric, declared = series.metric, CATALOGUE[series.metric.name]
        labels = _labels(metric, declared)
        if series.is_p_value:
            tests[metric.name].append(sample(_P_VALUES[metric.name], labels, metric.p_value or 0.0))
            continue
        value = (metric.value or 0.0) / (1000 if declared.unit is Unit.MILLISECONDS else 1)
        if declared.unit is Unit.MONEY:
            labels["currency"] = _outcomes_of(metric, models).currency if metric.subject.model in models else ""
        by_metric[metric.name].append(sample(declared.prometheus, labels, value))
    lines: list[str] = []
    for name, samples in sorted(by_metric.items()):
        exported = CATALOGUE[name].prometheus
        kind = "counter" if exported.endswith("_total") else "gauge"
        lines.extend(family(exported, kind, CATALOGUE[name].meaning, samples))
    for name, samples in sorted(tests.items()):
        meaning = (
            f"Chance of such a {CATALOGUE[name].title} without drift, before correction for the number of features."
        )
        lines.extend(family(_P_VALUES[name], "gauge", meaning, samples))
    stamps = [
        sample(
            "evaluation_timestamp_seconds",
            {"model": model, "model_version": version, "window": grain},
            moment.timestamp(),
        )
        for (model, version, grain), moment in sorted(_newest_ends([s.metric for s in choice.kept], models).items())
    ]
    lines.extend(family("evaluation_timestamp_seconds", "gauge", "End of the newest judged window.", stamps))
    return [*lines, *_left_out(choice)]


def _left_out(choice: Choice) -> list[str]:
    series = [sample("series_left_out", {}, float(choice.left_out))]
    features = [
        sample("model_features_left_out", {"model": model}, float(number)) for model, number in choice.features.items()
    ]
    return [
        *family("series_left_out", "gauge", "Series of features beyond the limits of one scrape.", series),
        *family("model_features_left_out", "gauge", "Features without a series: those that moved least.", features),
    ]


def _newest_ends(metrics: Iterable[Metric], models: Mapping[str, Model]) -> dict[tuple[str, str, str], datetime]:
    """End of the newest judged window by model, version and grain; the version "" stands for all of them."""
    ends: dict[tuple[str, str, str], datetime] = {}
    for metric in metrics:
        end = _judged_until(metric, models)
        for version in {"", metric.subject.model_version}:
            key = (metric.subject.model, version, str(metric.window.grain))
            ends[key] = max(ends.get(key, end), end)
    return ends


def _judged_until(metric: Metric, models: Mapping[str, Model]) -> datetime:
    """End of the window that was judged: a cohort of leads ends long before the day that found it mature."""
    if CATALOGUE[metric.name].monitor == OUTCOMES.name:
        return metric.window.end + _outcomes_of(metric, models).mature_after
    return metric.window.end


def _outcomes_of(metric: Metric, models: Mapping[str, Model]) -> OutcomeSettings:
    model = models.get(metric.subject.model)
    return OutcomeSettings() if model is None else model.outcomes


def _is_exported(metric: Metric) -> bool:
    declared = CATALOGUE.get(metric.name)
    return (
        declared is not None
        and bool(declared.prometheus)
        and metric.value is not None
        and metric.subject.segment_key in {"", JOB}
    )


def _is_stale(metric: Metric, models: Mapping[str, Model], newest: datetime) -> bool:
    return _judged_until(metric, models) < newest - max(2 * metric.window.length, _LIVE_AGE)


def _labels(metric: Metric, declared: MetricDeclaration) -> dict[str, str]:
    subject = metric.subject
    labels = {"model": subject.model, "model_version": subject.model_version}
    if declared.per_feature:
        labels["feature"] = subject.feature
    if subject.segment_key == JOB:
        labels["job_name"] = subject.segment_value  # `job` is Prometheus' own label of the scrape target
    return {**labels, "window": str(metric.window.grain)}


def job_runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """When each job last ran and last succeeded, how long it took, and its records.

    Args:
        runs: rows of `batch_runs` in the order of their start; rows of single tasks are left out.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    succeeded: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        if not run.get("task_key"):
            newest[run["job_name"]] = run
            if is_good(run):
                succeeded[run["job_name"]] = run
    ran = [sample("job_last_run_timestamp_seconds", {"job_name": n}, _ended(r)) for n, r in sorted(newest.items())]
    good = [
        sample("job_last_success_timestamp_seconds", {"job_name": n}, _ended(r)) for n, r in sorted(succeeded.items())
    ]
    lasted = [
        sample("job_duration_seconds", {"job_name": n}, r["run_ms"] / 1000)
        for n, r in sorted(newest.items())
        if r.get("run_ms") is not None
    ]
    records = [
        sample("job_records", {"job_name": name, "result": result}, float(run[f"records_{result}"]))
        for name, run in sorted(newest.items())
        for result in ("in", "scored", "failed")
        if run.get(f"records_{result}") is not None
    ]
    return [
        *family("job_last_run_timestamp_seconds", "gauge", "End of the job's newest run.", ran),
        *family("job_last_success_timestamp_seconds", "gauge", "End of the job's newest good run.", good),
        *family("job_duration_seconds", "gauge", "Duration of the job's newest run.", lasted),
        *family("job_records", "gauge", "Records of the job's newest run, by result.", records),
    ]


def _ended(run: Mapping[str, Any]) -> float:
    moment = run.get("end_time") or run["start_time"]
    return float(moment.timestamp())
