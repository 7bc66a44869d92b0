"""Which days and hours of stored profiles a window needs, and what a day's sum must cover to be in force."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.window import Grain
from tiltmeter.store.snapshot import WHOLE_TEXT, logged_moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.store.log_entries import AddedFile
    from tiltmeter.store.snapshot import Snapshot

HOUR, DAY = str(Grain.HOUR), str(Grain.DAY)
A_DAY = timedelta(days=1)


def of_grain(snap: Snapshot, grain: str) -> list[AddedFile]:
    """Files that hold hours, or day sums."""
    return [file for file in snap.files if file.partition.get("grain") == grain]


def rows_by_day(snap: Snapshot) -> dict[date, tuple[int, int]]:
    """Hour rows and newest generation of each UTC day.

    A compaction changes neither, an append raises the number, and an erasure, which may remove as many rows as it
    writes, raises the generation.
    """
    counted: dict[date, tuple[int, int]] = {}
    for file in of_grain(snap, HOUR):
        day = date.fromisoformat(file.partition["window_date"] or "")
        rows, generation = counted.get(day, (0, 0))
        counted[day] = rows + (file.rows or 0), max(generation, file.greatest.get("generation") or 0)
    return counted


def told_spans(file: AddedFile, model: str, bins_id: str) -> list[tuple[datetime, datetime]] | None:
    """First and last hour of a model in a file that holds one model and one set of bins, none where it is another's.

    None where the log does not say whose hours these are.
    """
    for column, value in (("model_name", model), ("bins_id", bins_id)):
        only = file.least.get(column)
        # Long texts are cut in the log.
        if not isinstance(only, str) or only != file.greatest.get(column) or len(only) >= WHOLE_TEXT:
            return None
        if only != value:
            return []
    first, last = (logged_moment(bound.get("window_start")) for bound in (file.least, file.greatest))
    return None if first is None or last is None else [(first, last)]


def days_of(start: datetime, end: datetime) -> list[date]:
    """UTC days that hold starts of hours in `[start, end)`."""
    first, last = start.astimezone(UTC).date(), (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def whole_days(start: datetime, end: datetime) -> list[date]:
    """UTC days that lie within `[start, end)` from end to end."""
    return [
        day
        for day in days_of(start, end)
        if start <= datetime.combine(day, time(), UTC) and datetime.combine(day, time(), UTC) + A_DAY <= end
    ]


def gaps(start: datetime, end: datetime, summed: Iterable[date]) -> list[tuple[datetime, datetime]]:
    """What of `[start, end)` is left beside the summed days."""
    gaps, moment = [], start
    for day in sorted(summed):
        midnight = datetime.combine(day, time(), UTC)
        if moment < midnight:
            gaps.append((moment, midnight))
        moment = midnight + A_DAY
    if moment < end:
        gaps.append((moment, end))
    return gaps
