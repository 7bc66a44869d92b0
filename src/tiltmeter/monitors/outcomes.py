"""What became of the leads: conversion, precision, recall, calibration and revenue on matured cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.monitors.deciles import About, Details, decile_metrics, estimated
from tiltmeter.statistics.classification import Estimate, auc, brier, calibration, confusion
from tiltmeter.statistics.conversion import conversion_rate, revenue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.cohort import Cohort
    from tiltmeter.domain.window import Window
    from tiltmeter.statistics.classification import Confusion

_REVENUES = ("revenue_per_lead", "revenue_per_lead.median", "revenue_per_lead.trimmed")
_GREATEST_SCORE = 1e100
"""No probability and no points of a scorecard: a broken row, whose sum with others would overflow."""


def outcome_metrics(
    cohort: Cohort, *, subject: Subject, window: Window, threshold: float, min_rows: int
) -> list[Metric]:
    """Metrics of a matured cohort.

    Args:
        cohort: leads old enough that nearly all conversions are known.
        subject: model, version, segment.
        window: scoring times of the cohort.
        threshold: score from which a lead counts as a predicted customer.
        min_rows: below it numbers are shown and not judged.
    """
    n = int(cohort.score.size)
    rate = conversion_rate(int(cohort.converted.sum()), n)
    if rate is None:
        return [
            Metric("outcomes.conversion_rate", subject, window, None, Status.NO_DATA, "no matured leads", n_current=0)
        ]
    status = Status.OK if n >= min_rows else Status.TOO_FEW_ROWS
    confused = confusion(cohort.score, cohort.converted, threshold)
    scored = _with_sound_scores(cohort)
    estimates = {
        "conversion_rate": rate, **_confusion(confused), **_quality(scored),
        **_revenue(cohort),
    }  # fmt: skip
    about = About(subject=subject, window=window, status=status)
    details = _details(cohort, confused)
    return [
        *(
            estimated(f"outcomes.{name}", estimate, n=n, details=details.get(name), **about)
            for name, estimate in estimates.items()
        ),
        *decile_metrics(scored, **about),
    ]


def _details(cohort: Cohort, confused: Confusion) -> dict[str, Details]:
    flagged = confused.true_positive + confused.false_positive
    found: dict[str, Details] = {"precision": {"predicted": flagged, "hits": confused.true_positive}}
    if cohort.early:
        found["conversion_rate"] = {"outcomes_before_prediction": cohort.early}
    missing = int(cohort.left_out.sum())
    if missing:
        left: Details = {"amounts_left_out": missing, "other_currencies": list(cohort.other_currencies)}
        found |= dict.fromkeys(_REVENUES, left)
    return found


def _with_sound_scores(cohort: Cohort) -> Cohort:
    """The leads whose score is a number that can be averaged."""
    known = np.isfinite(cohort.score) & (np.abs(cohort.score) < _GREATEST_SCORE)
    return cohort.chosen(known)


def _confusion(found: Confusion) -> Mapping[str, Estimate | None]:
    return {"precision": found.precision(), "recall": found.recall(), "f1": _plain(found.f1())}


def _quality(cohort: Cohort) -> Mapping[str, Estimate | None]:
    return {
        "auc": auc(cohort.score, cohort.converted),
        "brier": _plain(brier(cohort.score, cohort.converted)),
        "calibration": calibration(cohort.score, cohort.converted),
    }


def _revenue(cohort: Cohort) -> Mapping[str, Estimate | None]:
    found = revenue(cohort.revenue, cohort.revenue.size)
    # Nothing in the model's currency and something in another one is no revenue of 0.
    if found is None or (not found.paying and cohort.left_out.any()):
        return dict.fromkeys(_REVENUES)
    return {
        name: _plain(value)
        for name, value in zip(_REVENUES, (found.per_lead, found.median, found.trimmed), strict=True)
    }


def _plain(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value)
