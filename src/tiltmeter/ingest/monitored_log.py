"""The log as monitors see it: captured predictions and tables of others under the same reserved names."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.errors import RowsRewritten
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.cohorts import cohort_of
from tiltmeter.ingest.prediction_rows import ENTITY, LABEL, SCORE, TIME, VERSION, captured, foreign
from tiltmeter.store.foreign import span_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiltmeter.domain.cohort import Cohort
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ports import Clock, Rows, StoredLog

_A_DAY = timedelta(days=1)
_SETTLED = timedelta(minutes=10)
"""The shipper writes traffic every minute: a day that ended this long ago gets no more of it."""


_KEPT_DAYS = 35
"""Four weeks back for "usual traffic", and the days in between."""


@dataclass(frozen=True, slots=True)
class _Day:
    """Traffic of a UTC day as it was at a version of the table."""

    version: int | None
    is_final: bool
    starts: list[datetime]
    states: list[TrafficState]


@dataclass(slots=True, eq=False)
class MonitoredLog:
    """A PredictionLog whose rows carry reserved names, with traffic of past days kept in memory.

    Args:
        inner: the Delta tables.
        clock: decides which days are over.
        live: states of the last minutes that are not in the table yet.
        begins: where the history of a table that is read in place begins; rows before it are left alone.
    """

    inner: StoredLog
    clock: Clock
    live: Callable[[], list[TrafficState]] | None = None
    begins: Callable[[Model], datetime | None] = lambda _: None
    _firsts: dict[str, datetime] = field(default_factory=dict)
    _days: dict[tuple[str, datetime], _Day] = field(default_factory=dict)
    _versions: dict[str, tuple[datetime, int | None]] = field(default_factory=dict)
    _runs: dict[datetime, tuple[int | None, list[dict[str, Any]]]] = field(default_factory=dict)

    def version(self, name: str) -> int | None:
        """As the port; asked once for every moment of the clock."""
        now = self.clock.now()
        kept = self._versions.get(name)
        if kept is None or kept[0] != now:
            kept = self._versions[name] = (now, self.inner.version(name))
        return kept[1]

    def new_rows(self, model: Model, since: int | None, begin: datetime | None = None) -> Rows:
        """As the port, renamed; without rows before the configured history."""
        begin = begin or self.begins(model)
        try:
            return self._named(self.inner.new_rows(model, since, begin), model)
        except RowsRewritten as rewritten:
            rewritten.span = _within(rewritten.span, begin)
            raise

    def rows(self, model: Model, window: Window) -> Rows:
        """As the port, renamed."""
        return self._named(self.inner.rows(model, window), model)

    def rows_at(self, model: Model, window: Window, version: int) -> Rows | None:
        """As the port, renamed."""
        rows = self.inner.rows_at(model, window, version)
        return None if rows is None else self._named(rows, model)

    def sample(
        self, model: str, window: Window, filters: Mapping[str, object], limit: int = 20
    ) -> list[dict[str, Any]]:
        """As the port."""
        return self.inner.sample(model, window, filters, limit)

    def outcomes(self, model: str, until: datetime) -> Any:  # noqa: ANN401 - a pyarrow.Table, as in the port
        """As the port."""
        return self.inner.outcomes(model, until)

    def batch_runs(self, since: datetime) -> list[dict[str, Any]]:
        """As the port; read again only when the table has a new version."""
        day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        version = self.version("batch_runs")
        kept = self._runs.get(day)
        if kept is None or kept[0] != version:
            self._runs = {day: (version, self.inner.batch_runs(day))}
        return [run for run in self._runs[day][1] if run["start_time"] >= since]

    def traffic(self, model: str, window: Window) -> list[TrafficState]:
        """As the port; days that are over are read once."""
        found: list[TrafficState] = []
        day = window.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        while day < window.end:
            starts, states = self._day(model, day)
            found.extend(states[bisect_left(starts, window.start) : bisect_left(starts, window.end)])
            day += _A_DAY
        if self.live is not None:
            found.extend(s for s in self.live() if s.model_name == model and s.window_start in window)
        return found

    def cohort(self, model: Model, window: Window, until: datetime) -> Cohort:
        """Leads scored in the window with what is known of them until then.

        Args:
            model: whose leads.
            window: scoring times.
            until: outcomes known later are left out.
        """
        rows = self.inner.rows(model, window)
        named = captured(rows, model) if model.source is None else foreign(rows, model, with_label=True)
        known = self.inner.outcomes(model.name, until)
        by = (VERSION, *model.segments)
        batches = named.batches([TIME, ENTITY, SCORE, LABEL, *by])
        return cohort_of(batches, known, model.outcomes, by=by)

    def first_row(self, model: Model) -> datetime | None:
        """Time of the first row, None without rows. Looked for once: earlier rows that come later are late rows."""
        if model.name not in self._firsts:
            span = span_of(self.new_rows(model, None), TIME)
            if span is None:
                return None
            self._firsts[model.name] = span.start
        return self._firsts[model.name]

    def _named(self, rows: Rows, model: Model) -> Rows:
        return captured(rows, model) if model.source is None else foreign(rows, model)

    def _day(self, model: str, day: datetime) -> tuple[list[datetime], list[TrafficState]]:
        """States of a UTC day with their starts; read again only when the table has a new version."""
        version = self.version("traffic")
        kept = self._days.get((model, day))
        if kept is not None and (kept.version == version or kept.is_final):
            return kept.starts, kept.states
        end = day + _A_DAY
        states = sorted(self.inner.traffic(model, Window(day, end, Grain.LIVE)), key=lambda state: state.window_start)
        starts = [state.window_start for state in states]
        self._days[model, day] = _Day(version, end + _SETTLED < self.clock.now(), starts, states)
        while len(self._days) > _KEPT_DAYS:
            self._days.pop(next(iter(self._days)))
        return starts, states


def _within(span: Window | None, begin: datetime | None) -> Window | None:
    """The part of a span from `begin` on: at least its last moment, which a profile without rows may stand for."""
    if span is None or begin is None or span.start >= begin:
        return span
    return Window(min(begin, span.end), max(begin, span.end), span.grain)
