"""Records of batch jobs since the start of the process: a counter out of rows that say what each run did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from tiltmeter.service.exposition import family, sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any

_RESULTS = {"in": "records_in", "out": "records_scored", "rejected": "records_failed"}
"""Label `result` -> column of `batch_runs`."""

_Run = tuple[str, str, int]


@dataclass(slots=True, eq=False)
class JobRecords:
    """Adds up what runs report, each record once.

    Args:
        since: runs that were known earlier are not counted, only what they report from then on.
    """

    since: datetime
    _seen: dict[_Run, dict[str, int]] = field(default_factory=dict)
    _totals: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def add(self, runs: Iterable[Mapping[str, Any]]) -> None:
        """Count what is new in the newest rows of runs; rows of single tasks are left out.

        Args:
            runs: all of the last days; one that is no longer among them is forgotten, and never comes back.
        """
        with self._lock:
            listed = {self._add(run) for run in runs if not run.get("task_key")}
            self._seen = {key: self._seen[key] for key in listed}

    def _add(self, run: Mapping[str, Any]) -> _Run:
        key = (run.get("workspace") or "", run["run_id"], run.get("attempt") or 0)
        reported = {result: int(run.get(column) or 0) for result, column in _RESULTS.items()}
        before = self._seen.get(key)
        if before is None:
            known_earlier = run["ingest_time"] < self.since
            before = reported if known_earlier else dict.fromkeys(_RESULTS, 0)
        for result, number in reported.items():
            self._totals[run["job_name"], result] += max(0, number - before[result])
        self._seen[key] = {result: max(number, before[result]) for result, number in reported.items()}
        return key

    def lines(self) -> list[str]:
        """In Prometheus' text format, 0 for a job that ran before."""
        with self._lock:
            totals = sorted(self._totals.items())
        samples = [
            sample("job_records_total", {"job_name": name, "result": result}, float(number))
            for (name, result), number in totals
        ]
        return family("job_records_total", "counter", "Records of all runs of the job, by result.", samples)
