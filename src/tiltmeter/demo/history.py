"""The log that thirty days of the company leave behind: predictions, outcomes, runs of the batch job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.demo.columns import Levels, joined, taken
from tiltmeter.demo.features import with_missing
from tiltmeter.demo.incidents import (
    CONVERSION_FACTOR,
    ERROR_SHARE,
    FALLING_SOURCE,
    MISSING_SHARE,
    NEW_LEVEL_SHARE,
    ROUTE,
    SLOW_FACTOR,
    UNIT_FACTOR,
)
from tiltmeter.demo.world import (
    BATCH_LEADS,
    JOB_EVERY,
    JOB_HOUR,
    Leads,
    generator,
    microseconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiltmeter.demo.columns import Column
    from tiltmeter.demo.incidents import Incident
    from tiltmeter.demo.scoring import LeadModel
    from tiltmeter.demo.world import Period

MANY_ROUTE = "POST /score-many"
_BLOCK, _MANY = 50, 5
"""Of every 50 leads, five come in one request to the list route."""

_LATENCY_MEDIAN_MS, _LATENCY_SIGMA = 25.0, 0.45
_MANY_FACTOR = 1.5

# 200 requests may hold two errors before the rule speaks; one in 20,000 keeps quiet stretches quiet.
_QUIET_ERROR_SHARE = 0.00005
_REJECTED_SHARE = 0.002
_RUN_SECONDS = (55, 95)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scored leads, one row a prediction, in order of time.

    Args:
        time: when the answer was given; microseconds since the epoch.
        number: the lead.
        columns: features as the model saw them, incidents included.
        prediction: NaN where the request failed.
        version: model version per row, as codes.
        latency_ms: of the request; NaN in batch runs.
        status: HTTP status; 0 in batch runs.
        route: as codes, −1 in batch runs.
        record: place within a list request or a batch run, −1 elsewhere.
        leader: row that stands for the whole request (its own number for single requests).
        run: number of the batch run, −1 for requests.
    """

    time: np.ndarray
    number: np.ndarray
    columns: dict[str, Column]
    prediction: np.ndarray
    version: Levels
    latency_ms: np.ndarray
    status: np.ndarray
    route: Levels
    record: np.ndarray
    leader: np.ndarray
    run: np.ndarray

    def __len__(self) -> int:
        return int(self.time.size)


