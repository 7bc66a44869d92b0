"""What a lead looks like: 21 features, how they hang together, and how likely the lead becomes a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.demo.columns import Levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.demo.columns import Column

LEAD_SOURCES = {
    "web-form": 0.27,
    "paid-search": 0.19,
    "webinar": 0.13,
    "referral": 0.12,
    "trade-fair": 0.09,
    "newsletter": 0.08,
    "partner": 0.07,
    "outbound": 0.05,
}
INDUSTRIES = {
    "software": 0.17, "manufacturing": 0.15, "retail": 0.12, "health": 0.10, "finance": 0.09, "logistics": 0.08,
    "education": 0.07, "consulting": 0.06, "energy": 0.05, "media": 0.04, "public-sector": 0.03, "agriculture": 0.02,
    "hospitality": 0.02,
}  # fmt: skip
TITLES = {"staff": 0.34, "team-lead": 0.24, "head-of": 0.18, "director": 0.12, "c-level": 0.08, "assistant": 0.04}
DEVICES = {"desktop": 0.62, "mobile": 0.30, "tablet": 0.08}
PLANS = {"starter": 0.41, "team": 0.33, "business": 0.19, "enterprise": 0.07}
LANGUAGES = {"de": 0.48, "en": 0.27, "fr": 0.09, "nl": 0.07, "it": 0.05, "es": 0.04}
CAMPAIGNS = {f"campaign-{number:02d}": 1.0 / (number + 2) for number in range(1, 25)}

NUMERIC = (
    "company_size", "annual_revenue", "website_visits", "minutes_on_site", "emails_opened",
    "emails_clicked", "days_since_first_touch", "form_fields_filled", "domain_age", "discount_wanted", "distance_km",
)  # fmt: skip
CATEGORIES: Mapping[str, Mapping[str, float]] = {
    "lead_source": LEAD_SOURCES,
    "industry": INDUSTRIES,
    "job_title": TITLES,
    "device": DEVICES,
    "plan_interest": PLANS,
    "language": LANGUAGES,
    "campaign": CAMPAIGNS,
}
BOOLEANS = ("has_phone", "is_business_email", "visited_pricing")
FEATURES = (*NUMERIC, *CATEGORIES, *BOOLEANS)

# Shares stay near 1 %: an hour of 200 leads then lies far below the 5 points at which a rise becomes a warning.
MISSING = {"annual_revenue": 0.010, "domain_age": 0.010, "distance_km": 0.008, "language": 0.007}


def draw_features(rng: np.random.Generator, hour: np.ndarray, weekday: np.ndarray) -> dict[str, Column]:
    """Features of new leads.

    Args:
        rng: the only source of chance.
        hour: local hour of day with its fraction, 0 to 24, shape (leads,).
        weekday: 0 for Monday, shape (leads,).

    Returns:
        One column a feature, in the order of `FEATURES`.
    """
    n = hour.size
    evening = 0.5 - 0.5 * np.cos((hour - 8.0) / 24.0 * 2.0 * np.pi)  # 0 at 08:00, 1 at 20:00
    weekend = weekday >= 5
    columns: dict[str, Column] = {}
    size = np.maximum(1.0, np.round(np.exp(rng.normal(np.log(60.0), 1.3, n))))
    columns["company_size"] = size
    columns["annual_revenue"] = np.round(size * 110.0 * np.exp(rng.normal(0.0, 0.7, n)))
    columns["website_visits"] = rng.poisson(rng.gamma(1.6, 3.0, n)).astype(np.float64)
    minutes = np.exp(rng.normal(1.6, 0.8, n) + 0.12 * evening + 0.06 * weekend)
    columns["minutes_on_site"] = np.round(minutes, 2)
    opened = rng.poisson(rng.gamma(1.4, 2.0, n))
    columns["emails_opened"] = opened.astype(np.float64)
    columns["emails_clicked"] = rng.binomial(opened, 0.28).astype(np.float64)
    columns["days_since_first_touch"] = np.floor(rng.exponential(24.0, n))
    columns["form_fields_filled"] = rng.binomial(12, 0.62, n).astype(np.float64)
    columns["domain_age"] = np.round(rng.gamma(2.2, 4.5, n), 1)
    columns["discount_wanted"] = rng.choice([0.0, 5.0, 10.0, 15.0, 20.0], n, p=[0.68, 0.10, 0.12, 0.06, 0.04])
    columns["distance_km"] = np.round(np.exp(rng.normal(np.log(140.0), 0.9, n)), 1)
    # A few points of the mix move with the clock: visible in a test of 10,000 rows, far from a PSI of 0.25.
    tilts = {"lead_source": {"paid-search": 1.0 + 0.25 * evening, "outbound": 1.0 - 0.4 * weekend},
             "device": {"mobile": 1.0 + 0.30 * evening + 0.15 * weekend}}  # fmt: skip
    for name, shares in CATEGORIES.items():
        columns[name] = draw_levels(rng, shares, n, tilts.get(name, {}))
    columns["has_phone"] = rng.random(n) < 0.57
    columns["is_business_email"] = rng.random(n) < 0.71
    columns["visited_pricing"] = rng.random(n) < 0.24
    for name, share in MISSING.items():
        columns[name] = with_missing(columns[name], rng.random(n) < share)
    return columns


def draw_levels(
    rng: np.random.Generator, shares: Mapping[str, float], n: int, tilts: Mapping[str, np.ndarray]
) -> Levels:
    """Levels by their shares, some of which are tilted row by row."""
    names = tuple(shares)
    weights = np.array([shares[name] for name in names])
    if not tilts:
        limits = np.cumsum(weights / weights.sum())
        codes = np.searchsorted(limits, rng.random(n), side="right")
    else:
        by_row = np.tile(weights, (n, 1))
        for name, factor in tilts.items():
            by_row[:, names.index(name)] *= factor
        limits_by_row = np.cumsum(by_row, axis=1)
        draw = rng.random(n) * limits_by_row[:, -1]
        codes = (draw[:, None] >= limits_by_row).sum(axis=1)
    return Levels(np.minimum(codes, len(names) - 1).astype(np.int16), names)


def with_missing(column: Column, gone: np.ndarray) -> Column:
    """The column with some rows turned missing; booleans cannot be."""
    if isinstance(column, Levels):
        return Levels(np.where(gone, np.int16(-1), column.codes), column.names)
    return np.where(gone, np.nan, column)


def conversion_logit(columns: Mapping[str, Column]) -> np.ndarray:
    """Log-odds that a lead becomes a customer: the truth which the model has to learn, about 8 % overall."""
    size = np.log(_numbers(columns, "company_size"))
    logit: np.ndarray = -4.0 + 0.30 * (size - np.log(60.0))
    logit += 0.07 * np.minimum(_numbers(columns, "website_visits"), 20.0)
    logit += 0.16 * np.minimum(_numbers(columns, "emails_clicked"), 6.0)
    logit += 0.22 * (np.log(_numbers(columns, "minutes_on_site") + 0.1) - 1.6)
    logit += 0.10 * (_numbers(columns, "form_fields_filled") - 7.4)
    logit -= 0.006 * np.minimum(_numbers(columns, "days_since_first_touch"), 120.0)
    logit += 0.55 * columns["visited_pricing"] + 0.35 * columns["has_phone"] + 0.30 * columns["is_business_email"]  # type: ignore[operator] # booleans are plain arrays
    effects = {
        "lead_source": {"referral": 0.9, "partner": 0.6, "webinar": 0.3, "paid-search": -0.2, "outbound": -0.6},
        "job_title": {"c-level": 0.6, "director": 0.45, "head-of": 0.3, "assistant": -0.4},
        "plan_interest": {"business": 0.25, "enterprise": 0.4},
        "industry": {"software": 0.2, "public-sector": -0.4},
    }
    for name, by_level in effects.items():
        column = columns[name]
        if isinstance(column, Levels):
            table = np.array([by_level.get(level, 0.0) for level in column.names])
            logit += table[column.codes]
    return logit


def _numbers(columns: Mapping[str, Column], name: str) -> np.ndarray:
    column = columns[name]
    if isinstance(column, Levels):
        raise TypeError(f"{name} is a category")
    return column
