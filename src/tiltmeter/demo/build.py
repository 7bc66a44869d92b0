"""Puts a world together: period, incidents, trained model, history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.demo.history import History, build_history
from tiltmeter.demo.incidents import SCORE_SHIFT, plan_incidents
from tiltmeter.demo.scoring import LeadModel, train
from tiltmeter.demo.world import VERSION, Leads, Period, generator, history_leads, training_leads

if TYPE_CHECKING:
    from tiltmeter.demo.incidents import Incident

RISKY_VERSION = "15"
"""The version that goes live during the score shift and is rolled back."""


@dataclass(frozen=True, slots=True, eq=False)
class DemoWorld:
    """A company with its model and its past.

    Args:
        seed: everything follows from it and from the period.
        period: whole days, then the hours until the end.
        model: in production.
        reference: leads that the model never saw, from before the history: what it is judged against.
        history: what happened.
    """

    seed: int
    period: Period
    model: LeadModel
    reference: Leads
    history: History

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The declared truth."""
        return self.history.incidents


def period_until(now: datetime, days: int) -> Period:
    """Whole UTC days and then the hours of today, so that live traffic follows without a gap."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(midnight - timedelta(days=days), now.replace(second=0, microsecond=0))


def trained_model(seed: int, history_start: datetime) -> tuple[LeadModel, Leads]:
    """The model, trained on the first half of the weeks before the history, and the second half, which it never saw."""
    leads = training_leads(seed, history_start)
    half = np.searchsorted(leads.time, (leads.time[0] + leads.time[-1]) // 2)
    model = train(leads.take(np.arange(half)), VERSION)
    return model, leads.take(np.arange(half, len(leads)))


def build_demo_world(seed: int, period: Period, *, incidents: tuple[Incident, ...] | None = None) -> DemoWorld:
    """Draw the company, train its model, let thirty days pass.

    Args:
        seed: the same seed and period give the same world.
        period: of the history; its start is a midnight.
        incidents: what goes wrong, instead of what the seed plans; a history of any length may hold them.

    Raises:
        UsageError: the history is too short or too long for incidents with room between them.
    """
    if incidents is None:
        whole_days = Period(period.start, period.end.replace(hour=0, minute=0, second=0, microsecond=0))
        incidents = plan_incidents(generator(seed, "incidents"), whole_days)
    model, reference = trained_model(seed, period.start)
    probability = model.score(reference.columns)
    spread = float(np.std(np.log(probability / (1.0 - probability))))
    history = build_history(
        seed,
        period,
        incidents,
        leads=history_leads(seed, period),
        before=reference,
        model=model,
        risky=model.released_as(RISKY_VERSION, SCORE_SHIFT * spread),
    )
    return DemoWorld(seed, period, model, reference, history)
