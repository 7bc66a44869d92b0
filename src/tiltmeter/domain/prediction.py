"""One prediction as a row of the log, and the three types a feature may have there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

FeatureValue: TypeAlias = float | bool | str | None
"""JSON numbers are doubles, true and false booleans, everything else text; null is missing."""

LARGEST_EXACT_INTEGER = 2**53
"""Beyond it a double no longer holds every integer, so the number is kept as text in `_rescued_data`."""


@dataclass(frozen=True, slots=True)
class MappedRequest:
    """The rows that one recorded request makes: at least one, so that every request counts as traffic.

    Args:
        rows: column of `predictions` -> value. In addition `features` (feature -> value, without the `f_`) and
            `rescued` (feature -> value that fits no column, as text). `request_time` is in microseconds since 1970.
        counts: what was left out or not understood, by name.
        unmapped: the bodies should be kept for a person: an error, or an answer without a recognisable prediction.
        response_keys: keys of the answer when no prediction was found in it, for a hint.
    """

    rows: list[dict[str, Any]]
    counts: Mapping[str, int]
    unmapped: bool
    response_keys: tuple[str, ...] = ()


def entity_text(value: object) -> str | None:
    """An entity id as text: 17 and 17.0 and "17" are the same lead; None for what is no id."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value.is_integer() else None
    return str(value)


def score_number(value: object) -> float | None:
    """A prediction as a double; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
