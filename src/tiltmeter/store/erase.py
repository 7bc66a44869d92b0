"""Erasing one person: rows of every table, profiles that counted them, and the older versions that still hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from tiltmeter.domain.window import Grain, window_at
from tiltmeter.store.maintenance import delete_rows, forget_old_versions, quoted
from tiltmeter.store.mentions import NAMES_AT_ONCE, clear_bodies, remove_mentioning
from tiltmeter.store.parquet_rows import RowFilter
from tiltmeter.store.schema import OUTCOMES, PREDICTIONS
from tiltmeter.store.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from tiltmeter.store.delta import DeltaLog
    from tiltmeter.store.states import DeltaProfileStates
    from tiltmeter.store.table import StoredTable

ROW_IDS = {PREDICTIONS.name: "event_id", OUTCOMES.name: "row_id"}
"""Column that names a row without naming a person."""


@dataclass(frozen=True, slots=True, eq=False)
class Reprofiling:
    """How hours of a model are profiled anew.

    Args:
        model: name.
        bins_id: cells of its profiles.
        anew: keeps the profiles of these hours (UTC starts) as their rows stand now; which hours it replaced.
    """

    model: str
    bins_id: str
    anew: Callable[[AbstractSet[datetime]], AbstractSet[datetime]]


class Unfinished(Protocol):
    """Where the hours are kept that an erasure has still to profile anew."""

    def read(self) -> Mapping[str, AbstractSet[datetime]]:
        """Model -> UTC starts."""
        ...

    def keep(self, hours: Mapping[str, AbstractSet[datetime]]) -> None:
        """Keep these instead of what was kept before."""
        ...


@dataclass(slots=True)
class Erased:
    """What was removed.

    Args:
        rows: table -> rows.
        bodies: rows of others, or of nobody, whose kept bodies named the person and were emptied.
        hours: model -> hours profiled anew.
        files: table -> data files of older versions removed.
        set_aside: damaged spool files that held the id, removed whole.
        unread: damaged spool files in which nobody can look.
    """

    rows: dict[str, int] = field(default_factory=dict)
    bodies: int = 0
    hours: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def erase_entity(
    log: DeltaLog,
    states: DeltaProfileStates,
    entities: Iterable[str],
    *,
    models: Iterable[Reprofiling],
    zone: ZoneInfo,
    damaged: Path | None = None,
    unfinished: Unfinished | None = None,
) -> Erased:
    """Remove a person; ship the spool before, so that nothing of them is still on its way.

    Args:
        log: predictions and outcomes.
        states: profiles; hours that counted the person are written anew.
        entities: the id, and its keyed hash where ids are stored hashed.
        models: whose profiles to repair.
        zone: cuts the hours.
        damaged: folder of spool files that were set aside.
        unfinished: hours of an erasure that broke off: with the rows went the knowledge which hours had counted them.

    Raises:
        StoreError: a table is away. The erasure may be repeated; what is gone stays gone.
    """
    erased = Erased()
    wanted = list(dict.fromkeys(entities))
    hours = _hours_of(log, wanted, zone)
    if unfinished is not None:
        for model, starts in unfinished.read().items():
            hours.setdefault(model, set()).update(starts)
        unfinished.keep(hours)
    for name, row_id in ROW_IDS.items():
        erased.rows[name] = sum(_delete(log.table(name), entity, row_id) for entity in wanted)
    predictions = log.table(PREDICTIONS.name)
    erased.bodies = sum(clear_bodies(predictions, entity, ROW_IDS[PREDICTIONS.name]) for entity in wanted)
    for repair in models:
        touched = repair.anew(hours.get(repair.model, set())) if hours.get(repair.model) else set()
        if touched:
            erased.hours[repair.model] = max(erased.hours.get(repair.model, 0), len(touched))
            states.drop_older_generations(touched, model=repair.model, bins_id=repair.bins_id)
    if unfinished is not None:
        unfinished.keep({})
    for table in (log.table(PREDICTIONS.name), log.table(OUTCOMES.name), states.table):
        erased.files[table.definition.name] = len(forget_old_versions(table))
    erased.set_aside, erased.unread = remove_mentioning(damaged, wanted)
    return erased


def _hours_of(log: DeltaLog, entities: list[str], zone: ZoneInfo) -> dict[str, set[datetime]]:
    """Model -> UTC starts of the hours in which the person was scored."""
    found: dict[str, set[datetime]] = {}
    snap = snapshot(log.table(PREDICTIONS.name))
    for entity in entities if snap is not None else ():
        rows = snap.rows(RowFilter({"entity_id": entity})) if snap is not None else None
        for batch in rows.batches(["model_name", "request_time"]) if rows is not None else ():
            for model, moment in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                if moment is None:  # such rows are in no profile
                    continue
                hour = window_at(moment.astimezone(UTC), Grain.HOUR, zone).start
                found.setdefault(model, set()).add(hour)
    return found


def _delete(table: StoredTable, entity: str, row_id: str) -> int:
    """Remove the rows of an id by the names of the rows: a predicate is kept in the table's log for weeks."""
    snap = snapshot(table)
    if snap is None:
        return 0
    rows = snap.rows(RowFilter({"entity_id": entity}, (row_id,))) if row_id in snap.schema.names else None
    names = [name for batch in rows.batches([row_id]) for name in batch.column(0).to_pylist()] if rows else []
    removed = 0
    for start in range(0, len(names), NAMES_AT_ONCE):
        listed = ", ".join(quoted(name) for name in names[start : start + NAMES_AT_ONCE])
        removed += delete_rows(table, f"{row_id} IN ({listed})")
    unnamed = snap.rows(RowFilter({"entity_id": entity, row_id: None} if rows else {"entity_id": entity}))
    if unnamed.count():  # rows of an import that gave them no name
        removed += delete_rows(table, f"entity_id = {quoted(entity)}")
    return removed
