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
        revenue: of the lead, 0 where none; shape (leads,).
        currency: of the revenue.
        early: leads that had converted before every prediction of the span; they are counted all the same.
        values: column -> the text it holds for each lead, empty where missing; shape (leads,).
    """

    score: np.ndarray
    converted: np.ndarray
    revenue: np.ndarray
    currency: str = ""
    early: int = 0
    values: Mapping[str, np.ndarray] = field(default_factory=dict)

    def where(self, column: str, value: str) -> Cohort:
        """The leads that have this value in a column of `values`; how many were early is not known of them."""
        mine = self.values[column] == value
        return replace(
            self, score=self.score[mine], converted=self.converted[mine], revenue=self.revenue[mine], early=0, values={}
        )
