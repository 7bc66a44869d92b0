"""What could not be published to MLflow: said once, tried again less and less often, kept for `tiltmeter doctor`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.errors import TiltmeterError
    from tiltmeter.ports import StateStore

EVERY = timedelta(minutes=1)
LONGEST_WAIT = timedelta(minutes=30)
"""Between two tries of what was refused, and between two looks at a server that is away."""

TROUBLES = "mlflow:troubles"
"""Position that holds what the publisher could not do, as JSON: error by what it was about."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Trouble:
    error: str
    wait: timedelta
    again_at: datetime


@dataclass(slots=True)
class Troubles:
    """Open troubles of one publisher, by what they are about: an address, a model, the server."""

    _open: dict[str, _Trouble] = field(default_factory=dict)

    def is_due(self, about: str, now: datetime) -> bool:
        """Whether it never failed, or has waited long enough."""
        known = self._open.get(about)
        return known is None or now >= known.again_at

    def met(self, about: str, error: TiltmeterError, now: datetime) -> timedelta:
        """Keep a failure; how long to wait until the next try."""
        known = self._open.get(about)
        wait = min(2 * (known.wait if known is not None else EVERY), LONGEST_WAIT)
        if known is None or known.error != str(error):
            log.warning("mlflow_failed", of=about, error=str(error), next_try_seconds=wait.total_seconds())
        self._open[about] = _Trouble(str(error), wait, now + wait)
        return wait

    def over(self, about: str) -> None:
        """It went well."""
        if self._open.pop(about, None) is not None:
            log.info("mlflow_works_again", of=about)

    def keep_only(self, *about: str) -> None:
        """Forget what nobody asks for any more, such as an address that left the configuration."""
        for gone in self._open.keys() - set(about):
            del self._open[gone]

    def keep(self, state: StateStore) -> None:
        """Write them down for `doctor`, where they changed.

        Raises:
            StoreError: the state database does not answer.
        """
        said = json.dumps({about: trouble.error for about, trouble in sorted(self._open.items())})
        if said != (state.watermark(TROUBLES) or "{}"):
            state.set_watermark(TROUBLES, said)


def kept_troubles(state: StateStore) -> Mapping[str, str]:
    """Error by what it is about, as the publisher last wrote them down.

    Raises:
        StoreError: the state database does not answer.
    """
    found: Mapping[str, str] = json.loads(state.watermark(TROUBLES) or "{}")
    return found
