"""`record_outcome(...)`: tell what became of a lead, from wherever the application learns it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from tiltmeter.capture.options import spool_folder
from tiltmeter.capture.record import OutcomeRecord, encode_record, micros
from tiltmeter.capture.writer import SpoolRefused, SpoolWriter
from tiltmeter.domain.outcome import CONVERSION, Outcome, checked_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_DISK_SECONDS = 30.0


def record_outcome(
    *,
    entity_id: str | int,
    converted: bool | None = None,
    revenue: float | None = None,
    at: datetime | None = None,
    model: str | None = None,
    outcome_id: str | int | None = None,
    currency: str | None = None,
    label: str | None = None,
    kind: str = CONVERSION,
    spool: Path | str | None = None,
    writer: SpoolWriter | None = None,
) -> str:
    """Keep an outcome; a second call with the same key corrects the first.

    Args:
        entity_id: id of the lead, as the predictions have it.
        converted: whether the lead became a customer; 0 and 1 are taken for it.
        revenue: what it brought, up to 1e15; a refund is negative.
        at: when it happened, with a time zone, from 1970 until before 2100; now by default.
        model: only for this model; by default for every model that scored the lead.
        outcome_id: key of the source; by default a hash of model, lead and kind.
        currency: ISO 4217 code of three letters; the configured one by default.
        label: any further word.
        kind: keeps outcomes of different kinds of one lead apart.
        spool: folder; by default `$TILTMETER_SPOOL`, else `./tiltmeter-home/spool`.
        writer: the writer of a `Capture` in this process, or one of your own.

    Returns:
        The outcome id.

    Raises:
        UsageError: a value makes no sense, or the time has no zone; nothing was kept.
        StoreError: the spool did not take it (retryable).
    """
    outcome = checked_outcome(
        entity_id=entity_id,
        time=datetime.now(UTC) if at is None else at,
        outcome_id=outcome_id,
        model=model,
        converted=converted,
        revenue=revenue,
        currency=currency,
        label=label,
        kind=kind,
    )
    keep_outcomes([outcome], writer or _writer_of(spool_folder(spool).absolute()))
    return outcome.outcome_id


def keep_outcomes(outcomes: Sequence[Outcome], writer: SpoolWriter) -> None:
    """Keep outcomes in this order; when it returns, all of them are kept, and waiting for a disk was done once.

    Raises:
        StoreError: the spool did not take one (retryable); those before it may be kept, and to repeat them is harmless.
    """
    try:
        positions = [writer.put(encode_record(outcome_record(one, recorded=_RECORDED.next()))) for one in outcomes]
    except SpoolRefused as refusal:
        writer.counters.add(refusal.counter)
        raise
    # The last one first: whoever waits for it has waited for all. Of each it is then known whether it was refused.
    for position in reversed(positions):
        writer.block_until_durable(position, seconds=_DISK_SECONDS)


class RisingTimes:
    """Times of recording: never the same twice and never earlier than the last, also when the clock is set back.

    By them a correction comes after what it corrects.

    Args:
        now: the clock, aware UTC.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._last = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def next(self) -> datetime:
        """Now, or a microsecond after the last."""
        with self._lock:
            self._last = max(self._now(), self._last + timedelta(microseconds=1))
            return self._last


_RECORDED = RisingTimes(lambda: datetime.now(UTC))


def outcome_record(outcome: Outcome, *, recorded: datetime) -> OutcomeRecord:
    """An outcome as the spool keeps it."""
    return OutcomeRecord(
        outcome.outcome_id,
        outcome.entity_id,
        micros(outcome.time),
        micros(recorded),
        outcome.model,
        outcome.converted,
        outcome.revenue,
        outcome.currency,
        outcome.label,
        outcome.kind,
    )


@cache
def _writer_of(spool: Path) -> SpoolWriter:
    # One slot a process and spool, not one a call. After a fork the writer claims another slot by itself.
    return SpoolWriter(spool)
