"""Stored numbers in Prometheus' text format: one metric a statistic, base units, bounded labels."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Unit
from tiltmeter.monitors.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiltmeter.domain.metric import Metric

PREFIX = "tiltmeter_"
MAX_SERIES = 10_000
"""Series of one scrape at most; what is beyond is counted, not sent (reliability.md, S10)."""

_LABEL_LENGTH = 120


def label_value(text: str) -> str:
    """A hostile name as a label value: escaped, one line, of bounded length."""
    cut = text[:_LABEL_LENGTH]
    printable = "".join(character if character.isprintable() else "·" for character in cut)
    return printable.replace("\\", "\\\\").replace('"', '\\"')


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One line of the format."""
    inside = ",".join(f'{key}="{label_value(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}"


def family(name: str, kind: str, meaning: str, samples: Iterable[str]) -> list[str]:
    """Help, type and samples of one metric."""
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *samples]


def newest_metrics(metrics: Iterable[Metric]) -> list[str]:
    """Gauges of the newest stored numbers with the time they were computed.

    Args:
        metrics: newest number per name and subject; those without a value or an exported name are left out.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    evaluated: dict[tuple[str, str], float] = {}
    series = left_out = 0
    for metric in metrics:
        declared = CATALOGUE.get(metric.name)
        if declared is None or not declared.prometheus or metric.value is None or metric.subject.segment_key:
            continue
        if series >= MAX_SERIES:
            left_out += 1
            continue
        series += 1
        labels = {"model": metric.subject.model, "model_version": metric.subject.model_version}
        if declared.per_feature:
            labels["feature"] = metric.subject.feature
        labels["window"] = str(metric.window.grain)
        name = PREFIX + declared.prometheus
        value = metric.value / 1000 if declared.unit is Unit.MILLISECONDS else metric.value
        by_name[name.replace("_milliseconds", "_seconds")].append(
            sample(name.replace("_milliseconds", "_seconds"), labels, value)
        )
        key = (metric.subject.model, str(metric.window.grain))
        evaluated[key] = max(evaluated.get(key, 0.0), metric.window.end.timestamp())
    lines: list[str] = []
    meanings = {PREFIX + d.prometheus.replace("_milliseconds", "_seconds"): d.meaning for d in CATALOGUE.values()}
    for name in sorted(by_name):
        lines.extend(family(name, "gauge", meanings[name], by_name[name]))
    stamps = [
        sample(f"{PREFIX}evaluation_timestamp_seconds", {"model": model, "window": grain}, moment)
        for (model, grain), moment in sorted(evaluated.items())
    ]
    lines.extend(family(f"{PREFIX}evaluation_timestamp_seconds", "gauge", "End of the newest judged window.", stamps))
    lines.extend(
        family(f"{PREFIX}series_left_out", "gauge", "Series beyond the limit.", [f"{PREFIX}series_left_out {left_out}"])
    )
    return lines
