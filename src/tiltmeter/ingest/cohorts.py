"""Predictions meet outcomes: each lead with its last prediction before it converted, within the attribution window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.outcome import MOST_REVENUE
from tiltmeter.ingest.prediction_rows import ENTITY, LABEL, SCORE, TIME
from tiltmeter.store.parquet_rows import utc_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from tiltmeter.domain.model import OutcomeSettings

_YES = ("true", "1", "1.0", "yes", "y")
_NAMED_CURRENCIES = 5
_LONGEST_NAME = 8  # earlier releases kept whatever came as a currency
_STAMP = pa.timestamp("us", tz="UTC")


def cohort_of(
    batches: Iterable[pa.RecordBatch], outcomes: pa.Table, settings: OutcomeSettings, *, by: Sequence[str] = ()
) -> Cohort:
    """Leads with what became of them (statistics.md, section 7).

    Args:
        batches: predictions under reserved names; rows without a lead or a score are left out.
        outcomes: newest row of each outcome, known until the moment of judging.
        settings: an outcome later than `attribution` after the prediction is not its own; only amounts in `currency`,
            or without one, are revenue.
        by: columns whose values of each lead are kept: the model version, segments.

    Returns:
        One row a lead: its last prediction before it converted; where every prediction came later, the last one, and
        the lead is counted as `early`.
    """
    is_told, tables = bool(outcomes.num_rows), []
    for batch in batches:
        if {ENTITY, SCORE, TIME} <= set(batch.schema.names):
            is_told |= LABEL in batch.schema.names
            tables.append(_leads(batch, by))
    leads = pa.concat_tables(tables) if tables else None
    if leads is None or not leads.num_rows:
        empty = np.array([], dtype=float)
        return Cohort(empty, empty.astype(bool), empty, empty.astype(int))
    last = _last_before(leads, _converted_at(outcomes), len(by))
    within = pc.less_equal(pc.subtract(last["at"], last["time"]), pa.scalar(settings.attribution))
    converted = pc.or_(pc.fill_null(within, fill_value=False), last["label"])
    early = pc.less(last["at"], last["time"])
    amounts = _revenue(last, outcomes, settings.attribution, settings.currency)
    return Cohort(
        score=last["score"].to_numpy(),
        converted=converted.to_numpy(zero_copy_only=False).astype(bool),
        revenue=amounts.revenue,
        left_out=amounts.left_out,
        other_currencies=amounts.other_currencies,
        early=pc.sum(early).as_py() or 0,
        is_told=is_told,
        values={name: last[f"by{place}"].to_numpy(zero_copy_only=False) for place, name in enumerate(by)},
    )


def _leads(batch: pa.RecordBatch, by: Sequence[str]) -> pa.Table:
    label = batch.column(LABEL) if LABEL in batch.schema.names else None
    columns = {
        "lead": _text(batch.column(ENTITY)),
        "time": utc_times(batch.column(TIME)).cast(_STAMP, safe=False),
        "score": batch.column(SCORE).cast(pa.float64(), safe=False),
        "label": pa.repeat(pa.scalar(value=False), batch.num_rows) if label is None else _truth(label),
    }
    for place, name in enumerate(by):
        known = name in batch.schema.names
        column = _text(batch.column(name)) if known else pa.nulls(batch.num_rows, pa.string())
        columns[f"by{place}"] = pc.fill_null(column, "")
    return pa.table(columns).drop_null()


def _text(column: pa.Array) -> pa.Array:
    # 17.0 is the lead 17: ids with gaps come as floating numbers.
    if pa.types.is_floating(column.type):
        column = column.cast(pa.int64(), safe=False)
    return column.cast(pa.string())


def _truth(column: pa.Array) -> pa.Array:
    words = pc.utf8_lower(column.cast(pa.string()))
    return pc.fill_null(pc.is_in(words, pa.array(_YES)), fill_value=False)


def _converted_at(outcomes: pa.Table) -> pa.Table:
    """Lead -> when it first converted."""
    happened = outcomes.filter(pc.fill_null(outcomes["converted"], fill_value=False))
    found = happened.group_by("entity_id").aggregate([("outcome_time", "min")])
    return pa.table({"lead": found["entity_id"], "at": found["outcome_time_min"].cast(_STAMP)})


def _last_before(leads: pa.Table, converted: pa.Table, kept: int) -> pa.Table:
    joined = leads.join(converted, keys="lead", join_type="left outer")
    before = pc.fill_null(pc.less_equal(joined["time"], joined["at"]), fill_value=True)
    # The last row in this order is the last one before the conversion, where there is one.
    ordered = joined.append_column("before", before).sort_by([("before", "ascending"), ("time", "ascending")])
    values = [f"by{place}" for place in range(kept)]
    wanted: list[Any] = [(name, "last") for name in ("time", "score", "at", *values)]
    last = ordered.group_by("lead", use_threads=False).aggregate([*wanted, ("label", "max")])
    names = {"time_last": "time", "score_last": "score", "at_last": "at", "label_max": "label"}
    names |= {f"{name}_last": name for name in values}
    return last.rename_columns([names.get(name, name) for name in last.column_names])


@dataclass(frozen=True, slots=True, eq=False)
class _Amounts:
    """Revenue of each lead in one currency, and how many of its amounts are not in it."""

    revenue: np.ndarray
    left_out: np.ndarray
    other_currencies: tuple[str, ...]


def _revenue(last: pa.Table, outcomes: pa.Table, attribution: timedelta, currency: str) -> _Amounts:
    told = outcomes.select(["entity_id", "outcome_time", "revenue", "currency"]).filter(
        pc.is_valid(outcomes["revenue"])
    )
    numbered = last.select(["lead", "time"]).append_column("row", pa.array(np.arange(last.num_rows)))
    joined = told.join(numbered, keys="entity_id", right_keys="lead", join_type="inner")
    delay = pc.subtract(joined["outcome_time"].cast(_STAMP), joined["time"])
    mine = joined.filter(pc.less_equal(delay, pa.scalar(attribution)))
    # No amount of another currency is added up: 50,000 yen are no 50,000 euros.
    codes = pc.utf8_upper(pc.fill_null(mine["currency"], currency))
    is_own = pc.equal(codes, currency.upper())
    counts = pc.and_(is_own, pc.less_equal(pc.abs(mine["revenue"]), MOST_REVENUE)).to_numpy()
    rows, amounts = mine["row"].to_numpy(), mine["revenue"].to_numpy()
    revenue = np.zeros(last.num_rows)
    np.add.at(revenue, rows[counts], amounts[counts])
    others = pc.value_counts(codes.filter(pc.invert(is_own)))
    named = sorted(((-one["counts"].as_py(), one["values"].as_py()) for one in others), key=lambda one: one)
    return _Amounts(
        revenue,
        np.bincount(rows[~counts], minlength=last.num_rows),
        tuple(code[:_LONGEST_NAME] for _, code in named[:_NAMED_CURRENCIES]),
    )
