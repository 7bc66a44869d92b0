"""The history as Arrow: rows of the `predictions` and `outcomes` tables, the training data set."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.demo.columns import to_arrow
from tiltmeter.demo.scoring import THRESHOLD
from tiltmeter.demo.world import CURRENCY, JOB_NAME, MODEL_NAME, Period, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.demo.history import History, Scored
    from tiltmeter.demo.scoring import LeadModel
    from tiltmeter.demo.world import Leads

_MOMENT = pa.timestamp("us", tz="UTC")
EXCEPTIONS = {500: "ModelTimeout", 422: "RequestValidationError"}
"""Class of the exception behind an answer, by its status."""

_METHOD = "POST"


def prediction_rows(history: History) -> pa.Table:
    """All predictions in order of time, with request-level columns and `f_` columns.

    Batch rows have no route, status or duration; failed requests have no prediction.
    """
    scored, seed = history.scored, history.seed
    n = len(scored)
    is_api = scored.run < 0
    leader_ids = _ids("req", seed, scored.leader)
    columns: dict[str, pa.Array] = {
        "event_id": _ids("evt", seed, np.arange(n)),
        "request_id": pc.if_else(pa.array(is_api), leader_ids, pa.scalar(None, pa.string())),
        "request_time": pa.array(scored.time).cast(_MOMENT),
        "source": pc.if_else(pa.array(is_api), "api", "batch"),
        "model_name": _same(MODEL_NAME, n),
        "model_version": to_arrow(scored.version),
        "entity_id": _ids("lead", None, scored.number),
        "prediction": pa.array(scored.prediction, from_pandas=True),
        "threshold": pa.array(np.full(n, THRESHOLD)),
        "status_code": pa.array(scored.status, mask=~is_api),
        "execution_duration_ms": pa.array(scored.latency_ms, from_pandas=True),
        "http_route": pc.utf8_slice_codeunits(to_arrow(scored.route), len(_METHOD) + 1),
        "http_method": pc.if_else(pa.array(is_api), _METHOD, pa.scalar(None, pa.string())),
        "error_type": _error_types(scored),
        "job_id": pc.if_else(pa.array(is_api), pa.scalar(None, pa.string()), JOB_NAME),
        "run_id": pc.if_else(pa.array(is_api), pa.scalar(None, pa.string()), _ids(JOB_NAME, None, scored.run)),
        "record_index": pa.array(scored.record, mask=scored.record < 0),
    }
    columns.update({f"f_{name}": to_arrow(column) for name, column in scored.columns.items()})
    return pa.table(columns)


def days_of(table: pa.Table, period: Period) -> Iterator[tuple[datetime, pa.Table]]:
    """The rows cut at UTC midnights, in order: day and its rows."""
    times = np.asarray(table["request_time"].cast(pa.int64()))
    day = period.start
    while day < period.end:
        until = day + timedelta(days=1)
        first, last = np.searchsorted(times, [microseconds(day), microseconds(until)])
        yield day, table.slice(int(first), int(last - first))
        day = until


def outcome_rows(leads: Leads, until: datetime) -> pa.Table:
    """Conversions known at a moment, in order of their time."""
    time = leads.time + leads.delay
    known = np.flatnonzero(leads.converts & (time < microseconds(until)))
    return _outcomes(leads, known[np.argsort(time[known], kind="stable")])


def pending_outcomes(leads: Leads, since: datetime) -> pa.Table:
    """Conversions of known leads that are still to come, in order of their time."""
    time = leads.time + leads.delay
    pending = np.flatnonzero(leads.converts & (time >= microseconds(since)))
    return _outcomes(leads, pending[np.argsort(time[pending], kind="stable")])


def _outcomes(leads: Leads, rows: np.ndarray) -> pa.Table:
    n = rows.size
    return pa.table(
        {
            "outcome_id": _ids("outcome", None, leads.number[rows]),
            "entity_id": _ids("lead", None, leads.number[rows]),
            "model_name": _same(MODEL_NAME, n),
            "outcome_time": pa.array(leads.time[rows] + leads.delay[rows]).cast(_MOMENT),
            "converted": pa.array(np.ones(n, np.bool_)),
            "revenue": pa.array(leads.revenue[rows]),
            "currency": _same(CURRENCY, n),
        }
    )


def entity_ids(leads: Leads) -> pa.Array:
    """Ids of the leads, as the CRM writes them."""
    return _ids("lead", None, leads.number)


def reference_rows(leads: Leads, model: LeadModel) -> pa.Table:
    """The data set the model is judged against: features, entity id and the model's own score."""
    columns = {"entity_id": entity_ids(leads), "prediction": pa.array(model.score(leads.columns))}
    return pa.table(columns | {name: to_arrow(column) for name, column in leads.columns.items()})


def _ids(word: str, seed: int | None, numbers: np.ndarray) -> pa.Array:
    texts = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 8, "0")
    return pc.binary_join_element_wise(word if seed is None else f"{word}-{seed}", texts, "-")


def _same(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), n)


def _error_types(scored: Scored) -> pa.Array:
    names = pa.array([None, *EXCEPTIONS.values()], pa.string())
    position = np.zeros(len(scored), dtype=np.int32)
    for place, status in enumerate(EXCEPTIONS, start=1):
        position[scored.status == status] = place
    return names.take(pa.array(position))
