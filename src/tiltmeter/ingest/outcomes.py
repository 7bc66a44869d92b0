"""Outcomes from files: checked row by row, then held against what is known; only what differs is written.

A second import of the same file changes nothing, also where its rows have no time: such a row is held against what is
known without it, and keeps the known time unless it says something else of the conversion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.capture.record import micros
from tiltmeter.domain.errors import TiltmeterError, UsageError
from tiltmeter.domain.outcome import checked_outcome
from tiltmeter.domain.prediction import entity_text
from tiltmeter.ingest.columns import outcome_table
from tiltmeter.ingest.private import private_entity, private_key
from tiltmeter.registry import did_you_mean
from tiltmeter.store.newest import newest
from tiltmeter.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from tiltmeter.capture.privacy import Privacy
    from tiltmeter.ports import Rows
    from tiltmeter.store.delta import DeltaLog

NAMES: dict[str, tuple[str, ...]] = {
    "entity_id": ("entity_id", "lead_id", "customer_id"),
    "time": ("outcome_time", "time", "at", "converted_at", "closed_at", "timestamp"),
    "converted": ("converted", "conversion", "is_converted"),
    "revenue": ("revenue", "amount"),
    "currency": ("currency",),
    "label": ("label", "reason"),
    "model": ("model_name", "model"),
    "outcome_id": ("outcome_id",),
}
"""Role -> column names that are taken for it without being told."""

TEXT_ROLES = ("entity_id", "outcome_id", "model", "currency", "label")
"""Roles whose columns are read as the text they are where a file states no types."""

SHOWN_PROBLEMS = 20
WRITE_ROWS = 50_000
_FACTS = ("entity_id", "model_name", "converted", "revenue", "currency", "label")
_WRITTEN = ("outcome_id", "outcome_us", *_FACTS)
_TOLD = pa.schema(
    [
        ("outcome_id", pa.string()),
        ("entity_id", pa.string()),
        ("model_name", pa.string()),
        ("outcome_us", pa.int64()),
        ("converted", pa.bool_()),
        ("revenue", pa.float64()),
        ("currency", pa.string()),
        ("label", pa.string()),
        ("is_timed", pa.bool_()),
        ("place", pa.int64()),
    ]
)
_YES = {"true", "1", "yes", "y", "t", "1.0"}
_NO = {"false", "0", "no", "n", "f", "0.0"}


@dataclass(slots=True)
class ImportedOutcomes:
    """What an import did; `read` is the sum of the four counts behind it.

    Args:
        read: rows of the file.
        written: rows that were new or corrected something.
        unchanged: rows that were known as they are.
        repeated: rows that a later row of the file corrects.
        refused: rows that make no sense.
        problems: of the first of them, "row 17: …".
        columns: role -> column it was read from.
    """

    read: int = 0
    written: int = 0
    unchanged: int = 0
    repeated: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How rows of a file are read.

    Args:
        zone: of times without one.
        columns: role -> column, where the usual names do not fit.
        model: for rows that name none.
        privacy: rules by model; they hold for a file as for every other source.
    """

    zone: ZoneInfo
    columns: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    privacy: Mapping[str, Privacy] = field(default_factory=dict)


def import_outcomes(rows: Rows, log: DeltaLog, *, now: datetime, options: ImportOptions) -> ImportedOutcomes:
    """Bring outcomes of a file into the table.

    Args:
        rows: of the file.
        log: the tables.
        now: time of the import, aware UTC.
        options: how rows are read.

    Raises:
        UsageError: a named column does not exist, or there is none for the lead.
        StoreError: the table is away; what was written until then is known to the next try.
    """
    report = ImportedOutcomes(columns=outcome_columns(rows.schema.names, options.columns))
    told = _told(rows, report, options, now)
    last = newest(told, ["outcome_id"], ["place"])
    report.repeated = told.num_rows - last.num_rows
    fresh = _corrections(last, log.known_outcomes(last["outcome_id"].combine_chunks()), now)
    report.written, report.unchanged = fresh.num_rows, last.num_rows - fresh.num_rows
    for start in range(0, fresh.num_rows, WRITE_ROWS):
        lot = fresh.slice(start, WRITE_ROWS).to_pylist()
        log.append(OUTCOMES.name, outcome_table(lot, ingest_us=micros(now)))
    return report


