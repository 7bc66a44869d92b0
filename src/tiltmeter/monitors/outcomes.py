"""What became of the leads: conversion, precision, recall, calibration and revenue on matured cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.monitors.deciles import decile_metric
from tiltmeter.statistics.classification import confusion
from tiltmeter.statistics.intervals import wilson

if TYPE_CHECKING:
    from tiltmeter.domain.cohort import Cohort
    from tiltmeter.domain.window import Window
    from tiltmeter.statistics.classification import Confusion


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
    if n == 0:
        return [
            Metric("outcomes.conversion_rate", subject, window, None, Status.NO_DATA, "no matured leads", n_current=0)
        ]
    status = Status.OK if n >= min_rows else Status.TOO_FEW_ROWS
    customers = int(cohort.converted.sum())
    low, high = wilson(customers, n) or (None, None)
    confused = confusion(cohort.score, cohort.converted, threshold)
    flagged = confused.true_positive + confused.false_positive
    values: dict[str, float | None] = {**_confusion(confused), **_quality(cohort), **_revenue(cohort)}
    details: dict[str, dict[str, str | float | int | list[str]]] = {
        "precision": {"predicted": flagged, "hits": confused.true_positive}
    }
    rate = Metric(
        "outcomes.conversion_rate", subject, window, customers / n, status, lower=low, upper=high, n_current=n,
        details={"outcomes_before_prediction": cohort.early} if cohort.early else {},
    )  # fmt: skip
    rest = [
        Metric(
            f"outcomes.{name}",
            subject,
            window,
            value,
            status,
            "" if value is not None else "no customers",
            n_current=n,
            details=details.get(name, {}),
        )
        for name, value in values.items()
    ]
    return [rate, *rest, decile_metric(cohort, subject=subject, window=window, status=status)]


def _confusion(found: Confusion) -> dict[str, float | None]:
    precision, recall = found.precision(), found.recall()
    return {
        "precision": None if precision is None else precision.value,
        "recall": None if recall is None else recall.value,
        "f1": found.f1(),
    }


def _quality(cohort: Cohort) -> dict[str, float | None]:
    customers = int(cohort.converted.sum())
    others = cohort.score.size - customers
    brier = float(np.mean((cohort.score - cohort.converted) ** 2))
    expected = float(cohort.score.sum())
    calibration = customers / expected if expected > 0 else None
    if not customers or not others:
        return {"auc": None, "brier": brier, "calibration": calibration}
    # Mann-Whitney with mid-ranks: ties between a customer and a non-customer count one half.
    _, inverse, counts = np.unique(cohort.score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(ranks[inverse][cohort.converted].sum())
    auc = (rank_sum - customers * (customers + 1) / 2) / (customers * others)
    return {"auc": auc, "brier": brier, "calibration": calibration}


def _revenue(cohort: Cohort) -> dict[str, float | None]:
    revenue = np.sort(cohort.revenue)
    cut = revenue.size // 100
    trimmed = revenue[cut : revenue.size - cut]
    of_customers = cohort.revenue[cohort.converted]
    return {
        "revenue_per_lead": float(revenue.mean()),
        "revenue_per_lead.median": float(np.median(of_customers)) if of_customers.size else None,
        "revenue_per_lead.trimmed": float(trimmed.mean()),
    }
