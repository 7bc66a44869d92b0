"""Which hours of a model's log hold rows: where its history begins, and how far its newest rows reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from tiltmeter.domain.window import Grain, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World

AHEAD = timedelta(hours=1)
"""Rows further ahead of the clock than this come from a wrong clock; they wait in their hours until these are due."""

HORIZON = timedelta(days=400)
"""Rows older than rows are kept (`store.keep_rows`) come from a wrong clock as well: history does not begin there."""

ASK_AGAIN = timedelta(minutes=10)

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class SeenRows:
    """Spans of the profiled hours by model, kept in memory.

    Args:
        world: holds the stored profiles.
    """

    world: World
    _spans: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    _asked_at: dict[str, datetime] = field(default_factory=dict)

    def add(self, model: Model, hours: Sequence[datetime], now: datetime) -> None:
        """Rows of these hours (UTC starts) were profiled."""
        believed = [hour for hour in hours if now - HORIZON <= hour <= now + AHEAD]
        if len(believed) < len(hours):
            odd = sorted(set(hours) - set(believed))
            log.warning("records_out_of_time", model=model.name, hours=len(odd), first=odd[0].isoformat())
        if believed:
            low, high = self._spans.get(model.name, (believed[0], believed[0]))
            ended = max(believed) + timedelta(hours=1)
            self._spans[model.name] = min(low, *believed), max(high, ended)

    def first(self, model: Model, now: datetime) -> datetime | None:
        """Start of the first hour with rows, None before there is one."""
        span = self._span(model, now)
        return span[0] if span else None

    def newest(self, model: Model, now: datetime) -> datetime | None:
        """End of the newest hour with rows, None before there is one."""
        span = self._span(model, now)
        return span[1] if span else None

    def _span(self, model: Model, now: datetime) -> tuple[datetime, datetime] | None:
        kept = self._spans.get(model.name)
        if kept is not None and kept[1] > now:
            return kept
        asked = self._asked_at.get(model.name)
        if kept is not None and asked is not None and timedelta(0) <= now - asked < ASK_AGAIN:
            return kept
        bins = self.world.baselines.bins(model, now)
        if bins is None:
            return kept
        self._asked_at[model.name] = now
        within = Window(now - HORIZON, now + AHEAD, Grain.LIVE)
        found = self.world.states.span(model.name, bins.bins_id, within=within)
        if found is not None:
            self._spans[model.name] = found
        return found or kept
