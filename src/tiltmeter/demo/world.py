"""The lead-scoring company: leads by the hour of the week, what becomes of them, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.demo.columns import taken
from tiltmeter.demo.features import conversion_logit, draw_features

if TYPE_CHECKING:
    from tiltmeter.demo.columns import Column

MODEL_NAME = "lead-scoring"
VERSION = "14"
CURRENCY = "EUR"
JOB_NAME = "nightly"
JOB_HOUR = 2
"""Hour (UTC) at which the batch job starts, on the second."""

JOB_EVERY, JOB_GRACE = timedelta(hours=24), timedelta(hours=2)
"""How often it is expected and how late it may be."""

API_LEADS_A_DAY = 8_450.0
"""Mean over a week; a Monday has more, a Sunday fewer."""

BATCH_LEADS = 1_500
"""Leads of the last day that the nightly job scores again."""

TRAINING_DAYS = 28
"""Whole weeks before the history, so that every weekday has its share."""

TRAINING_LEADS_A_DAY = 2_000.0

# Visitors per hour of a working day, relative: nights are quiet, not empty.
_BY_HOUR = np.array(
    [0.34, 0.28, 0.26, 0.26, 0.30, 0.42, 0.66, 0.98, 1.34, 1.62, 1.74, 1.72,
     1.50, 1.52, 1.66, 1.68, 1.56, 1.34, 1.14, 1.02, 0.92, 0.78, 0.58, 0.42]
)  # fmt: skip
_BY_WEEKDAY = np.array([1.18, 1.20, 1.16, 1.14, 1.06, 0.62, 0.64])

DELAY_MEDIAN_DAYS = 2.0
DELAY_SIGMA = 0.9
"""Log-normal delay from scoring to conversion: one in twenty takes longer than 8.8 days."""

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Leads:
    """Leads as the company knows them, in order of time.

    Args:
        number: running number, the lead's id; int64, shape (leads,).
        time: when the lead is scored for the first time; microseconds since the epoch, UTC, int64.
        columns: features as they truly are.
        delay: from scoring to the conversion in microseconds, int64; −1 for a lead that never converts.
        revenue: of the converting leads, 0 for the others; euros with cents.
    """

    number: np.ndarray
    time: np.ndarray
    columns: dict[str, Column]
    delay: np.ndarray
    revenue: np.ndarray

    def __len__(self) -> int:
        return int(self.number.size)

    def take(self, rows: np.ndarray) -> Leads:
        """The chosen leads, by position or mask."""
        return Leads(
            self.number[rows], self.time[rows], taken(self.columns, rows), self.delay[rows], self.revenue[rows]
        )

    @property
    def converts(self) -> np.ndarray:
        """Which leads become customers sooner or later."""
        return self.delay >= 0


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of the company's life.

    Args:
        start: aware UTC, a midnight.
        end: aware UTC.
    """

    start: datetime
    end: datetime


def lead_id(number: int) -> str:
    """The id under which systems know a lead."""
    return f"lead-{number:08d}"


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment_of(us: int) -> datetime:
    """The aware UTC moment of so many microseconds since the epoch."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def generator(seed: int, stream: str) -> np.random.Generator:
    """A source of chance of its own for every part of the world: changing one part leaves the others as they are."""
    return np.random.default_rng([seed, *stream.encode()])


def arrival_times(rng: np.random.Generator, period: Period, a_day: float) -> np.ndarray:
    """Arrivals by the hour of the week, in order; microseconds since the epoch, int64.

    Args:
        rng: the only source of chance.
        period: from and to.
        a_day: mean arrivals a day over a whole week.
    """
    start, end = microseconds(period.start), microseconds(period.end)
    hours = np.arange(start // _HOUR_US * _HOUR_US, end, _HOUR_US, dtype=np.int64)
    hour_of_day = hours // _HOUR_US % 24
    weekday = weekday_of(hours)
    scale = a_day / (_BY_HOUR.sum() * _BY_WEEKDAY.mean())
    counts = rng.poisson(scale * _BY_HOUR[hour_of_day] * _BY_WEEKDAY[weekday])
    times = np.repeat(hours, counts) + rng.integers(0, _HOUR_US, int(counts.sum()))
    times = times[(times >= start) & (times < end)]
    return np.sort(times)


def weekday_of(time: np.ndarray) -> np.ndarray:
    """0 for Monday; the epoch began on a Thursday."""
    return (time // _DAY_US + 3) % 7


def draw_leads(rng: np.random.Generator, time: np.ndarray, first_number: int) -> Leads:
    """Leads that arrive at these times.

    Args:
        rng: the only source of chance.
        time: microseconds since the epoch, ascending.
        first_number: id of the first one.
    """
    n = time.size
    columns = draw_features(rng, (time % _DAY_US) / _HOUR_US, weekday_of(time))
    probability = 1.0 / (1.0 + np.exp(-conversion_logit(columns)))
    converts = rng.random(n) < probability
    delay = np.exp(rng.normal(np.log(DELAY_MEDIAN_DAYS), DELAY_SIGMA, n)) * _DAY_US
    size = columns["company_size"]
    revenue = np.exp(rng.normal(np.log(2_400.0), 0.8, n)) * np.sqrt(np.asarray(size, dtype=np.float64) / 60.0)
    return Leads(
        np.arange(first_number, first_number + n, dtype=np.int64),
        time,
        columns,
        np.where(converts, delay.astype(np.int64), -1),
        np.where(converts, np.round(revenue, 2), 0.0),
    )


def training_leads(seed: int, history_start: datetime) -> Leads:
    """The world's first part, before the history: what the model is trained on and judged against."""
    rng = generator(seed, "training")
    period = Period(history_start - timedelta(days=TRAINING_DAYS), history_start)
    return draw_leads(rng, arrival_times(rng, period, TRAINING_LEADS_A_DAY), 1)


def history_leads(seed: int, period: Period) -> Leads:
    """Every lead of the history, scored through the API."""
    rng = generator(seed, "history")
    return draw_leads(rng, arrival_times(rng, period, API_LEADS_A_DAY), 10_000_000)
