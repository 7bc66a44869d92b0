"""Leads of one span with what became of them so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    """

    score: np.ndarray
    converted: np.ndarray
    revenue: np.ndarray
    currency: str = ""
    early: int = 0
