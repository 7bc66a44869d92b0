"""What became of a lead: converted or not, and what it brought."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isnan
from typing import Any

from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.prediction import entity_text

CONVERSION = "conversion"

MOST_REVENUE = 1e15
"""Beyond it an amount is a mistake, and sums of cents would no longer be exact."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""A time before or from here on comes from a broken clock or field."""

_CODE = re.compile("[A-Za-z]{3}")
_SHORT = 40


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
        kind: what `outcome_key` made the key of; None where the source gave one.
    """

    outcome_id: str
    entity_id: str
    time: datetime
    model: str | None = None
    converted: bool | None = None
    revenue: float | None = None
    currency: str | None = None
    label: str | None = None
    kind: str | None = None


def outcome_key(model: str | None, entity_id: str, kind: str = CONVERSION) -> str:
    """Key of an outcome that brings none: a second call for the same lead, model and kind corrects the first."""
    text = json.dumps([model, entity_id, kind], ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def checked_outcome(
    *,
    entity_id: str | int,
    time: datetime,
    outcome_id: str | int | None = None,
    model: str | None = None,
    converted: bool | None = None,
    revenue: float | None = None,
    currency: str | None = None,
    label: str | None = None,
    kind: str = CONVERSION,
) -> Outcome:
    """An outcome whose values make sense, with a key.

    What says the same in another type is taken for it: numbers of ids and labels become text, 0 and 1 are truth, a
    currency is written in capitals. Everything that passes here can be stored: nothing later refuses it.

    Raises:
        UsageError: no lead, no zone in the time, nothing told, or a value that is not what its name says.
    """
    entity = _id("entity_id", entity_id)
    if entity is None:
        raise UsageError("an outcome needs the id of its lead (entity_id)")
    of_model, key, of_kind = _text("model", model), _id("outcome_id", outcome_id), _text("kind", kind) or CONVERSION
    told = _truth(converted), _amount(revenue), _text("label", _as_text(label))
    if told == (None, None, None):
        raise UsageError("an outcome tells nothing", hint="give converted, revenue or label")
    return Outcome(
        outcome_id=key or outcome_key(of_model, entity, of_kind),
        entity_id=entity,
        time=_utc(time),
        model=of_model,
        converted=told[0],
        revenue=told[1],
        currency=_currency(currency),
        label=told[2],
        kind=None if key else of_kind,
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever an application has at hand
    """A number of NumPy or pandas as Python's own."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _as_text(value: Any) -> Any:  # noqa: ANN401 - as above
    """A number as text, 17.0 as 17; anything else as it is."""
    return entity_text(_plain(value)) or value


def _id(name: str, value: Any) -> str | None:  # noqa: ANN401 - as above
    if value is None or value == "":
        return None
    try:
        return _text(name, _as_text(value))
    except ValueError:  # more digits than Python turns into text
        raise UsageError(f"the {name} of an outcome is a number of thousands of digits") from None


def _text(name: str, value: Any) -> str | None:  # noqa: ANN401 - as above
    """Text that can be stored; None for none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UsageError(f"the {name} of an outcome is {_said(value)}", hint="it is text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the {name} of an outcome holds half a character (a lone surrogate)") from None
    return str(value)


def _truth(value: Any) -> bool | None:  # noqa: ANN401 - as above
    value = _plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    raise UsageError(f"converted is {_said(value)}", hint="it is true or false")


def _amount(value: Any) -> float | None:  # noqa: ANN401 - as above
    value = _plain(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise UsageError(f"the revenue of an outcome is {_said(value)}, not a number")
    # A signalling NaN refuses even to be looked at.
    is_number = not value.is_nan() if isinstance(value, Decimal) else not isinstance(value, float) or not isnan(value)
    if not is_number or not -MOST_REVENUE <= value <= MOST_REVENUE:
        raise UsageError(
            f"the revenue of an outcome is {_said(value)}", hint=f"it is a number up to {MOST_REVENUE:,.0f}"
        )
    return float(value)


def _currency(value: Any) -> str | None:  # noqa: ANN401 - as above
    code = _text("currency", value)
    if code is None:
        return None
    if not _CODE.fullmatch(code.strip()):
        raise UsageError(f"the currency of an outcome is {_said(code)}", hint="three letters of ISO 4217, such as EUR")
    return code.strip().upper()


def _utc(time: Any) -> datetime:  # noqa: ANN401 - as above
    if not isinstance(time, datetime):
        raise UsageError(f"the time of an outcome is {_said(time)}", hint="it is a datetime with a time zone")
    if time.tzinfo is None or time.utcoffset() is None:
        raise UsageError(
            "the time of an outcome has no time zone", hint="write datetime.now(UTC) or add the zone of the source"
        )
    # Compared with its zone: near the ends of the calendar there is no such time in UTC.
    if not EARLIEST <= time < LATEST:
        raise UsageError(
            f"the time of an outcome is {time.isoformat()}", hint=f"it lies from {EARLIEST:%Y} until before {LATEST:%Y}"
        )
    return time.astimezone(UTC)


def _said(value: Any) -> str:  # noqa: ANN401 - as above
    """A value that is no secret and no id, short enough for an error."""
    if not isinstance(value, str | int | float | Decimal):
        return f"of type {type(value).__name__}"
    if isinstance(value, int) and abs(value) > MOST_REVENUE:  # Python does not write out thousands of digits
        return "beyond all bounds"
    text = ascii(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
