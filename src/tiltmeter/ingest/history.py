"""Where the history of a table that is read in place begins: as long ago as configured, seen from its newest row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tiltmeter.domain.window import Grain, window_at
from tiltmeter.store.foreign import span_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.model import Model
    from tiltmeter.ports import Clock, StateStore, StoredLog


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Begins of histories, kept: a later look must not move them.

    Args:
        log: reads the tables.
        state: keeps the begins.
        clock: time.
        zone: a history begins with a day of the business.
    """

    log: StoredLog
    state: StateStore
    clock: Clock
    zone: ZoneInfo

    def begin(self, model: Model) -> datetime | None:
        """Midnight before which rows of a model are left alone; None for captured models and empty tables.

        Raises:
            StoreError: the table is away.
        """
        source = model.source
        if source is None:
            return None
        key = f"history:{model.name}:{source.table}:{source.history.total_seconds():.0f}"
        if (kept := self.state.watermark(key)) is not None:
            return datetime.fromisoformat(kept)
        span = span_of(self.log.new_rows(model, None), source.columns.get("time", "time"))
        if span is None:
            return None
        # A row from the future must not move the history past the present.
        newest = min(span.end, self.clock.now())
        begin = window_at(newest - source.history, Grain.DAY, self.zone).start
        self.state.set_watermark(key, begin.isoformat())
        return begin
