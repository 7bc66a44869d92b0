"""Hours that got rows after they were judged: kept in the state database until their windows are judged again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiltmeter.domain.model import Model
    from tiltmeter.ports import StateStore


@dataclass(slots=True, eq=False)
class LateRows:
    """What has to be judged again, by model.

    Written before the rows are profiled and taken back after the windows are judged, so that a crash in between
    repeats the windows instead of forgetting them.

    Args:
        state: keeps it.
        judged_until: end of the newest judged window of a model; None before the first.
    """

    state: StateStore
    judged_until: Callable[[Model], datetime | None]
    _hours: dict[str, set[datetime]] = field(default_factory=dict)

    def announce(self, model: Model, hours: Sequence[datetime]) -> None:
        """Rows of these hours (UTC starts) are about to be profiled."""
        until = self.judged_until(model)
        late = {hour for hour in hours if until is not None and hour < until} - self.waiting(model)
        if late:
            self._hours[model.name] |= late
            self._write(model)

    def waiting(self, model: Model) -> set[datetime]:
        """Hours whose windows have to be judged again."""
        if model.name not in self._hours:
            text = self.state.watermark(_key(model))
            self._hours[model.name] = {datetime.fromisoformat(hour) for hour in json.loads(text)} if text else set()
        return self._hours[model.name]

    def done(self, model: Model) -> None:
        """Their windows were judged."""
        if self.waiting(model):
            self._hours[model.name] = set()
            self._write(model)

    def forget(self) -> None:
        """Read it anew: another process may have been at work."""
        self._hours.clear()

    def _write(self, model: Model) -> None:
        hours = sorted(hour.isoformat() for hour in self._hours[model.name])
        self.state.set_watermark(_key(model), json.dumps(hours))


def _key(model: Model) -> str:
    return f"late:{model.name}"
