"""What a column is, as far as statistics care."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FeatureKind(StrEnum):
    """How a column is profiled: numbers and datetimes in bins, categories and booleans in levels, text by length."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXT = "text"

    @property
    def is_binned(self) -> bool:
        """Whether the column is cut by numeric edges."""
        return self in (FeatureKind.NUMERIC, FeatureKind.DATETIME)

    @property
    def has_levels(self) -> bool:
        """Whether the column is counted by level."""
        return self in (FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN)


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """Which column of a data set plays which part.

    Args:
        features: names to profile; None takes every column without another part.
        ignore: names to leave out.
        kinds: kinds the user insists on.
        missing_values: values that mean "missing", per feature (999 in `pdays`).
        score: the model's output.
        label: the outcome; true, 1, yes, y (any case) means converted.
        entity: the id of the lead; distinct entities then count as rows in every test.
        time: when the row was made.
    """

    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    kinds: dict[str, FeatureKind] = field(default_factory=dict)
    missing_values: dict[str, tuple[object, ...]] = field(default_factory=dict)
    score: str | None = None
    label: str | None = None
    entity: str | None = None
    time: str | None = None


NAMELESS = '""'
"""What a column without a name is called where "" means all features."""


def subject_of(column: str) -> str:
    """The column as metrics and alerts name it."""
    return column or NAMELESS