def outcome_columns(names: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Role -> column of a file with these columns.

    Args:
        names: columns of the file.
        given: role -> column, where the usual names do not fit.

    Raises:
        UsageError: a named column does not exist, or there is none for the lead or for what became of it.
    """
    for role, column in given.items():
        if column not in names:
            raise UsageError(
                f'the file has no column "{column}" for {role}', hint=did_you_mean(column, names) or ", ".join(names)
            )
    found = {role: next((n for n in usual if n in names), "") for role, usual in NAMES.items()}
    found = {role: column for role, column in {**found, **given}.items() if column}
    if "entity_id" not in found:
        raise UsageError(
            "no column names the lead", hint=f"--entity-column COLUMN; the file has {', '.join(names[:20])}"
        )
    if not {"converted", "revenue", "label"} & set(found):
        raise UsageError("no column tells what became of the lead", hint="converted, revenue or label")
    return found


def _told(rows: Rows, report: ImportedOutcomes, options: ImportOptions, now: datetime) -> pa.Table:
    """What the file says, as rows of `_TOLD` in its order; what makes no sense is counted and named."""
    wanted = list(dict.fromkeys(report.columns.values()))
    whole = {column for column in _id_columns(report.columns) if _is_whole(rows, column)}
    lots, lot = [], []
    for batch in rows.batches(wanted):
        for row in batch.to_pylist():
            report.read += 1
            row |= {column: row[column].split(".")[0] for column in whole if row[column]}
            values = {role: row.get(column) for role, column in report.columns.items()}
            try:
                lot.append(_row(values, options, now) | {"place": report.read})
            except (TiltmeterError, ValueError, OverflowError) as error:
                report.refused += 1
                if len(report.problems) < SHOWN_PROBLEMS:
                    report.problems.append(f"row {report.read}: {error}")
            if len(lot) >= WRITE_ROWS:
                lots.append(pa.Table.from_pylist(lot, _TOLD))
                lot = []
    return pa.concat_tables([*lots, pa.Table.from_pylist(lot, _TOLD)])


def _id_columns(roles: Mapping[str, str]) -> set[str]:
    return {roles[role] for role in ("entity_id", "outcome_id") if role in roles}


def _is_whole(rows: Rows, column: str) -> bool:
    """Whether every id of a text column is written as 17.0: as data frames write whole numbers with gaps."""
    kind = rows.schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    written = [pc.match_substring_regex(batch[0], r"^[0-9]+\.0$") for batch in rows.batches([column])]
    return all(pc.all(one, min_count=0).as_py() for one in written)


def _row(values: Mapping[str, Any], options: ImportOptions, now: datetime) -> dict[str, Any]:
    told = values.get("time")
    is_timed = told not in (None, "")
    outcome = checked_outcome(
        entity_id=values["entity_id"],
        time=_moment(told, options.zone) if is_timed else now,
        outcome_id=values.get("outcome_id"),
        model=entity_text(values.get("model")) or options.model,
        converted=_truth(values.get("converted")),
        revenue=_number(values.get("revenue")),
        currency=values.get("currency"),
        label=values.get("label"),
    )
    kept = private_entity(outcome.entity_id, outcome.model, options.privacy)
    if kept is None:
        raise UsageError("privacy rules drop entity_id, so no outcome can meet its prediction", hint="hash it instead")
    return {
        "outcome_id": private_key(outcome.outcome_id, outcome.entity_id, kept, model=outcome.model, kind=outcome.kind),
        "entity_id": kept,
        "model_name": outcome.model,
        "outcome_us": micros(outcome.time),
        "converted": outcome.converted,
        "revenue": outcome.revenue,
        "currency": outcome.currency,
        "label": outcome.label,
        "is_timed": is_timed,
    }


def _moment(value: Any, zone: ZoneInfo) -> datetime:  # noqa: ANN401 - a cell of a file
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f'"{value}" is no time; write 2026-10-01T12:00:00+02:00') from error
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError(f'"{value}" is no time; write 2026-10-01T12:00:00+02:00')  # noqa: TRY004 - one kind of refusal
    return value if value.tzinfo else value.replace(tzinfo=zone)


def _truth(value: Any) -> bool | None:  # noqa: ANN401 - a cell of a file
    if value is None or value == "":
        return None
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise ValueError(f'converted is "{value}"; write true or false')


def _number(value: Any) -> float | None:  # noqa: ANN401 - a cell of a file
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f'revenue is "{value}", not a number') from error


def _corrections(told: pa.Table, known: pa.Table, now: datetime) -> pa.Table:
    """Rows that say something new, in the order of the file, with `recorded_us`."""
    before = pa.table(
        {
            "outcome_id": known["outcome_id"],
            **{f"known_{name}": known[name] for name in _FACTS},
            "known_us": known["outcome_time"].cast(pa.int64()),
            "known_recorded": known["recorded_time"].cast(pa.int64()),
        }
    )
    rows = told.join(before, "outcome_id", join_type="left outer").sort_by("place")
    is_known = pc.is_valid(rows["known_us"])
    as_told = reduce(pc.and_, (_equal(rows[name], rows[f"known_{name}"]) for name in _FACTS))
    # Without a time of its own a row keeps the known one: the lead did not convert again because it was told again.
    keeps = pc.and_(pc.and_(is_known, pc.invert(rows["is_timed"])), _equal(rows["converted"], rows["known_converted"]))
    moments = pc.if_else(keeps, rows["known_us"], rows["outcome_us"])
    is_same = pc.and_(pc.and_(is_known, as_told), _equal(moments, rows["known_us"]))
    # After a clock was set back a correction still has to come after what it corrects.
    recorded = pc.max_element_wise(pc.add(rows["known_recorded"], 1), pa.scalar(micros(now)))
    place = rows.schema.get_field_index("outcome_us")
    corrected = rows.set_column(place, "outcome_us", moments).append_column("recorded_us", recorded)
    return corrected.filter(pc.invert(is_same)).select([*_WRITTEN, "recorded_us"])


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether two columns say the same; nothing is the same as nothing."""
    neither = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(pc.fill_null(pc.equal(one, other), fill_value=False), neither)
