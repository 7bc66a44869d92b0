"""What became of a lead: converted or not, and what it brought."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.prediction import entity_text

if TYPE_CHECKING:
    from datetime import datetime

CONVERSION = "conversion"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome of one lead; the newest of an `outcome_id` wins.

    Args:
        outcome_id: key.
        entity_id: id of the lead.
        time: when it happened, aware UTC.
        model: None counts for every model that scored the lead.
        converted: None when only revenue or a label is told.
        revenue: in `currency`.
        currency: ISO 4217 code; None takes the configured one.
        label: any further word, such as a reason.
    """

    outcome_id: str
    entity_id: str
    time: datetime
    model: str | None = None
    converted: bool | None = None
    revenue: float | None = None
    currency: str | None = None
    label: str | None = None


def outcome_key(model: str | None, entity_id: str, kind: str = CONVERSION) -> str:
    """Key of an outcome that brings none: a second call for the same lead, model and kind corrects the first."""
    text = json.dumps([model, entity_id, kind], ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def checked_outcome(
    *,
    entity_id: str | int,
    time: datetime,
    outcome_id: str | None = None,
    model: str | None = None,
    converted: bool | None = None,
    revenue: float | None = None,
    currency: str | None = None,
    label: str | None = None,
    kind: str = CONVERSION,
) -> Outcome:
    """An outcome whose values make sense, with a key.

    Raises:
        UsageError: no lead, no zone in the time, nothing told, or a revenue that is no number.
    """
    entity = entity_text(entity_id)
    if entity is None:
        raise UsageError("an outcome needs the id of its lead (entity_id)")
    if time.tzinfo is None or time.utcoffset() is None:
        raise UsageError(
            "the time of an outcome has no time zone", hint="write datetime.now(UTC) or add the zone of the source"
        )
    if converted is None and revenue is None and label is None:
        raise UsageError("an outcome tells nothing", hint="give converted, revenue or label")
    if revenue is not None and not math.isfinite(revenue):
        raise UsageError(f"the revenue of an outcome is {revenue}, not a number")
    return Outcome(
        outcome_id=outcome_id or outcome_key(model, entity, kind),
        entity_id=entity,
        time=time.astimezone(UTC),
        model=model or None,
        converted=converted,
        revenue=None if revenue is None else float(revenue),
        currency=currency,
        label=label,
    )
