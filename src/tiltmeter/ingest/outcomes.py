"""Outcomes from files: checked row by row, written once. A second import of the same file changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from tiltmeter.capture.record import micros
from tiltmeter.domain.errors import TiltmeterError, UsageError
from tiltmeter.domain.outcome import Outcome, checked_outcome
from tiltmeter.ingest.columns import outcome_table
from tiltmeter.registry import did_you_mean
from tiltmeter.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

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

SHOWN_PROBLEMS = 20
WRITE_ROWS = 50_000
_YES = {"true", "1", "yes", "y", "t", "1.0"}
_NO = {"false", "0", "no", "n", "f", "0.0"}


@dataclass(slots=True)
class ImportedOutcomes:
    """What an import did.

    Args:
        read: rows of the file.
        written: rows that were new or corrected something.
        unchanged: rows that were known as they are.
        refused: rows that make no sense.
        problems: of the first of them, "row 17: …".
        columns: role -> column it was read from.
    """

    read: int = 0
    written: int = 0
    unchanged: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)


def import_outcomes(
    rows: Rows,
    log: DeltaLog,
    *,
    now: datetime,
    zone: ZoneInfo,
    columns: Mapping[str, str] | None = None,
    model: str | None = None,
) -> ImportedOutcomes:
    """Bring outcomes of a file into the table.

    Args:
        rows: of the file.
        log: the tables.
        now: time of the import, aware UTC; corrections are ordered by it.
        zone: of times without one.
        columns: role -> column, where the usual names do not fit.
        model: for rows that name none.

    Raises:
        UsageError: a named column does not exist, or there is none for the lead.
        StoreError: the table is away.
    """
    report = ImportedOutcomes(columns=_roles(rows.schema.names, columns or {}))
    known = _known(log, now)
    waiting: list[dict[str, Any]] = []
    for outcome in _checked(rows, report, zone=zone, model=model, now=now):
        if known.get(outcome.outcome_id) == _facts(outcome):
            report.unchanged += 1
            continue
        known[outcome.outcome_id] = _facts(outcome)
        waiting.append(_row(outcome, now))
        report.written += 1
        if len(waiting) >= WRITE_ROWS:
            log.append(OUTCOMES.name, outcome_table(waiting, ingest_us=micros(now)))
            waiting.clear()
    if waiting:
        log.append(OUTCOMES.name, outcome_table(waiting, ingest_us=micros(now)))
    return report


def _roles(names: list[str], given: Mapping[str, str]) -> dict[str, str]:
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


def _checked(
    rows: Rows, report: ImportedOutcomes, *, zone: ZoneInfo, model: str | None, now: datetime
) -> Iterator[Outcome]:
    wanted = list(dict.fromkeys(report.columns.values()))
    for batch in rows.batches(wanted):
        for row in batch.to_pylist():
            report.read += 1
            values = {role: row.get(column) for role, column in report.columns.items()}
            try:
                yield _outcome(values, zone=zone, model=model, now=now)
            except (TiltmeterError, ValueError) as error:
                report.refused += 1
                if len(report.problems) < SHOWN_PROBLEMS:
                    report.problems.append(f"row {report.read}: {error}")


def _outcome(values: Mapping[str, Any], *, zone: ZoneInfo, model: str | None, now: datetime) -> Outcome:
    told = values.get("time")
    return checked_outcome(
        entity_id=values["entity_id"],
        time=_moment(told, zone) if told not in (None, "") else now,
        outcome_id=_text(values.get("outcome_id")),
        model=_text(values.get("model")) or model,
        converted=_truth(values.get("converted")),
        revenue=_number(values.get("revenue")),
        currency=_text(values.get("currency")),
        label=_text(values.get("label")),
    )


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
    return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)


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


def _text(value: Any) -> str | None:  # noqa: ANN401 - a cell of a file
    if value is None or value == "":
        return None
    # Identifiers that a reader took for numbers: 17.0 is the outcome 17.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _known(log: DeltaLog, now: datetime) -> dict[str, tuple[Any, ...]]:
    stored = log.all_outcomes(now)
    names = ("entity_id", "model_name", "outcome_time", "converted", "revenue", "currency", "label")
    columns = [stored[name].to_pylist() for name in names]
    return dict(zip(stored["outcome_id"].to_pylist(), zip(*columns, strict=True), strict=True))


def _facts(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.entity_id,
        outcome.model,
        outcome.time,
        outcome.converted,
        outcome.revenue,
        outcome.currency,
        outcome.label,
    )


def _row(outcome: Outcome, now: datetime) -> dict[str, Any]:
    return {
        "outcome_id": outcome.outcome_id,
        "entity_id": outcome.entity_id,
        "model_name": outcome.model,
        "outcome_us": micros(outcome.time),
        "recorded_us": micros(now),
        "converted": outcome.converted,
        "revenue": outcome.revenue,
        "currency": outcome.currency,
        "label": outcome.label,
    }
