"""Numbers of a run: written in bulk, read by subject and time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import and_, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tiltmeter import __version__
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.window import Grain, Window
from tiltmeter.state.tables import (
    METRIC_POINTS,
    METRIC_SERIES,
    METRIC_SOURCES,
    RUNS,
    from_micros,
    to_micros,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Insert, Select, Table

    from tiltmeter.domain.run import Run
    from tiltmeter.ports import MetricQuery

SeriesKey = tuple[str, str, str, str, str, str, str]
"""Grain, model, metric, version, segment key, segment value, feature."""

SourceKey = tuple[str, str]
"""Baseline and bins."""

_SERIES_COLUMNS = tuple(METRIC_SERIES.c)[1:]
_BATCH = 200  # rows a look-up statement; SQLite's least limit of parameters is 999


def upsert(connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, replacing every other column where the keys exist already."""
    if rows:
        connection.execute(_upsert(connection.dialect.name, table, tuple(keys), tuple(rows[0])), rows)


@cache
def _upsert(dialect: str, table: Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> Insert:
    # Built once: putting a statement together takes longer than SQLite takes to run it.
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    found: Insert = statement.on_conflict_do_update(index_elements=list(keys), set_=changed)
    return found


_RUN_KEY = ("monitor", "model", "grain", "window_start", "window_end")
_FOUND_RUN = select(RUNS.c.id, RUNS.c.source_version).where(*(RUNS.c[name] == bindparam(name) for name in _RUN_KEY))
_NEW_RUN = insert(RUNS).returning(RUNS.c.id)


def begin_run(connection: Connection, run: Run) -> int | None:
    """Id of the run's row, None when the same or a newer source version was committed for its window already."""
    key = {
        "monitor": run.monitor,
        "model": run.model,
        "grain": run.window.grain.value,
        "window_start": to_micros(run.window.start),
        "window_end": to_micros(run.window.end),
    }
    found = connection.execute(_FOUND_RUN, key).one_or_none()
    moment = to_micros(run.evaluated_at)
    if found is None:
        row = {**key, "source_version": run.source_version, "evaluated_at": moment, "repeats": 0}
        return int(connection.execute(_NEW_RUN, row).scalar_one())
    if run.source_version is None or (found.source_version is not None and run.source_version <= found.source_version):
        return None
    connection.execute(
        update(RUNS)
        .where(RUNS.c.id == found.id)
        .values(source_version=run.source_version, evaluated_at=moment, repeats=RUNS.c.repeats + 1)
    )
    connection.execute(delete(METRIC_POINTS).where(METRIC_POINTS.c.run_id == found.id))
    return int(found.id)


def write_metrics(
    connection: Connection,
    run_id: int,
    metrics: Sequence[Metric],
    *,
    series: MutableMapping[SeriesKey, int],
    sources: MutableMapping[SourceKey, int],
) -> None:
    """Write the numbers of a run.

    Args:
        connection: within a writing transaction.
        run_id: from `begin_run`.
        metrics: any number; a subject that occurs twice keeps the last.
        series: ids looked up before, to spare doing it again; those looked up now are added.
        sources: likewise.
    """
    keys = [_series_key(metric) for metric in metrics]
    series.update(_series_ids(connection, {key for key in keys if key not in series}))
    origins = {(metric.baseline_id, metric.bins_id) for metric in metrics}
    sources.update(_source_ids(connection, {pair for pair in origins if pair not in sources}))
    points = {}
    for metric, key in zip(metrics, keys, strict=True):
        row = _point(metric, run_id, series[key], sources[metric.baseline_id, metric.bins_id])
        points[row["series_id"], row["window_end"], row["window_start"]] = row
    # In the order of the primary key, so that the tree is filled from left to right.
    rows = [points[key] for key in sorted(points)]
    upsert(connection, METRIC_POINTS, ("series_id", "window_end", "window_start"), rows)


def _series_key(metric: Metric) -> SeriesKey:
    subject = metric.subject
    return (
        metric.window.grain.value,
        subject.model,
        metric.name,
        subject.model_version,
        subject.segment_key,
        subject.segment_value,
        subject.feature,
    )


def _series_ids(connection: Connection, keys: Iterable[SeriesKey]) -> dict[SeriesKey, int]:
    wanted = set(keys)
    if not wanted:
        return {}
    found = _stored_series(connection, wanted)
    absent = sorted(wanted - found.keys())
    if absent:
        names = [column.name for column in _SERIES_COLUMNS]
        connection.execute(insert(METRIC_SERIES), [dict(zip(names, key, strict=True)) for key in absent])
        found |= _stored_series(connection, set(absent))
    return found


def _stored_series(connection: Connection, wanted: set[SeriesKey]) -> dict[SeriesKey, int]:
    # By model and metric: a window brings every subject of the few metrics it holds.
    pairs = sorted({(key[1], key[2]) for key in wanted})
    found = {}
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        models, names = {model for model, _ in part}, {name for _, name in part}
        rows = connection.execute(
            select(METRIC_SERIES.c.id, *_SERIES_COLUMNS).where(
                METRIC_SERIES.c.model_name.in_(models), METRIC_SERIES.c.metric.in_(names)
            )
        )
        found.update({(r[1], r[2], r[3], r[4], r[5], r[6], r[7]): int(r[0]) for r in rows})
    return {key: found[key] for key in wanted if key in found}


def _source_ids(connection: Connection, pairs: set[SourceKey]) -> dict[SourceKey, int]:
    table, ids = METRIC_SOURCES, {}
    for baseline_id, bins_id in pairs:
        row = {"baseline_id": baseline_id, "bins_id": bins_id, "code_version": __version__}
        found = connection.execute(
            select(table.c.id).where(*(table.c[name] == value for name, value in row.items()))
        ).scalar_one_or_none()
        if found is None:
            found = connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
        ids[baseline_id, bins_id] = int(found)
    return ids


def _point(metric: Metric, run_id: int, series_id: int, source_id: int) -> dict[str, Any]:
    return {
        "series_id": series_id,
        "window_end": to_micros(metric.window.end),
        "window_start": to_micros(metric.window.start),
        "run_id": run_id,
        "source_id": source_id,
        "source_version": metric.source_version,
        "status": metric.status.value,
        "value": metric.value,
        "lower": metric.lower,
        "upper": metric.upper,
        "p_value": metric.p_value,
        "q_value": metric.q_value,
        "n_reference": metric.n_reference,
        "n_current": metric.n_current,
        "computed_at": None if metric.computed_at is None else to_micros(metric.computed_at),
        "why_missing": metric.why_missing or None,
        "details": msgspec.json.encode(metric.details).decode() if metric.details else None,
    }


def read_metrics(connection: Connection, query: MetricQuery) -> list[Metric]:
    """Matching numbers, ordered by window start, metric and subject."""
    rows = connection.execute(_newest(query) if query.newest_only else _selected(query)).all()
    found = _metrics_of(rows)
    return sorted(found, key=lambda metric: (metric.window.start, metric.name, metric.subject, metric.window.end))


def count_metrics(connection: Connection, query: MetricQuery) -> int:
    """How many numbers match."""
    found = (
        select(func.count())
        .select_from(METRIC_POINTS)
        .join(METRIC_SERIES, METRIC_SERIES.c.id == METRIC_POINTS.c.series_id)
    )
    return int(connection.execute(found.where(*_conditions(query))).scalar_one())


def _conditions(query: MetricQuery) -> list[Any]:
    return [*_of_series(query), *_of_points(query)]


def _of_series(query: MetricQuery) -> list[Any]:
    series = METRIC_SERIES.c
    equal = [
        (series.model_name, query.model),
        (series.metric, query.metric),
        (series.grain, query.grain.value if query.grain else None),
        (series.model_version, query.version),
        (series.feature, query.feature),
        (series.segment_key, query.segment[0] if query.segment else None),
        (series.segment_value, query.segment[1] if query.segment else None),
    ]
    conditions: list[Any] = [column == value for column, value in equal if value is not None]
    if query.prefix is not None:
        conditions.append(series.metric.startswith(query.prefix, autoescape=True))
    return conditions


def _of_points(query: MetricQuery) -> list[Any]:
    points, conditions = METRIC_POINTS.c, []
    if query.since is not None:
        conditions.append(points.window_end > to_micros(query.since))
    if query.until is not None:
        conditions.append(points.window_end <= to_micros(query.until))
    return conditions


_READ = (
    METRIC_POINTS.c.window_start, METRIC_POINTS.c.window_end, METRIC_SERIES.c.grain, METRIC_SERIES.c.model_name,
    METRIC_SERIES.c.model_version, METRIC_SERIES.c.feature, METRIC_SERIES.c.segment_key, METRIC_SERIES.c.segment_value,
    METRIC_SERIES.c.metric, METRIC_POINTS.c.value, METRIC_POINTS.c.status, METRIC_POINTS.c.why_missing,
    METRIC_POINTS.c.lower, METRIC_POINTS.c.upper, METRIC_POINTS.c.p_value, METRIC_POINTS.c.q_value,
    METRIC_POINTS.c.n_reference, METRIC_POINTS.c.n_current, METRIC_SOURCES.c.baseline_id, METRIC_SOURCES.c.bins_id,
    METRIC_POINTS.c.source_version, METRIC_POINTS.c.computed_at, METRIC_POINTS.c.details,
)  # fmt: skip
"""What is read of a number, in the order in which `_metrics_of` takes it apart."""


def _selected(query: MetricQuery) -> Select[Any]:
    return (
        select(*_READ)
        .select_from(METRIC_POINTS)
        .join(METRIC_SERIES, METRIC_SERIES.c.id == METRIC_POINTS.c.series_id)
        .join(METRIC_SOURCES, METRIC_SOURCES.c.id == METRIC_POINTS.c.source_id)
        .where(*_conditions(query))
    )


def _newest(query: MetricQuery) -> Select[Any]:
    # One look at the end of each series in the primary key: grouping would read every number ever stored.
    points, series = METRIC_POINTS.c, METRIC_SERIES.c
    end = (
        select(func.max(points.window_end))
        .where(points.series_id == series.id, *_of_points(query))
        .correlate(METRIC_SERIES)
        .scalar_subquery()
    )
    ends = select(series.id.label("series_id"), end.label("newest_end")).where(*_of_series(query))
    newest = ends.cte("newest").prefix_with("MATERIALIZED")  # else SQLite asks for the end once per stored number
    return _selected(query).join(
        newest, and_(newest.c.series_id == points.series_id, newest.c.newest_end == points.window_end)
    )


def _metrics_of(rows: Iterable[Any]) -> list[Metric]:
    """Rows of `_READ` as metrics. Three months of hours are tens of thousands: windows and subjects are made once."""
    windows: dict[tuple[Any, ...], Window] = {}
    subjects: dict[tuple[Any, ...], Subject] = {}
    found = []
    for row in rows:
        span, about, (metric, value, status, why, lower, upper, p, q, *others) = row[:3], row[3:8], row[8:]
        window, subject = windows.get(span), subjects.get(about)
        if window is None:
            window = windows[span] = Window(from_micros(span[0]), from_micros(span[1]), Grain(span[2]))
        if subject is None:
            subject = subjects[about] = Subject(*about)
        reference, current, baseline_id, bins_id, source_version, computed, details = others
        computed_at = None if computed is None else from_micros(computed)
        facts = msgspec.json.decode(details) if details else {}
        found.append(
            Metric(
                metric, subject, window, value, _STATUSES[status], why or "", lower, upper, p, q, reference, current,
                baseline_id, bins_id, source_version, computed_at, facts,
            )
        )  # fmt: skip
    return found


_STATUSES = {status.value: status for status in Status}


def forget_metrics(connection: Connection, grain: Grain, before: datetime) -> int:
    """Delete numbers and runs of a grain whose windows ended before; the number of numbers deleted."""
    old = select(RUNS.c.id).where(RUNS.c.grain == grain.value, RUNS.c.window_end < to_micros(before))
    gone = connection.execute(delete(METRIC_POINTS).where(METRIC_POINTS.c.run_id.in_(old)))
    connection.execute(delete(RUNS).where(RUNS.c.grain == grain.value, RUNS.c.window_end < to_micros(before)))
    return gone.rowcount