@dataclass(frozen=True, slots=True)
class NightlyRun:
    """One run of the batch job.

    Args:
        number: running number.
        start: aware UTC.
        end: aware UTC.
        records: leads read and scored.
    """

    number: int
    start: datetime
    end: datetime
    records: int


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Everything that happened.

    Args:
        seed: of the world.
        period: from the first midnight to the end of the log.
        incidents: the declared truth.
        leads: with their true outcome.
        scored: predictions of API and batch job.
        runs: of the batch job.
    """

    seed: int
    period: Period
    incidents: tuple[Incident, ...]
    leads: Leads
    scored: Scored
    runs: tuple[NightlyRun, ...]


def build_history(
    seed: int,
    period: Period,
    incidents: Sequence[Incident],
    *,
    leads: Leads,
    before: Leads,
    model: LeadModel,
    risky: LeadModel,
) -> History:
    """Let the company work.

    Args:
        seed: of the world.
        period: from the first midnight to the end of the log.
        incidents: what goes wrong.
        leads: of the period.
        before: of the days before, which the first nightly run scores.
        model: in production.
        risky: the version that is in production during the score shift.
    """
    planted = {incident.id: incident for incident in incidents}
    leads = _with_fall(seed, leads, planted.get("conversion-fall"))
    runs, batches = _nightly_runs(seed, list(_nights(period, planted.get("job-absent"))), before, leads)
    requests = _requests(seed, leads, planted)
    times = np.concatenate([requests["time"], *(time for time, _ in batches)])
    columns = joined([leads.columns, *(rows.columns for _, rows in batches)])
    columns = _with_incidents(seed, columns, times, planted)
    is_risky = _within(times, planted.get("score-shift"))
    prediction = model.score(columns)
    if is_risky.any():
        prediction[is_risky] = risky.score(taken(columns, is_risky))
    sizes = [len(rows) for _, rows in batches]
    jobs = sum(sizes)
    failed = np.concatenate([requests["status"] != 200, np.zeros(jobs, np.bool_)])
    scored = Scored(
        time=times,
        number=np.concatenate([leads.number, *(rows.number for _, rows in batches)]),
        columns=columns,
        prediction=np.where(failed, np.nan, prediction),
        version=Levels(is_risky.astype(np.int16), (model.version, risky.version)),
        latency_ms=np.concatenate([requests["latency_ms"], np.full(jobs, np.nan)]),
        status=np.concatenate([requests["status"], np.zeros(jobs, np.int32)]),
        route=Levels(np.concatenate([requests["route"], np.full(jobs, -1, np.int16)]), (ROUTE, MANY_ROUTE)),
        record=np.concatenate([requests["record"], *(np.arange(size) for size in sizes)]),
        leader=np.concatenate([requests["leader"], np.arange(len(leads), len(leads) + jobs)]),
        run=np.concatenate([np.full(len(leads), -1), np.repeat([run.number for run in runs], sizes)]),
    )
    return History(seed, period, tuple(incidents), leads, _in_order(scored), tuple(runs))


def _with_fall(seed: int, leads: Leads, incident: Incident | None) -> Leads:
    source = leads.columns["lead_source"]
    if incident is None or not isinstance(source, Levels):
        return leads
    hit = _within(leads.time, incident) & (source.codes == source.names.index(FALLING_SOURCE))
    lost = hit & (generator(seed, "conversion-fall").random(len(leads)) >= CONVERSION_FACTOR)
    delay = np.where(lost, -1, leads.delay)
    return Leads(leads.number, leads.time, leads.columns, delay, np.where(lost, 0.0, leads.revenue))


def _within(time: np.ndarray, incident: Incident | None) -> np.ndarray:
    if incident is None:
        return np.zeros(time.size, dtype=np.bool_)
    return (time >= microseconds(incident.start)) & (time < microseconds(incident.end))


def _nights(period: Period, absent: Incident | None) -> Iterator[datetime]:
    start = period.start + timedelta(hours=JOB_HOUR)
    while start + timedelta(minutes=5) < period.end:
        if absent is None or start.date() != absent.start.date():
            yield start
        start += JOB_EVERY


def _nightly_runs(
    seed: int, nights: Sequence[datetime], before: Leads, leads: Leads
) -> tuple[list[NightlyRun], list[tuple[np.ndarray, Leads]]]:
    rng = generator(seed, "nightly")
    runs, batches = [], []
    for number, start in enumerate(nights, start=1):
        until = microseconds(start)
        since = until - int(JOB_EVERY / timedelta(microseconds=1))
        open_leads = [part.take(_rows_between(part.time, since, until)) for part in (before, leads)]
        pool = _stacked(open_leads)
        chosen = np.sort(rng.choice(len(pool), min(BATCH_LEADS, len(pool)), replace=False))
        seconds = int(rng.integers(*_RUN_SECONDS))
        end = start + timedelta(seconds=seconds)
        time = until + np.linspace(2_000_000, (seconds - 5) * 1_000_000, chosen.size).astype(np.int64)
        runs.append(NightlyRun(number, start, end, int(chosen.size)))
        batches.append((time, pool.take(chosen)))
    return runs, batches


def _rows_between(time: np.ndarray, since: int, until: int) -> np.ndarray:
    first, last = np.searchsorted(time, [since, until])
    return np.arange(first, last)


def _stacked(parts: Sequence[Leads]) -> Leads:
    return Leads(
        np.concatenate([part.number for part in parts]),
        np.concatenate([part.time for part in parts]),
        joined([part.columns for part in parts]),
        np.concatenate([part.delay for part in parts]),
        np.concatenate([part.revenue for part in parts]),
    )


def _with_incidents(
    seed: int, columns: dict[str, Column], time: np.ndarray, planted: dict[str, Incident]
) -> dict[str, Column]:
    changed = dict(columns)
    rng = generator(seed, "feature incidents")
    unit, level, missing = (planted.get(name) for name in ("unit-change", "new-level", "missing-jump"))
    if unit is not None:
        column = np.asarray(changed[unit.subject])
        changed[unit.subject] = np.where(_within(time, unit), column * UNIT_FACTOR, column)
    if level is not None:
        changed[level.subject] = _with_level(rng, changed[level.subject], _within(time, level), level.level)
    if missing is not None:
        gone = _within(time, missing) & (rng.random(time.size) < MISSING_SHARE)
        changed[missing.subject] = with_missing(changed[missing.subject], gone)
    return changed


def _with_level(rng: np.random.Generator, column: Column, hit: np.ndarray, name: str) -> Column:
    if not isinstance(column, Levels):
        raise TypeError("only a category has levels")
    new = np.int16(len(column.names))
    codes = np.where(hit & (rng.random(hit.size) < NEW_LEVEL_SHARE), new, column.codes)
    return Levels(codes, (*column.names, name))


def _leaders(rows: int) -> np.ndarray:
    place = np.arange(rows)
    in_list = place % _BLOCK < _MANY
    return np.where(in_list, place - place % _BLOCK, place)


def _requests(seed: int, leads: Leads, planted: dict[str, Incident]) -> dict[str, np.ndarray]:
    """What the access log knows of the API's requests; every row of a list request shares its time and its fate."""
    rng = generator(seed, "requests")
    n = len(leads)
    leader = _leaders(n)
    is_many = np.arange(n) % _BLOCK < _MANY
    latency = np.exp(rng.normal(np.log(_LATENCY_MEDIAN_MS), _LATENCY_SIGMA, n)) * np.where(is_many, _MANY_FACTOR, 1.0)
    time = leads.time[leader]
    slow = _within(time, planted.get("slow-deploy")) & ~is_many
    latency = np.where(slow, latency * SLOW_FACTOR, latency)
    draw = rng.random(n)
    share = np.where(_within(time, planted.get("error-burst")) & ~is_many, ERROR_SHARE, _QUIET_ERROR_SHARE)
    status = np.select([draw < share, (draw > 1.0 - _REJECTED_SHARE) & ~is_many], [500, 422], 200).astype(np.int32)
    return {
        "time": time,
        "latency_ms": np.round(latency, 3)[leader],
        "status": status[leader],
        "route": is_many.astype(np.int16),
        "record": np.where(is_many, np.arange(n) - leader, -1),
        "leader": leader,
    }


def _in_order(scored: Scored) -> Scored:
    order = np.argsort(scored.time, kind="stable")
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    return Scored(
        scored.time[order],
        scored.number[order],
        taken(scored.columns, order),
        scored.prediction[order],
        scored.version.take(order),
        scored.latency_ms[order],
        scored.status[order],
        scored.route.take(order),
        scored.record[order],
        place[scored.leader[order]],
        scored.run[order],
    )
