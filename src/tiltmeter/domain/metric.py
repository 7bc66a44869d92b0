"""One number about one subject and window, and the declaration that every view of that number shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np

    from tiltmeter.domain.window import Window


class Status(StrEnum):
    """What a number (or the lack of one) means."""

    OK = "ok"
    CONSTANT = "constant"
    EMPTY = "empty"
    ALL_MISSING = "all_missing"
    TOO_FEW_ROWS = "too_few_rows"
    TYPE_CHANGED = "type_changed"
    MISSING_COLUMN = "missing_column"
    NEW_COLUMN = "new_column"
    NO_DATA = "no_data"
    TOO_LITTLE_HISTORY = "too_little_history"
    ERROR = "error"


STATUS_WORDS = {
    Status.CONSTANT: "one and the same value on both sides",
    Status.EMPTY: "no rows",
    Status.ALL_MISSING: "every value is missing",
    Status.TOO_FEW_ROWS: "too few rows to judge",
    Status.TYPE_CHANGED: "changed its type",
    Status.MISSING_COLUMN: "the column is gone",
    Status.NEW_COLUMN: "a column that the reference does not have",
    Status.NO_DATA: "no data",
    Status.TOO_LITTLE_HISTORY: "too little history",
    Status.ERROR: "could not be computed",
}
"""What a status is called where people read; nothing is said of `ok`."""


def reason_in_words(why: str) -> str:
    """A stored reason as people read it: that of a status in words, any other as it is."""
    return STATUS_WORDS[Status(why)] if why in _WORDED else why


_WORDED = frozenset(status.value for status in STATUS_WORDS)


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What a metric speaks about. Empty strings mean "all".

    `segment_key`/`segment_value` name a segment (`lead_source` = `web`), a route (`http_route` = `POST /score`)
    or a job (`job` = `nightly`).
    """

    model: str
    model_version: str = ""
    feature: str = ""
    segment_key: str = ""
    segment_value: str = ""

    def labels(self) -> dict[str, str]:
        """The non-empty parts by name; a segment under its own key (`job`, `http_route`, `lead_source`)."""
        labels = {"model": self.model, "model_version": self.model_version, "feature": self.feature}
        if self.segment_key:
            labels[self.segment_key] = self.segment_value
        return {name: value for name, value in labels.items() if value}


@dataclass(frozen=True, slots=True)
class Metric:
    """A value measured on a window.

    Args:
        name: name in the catalogue, such as `drift.psi`.
        subject: what it speaks about.
        window: the span that was judged (a trailing span may be longer than the schedule's window).
        value: None when it could not be computed; `why_missing` then says why. Never NaN or infinite.
        n_reference: rows (or distinct entities) behind the baseline side.
        n_current: rows (or distinct entities, requests, runs) behind the value.
    """

    name: str
    subject: Subject
    window: Window
    value: float | None
    status: Status = Status.OK
    why_missing: str = ""
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    n_reference: int | None = None
    n_current: int | None = None
    baseline_id: str = ""
    bins_id: str = ""
    source_version: int | None = None
    computed_at: datetime | None = None
    details: dict[str, str | float | int | list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class MetricSeries:
    """One metric of one subject in many windows.

    Args:
        values: float64, shape (windows,); NaN where there is none.
        n_current: rows behind each value, shape (windows,).
        n_reference: rows behind the baseline side.
        lower: lower limits, where the metric has some.
        p_values: where they are known; a metric without is held back by no gate.
        q_values: likewise.
    """

    values: np.ndarray
    n_current: np.ndarray
    n_reference: int
    lower: np.ndarray | None = None
    p_values: np.ndarray | None = None
    q_values: np.ndarray | None = None


EXPORT_PREFIX = "tiltmeter_"
"""In front of every metric that Prometheus scrapes."""


class Unit(StrEnum):
    """Units of catalogue metrics, by the name Grafana and the pages understand."""

    NONE = "none"
    SHARE = "share"
    COUNT = "count"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    PER_SECOND = "per_second"
    NATS = "nats"
    MONEY = "money"
    FEATURE = "feature_unit"


@dataclass(frozen=True, slots=True)
class MetricDeclaration:
    """One entry of the metric catalogue: it feeds rule checks, tooltips, Grafana units, report text and the docs.

    Args:
        name: `group.metric`, the name that rules use.
        title: two to four words for a page.
        unit: of the value.
        meaning: one sentence a sales lead understands.
        monitor: which monitor measures it.
        prometheus: exported name in base units without the prefix, or empty when it is not exported; see `exported`.
        per_feature: whether it exists once a feature.
        low_is_bad: whether small values are the alarming ones.
    """

    name: str
    title: str
    unit: Unit
    meaning: str
    monitor: str
    prometheus: str = ""
    per_feature: bool = False
    low_is_bad: bool = False

    @property
    def exported(self) -> str:
        """Name in Prometheus, with the prefix; empty when it is not exported."""
        return f"{EXPORT_PREFIX}{self.prometheus}" if self.prometheus else ""
