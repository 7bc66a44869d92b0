"""Leads of one span with what became of them so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Leads of a span with what is known of them by now. One row a lead (its last prediction before it converted).

    Args:
        score: predicted probability, shape (leads,).
        converted: whether it became a customer, shape (leads,).
        revenue: of the lead in the model's currency, 0 where none; shape (leads,).
        left_out: amounts of the lead that are not in `revenue`: in another currency, or beyond reason; shape (leads,).
        other_currencies: of what is left out, those of most amounts first.
        early: leads that had converted before every prediction of the span; they are counted all the same.
        is_told: whether any outcome was ever reported; without one, nobody knows that nobody converted.
        values: column -> the text it holds for each lead, empty where missing; shape (leads,).
    """

    score: np.ndarray
    converted: np.ndarray
    revenue: np.ndarray
    left_out: np.ndarray
    other_currencies: tuple[str, ...] = ()
    early: int = 0
    is_told: bool = True
    values: Mapping[str, np.ndarray] = field(default_factory=dict)

    def where(self, column: str, value: str) -> Cohort:
        """The leads that have this value in a column of `values`; how many were early is not known of them."""
        return replace(self.chosen(self.values[column] == value), early=0)

    def chosen(self, leads: np.ndarray) -> Cohort:
        """The leads of a mask, shape (leads,)."""
        return replace(
            self, score=self.score[leads], converted=self.converted[leads], revenue=self.revenue[leads],
            left_out=self.left_out[leads], values={},
        )  # fmt: skip
