"""Models that nobody configured: the service finds them in the spool, everybody who reads its home knows them too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiltmeter.domain.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.ports import Clock, StateStore

_FOUND_MODELS = "found-models"
"""Position under which models are kept that were found in the spool rather than configured."""

LOOK_SECONDS = 10.0
"""A process that runs for long hears of a new model after this time; while it knows none, at once."""


def found_models(state: StateStore) -> list[str]:
    """Names of the models that were found."""
    return [str(name) for name in json.loads(state.watermark(_FOUND_MODELS) or "[]")]


def keep_found_models(state: StateStore, names: Iterable[str]) -> None:
    """Write down all models that were found."""
    state.set_watermark(_FOUND_MODELS, json.dumps(sorted(names)))


@dataclass(slots=True, eq=False)
class KnownModels(Mapping[str, Model]):
    """Configured and found models by name, as they are now.

    Args:
        configured: of the configuration; they win over what was found.
        state: where found models are kept.
        clock: time between two looks.
    """

    configured: Mapping[str, Model]
    state: StateStore
    clock: Clock
    _known: dict[str, Model] = field(default_factory=dict)
    _looked_at: float | None = None

    def configure(self, models: Mapping[str, Model]) -> None:
        """Other models are configured from now on."""
        self.configured, self._looked_at = models, None

    def __getitem__(self, name: str) -> Model:
        """The model of that name."""
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        """Names, configured ones first."""
        return iter(self._now())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._now())

    def _now(self) -> dict[str, Model]:
        now = self.clock.monotonic()
        if not self._known or self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            found = {name: Model(name) for name in found_models(self.state) if name not in self.configured}
            # Replaced, never changed: another thread may be walking through the one before.
            self._known, self._looked_at = {**self.configured, **found}, now
        return self._known
