"""A monitored model, as the configuration describes it, in the words of the domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.domain.feature import FeatureKind


@dataclass(frozen=True, slots=True)
class RouteMapping:
    """How one HTTP route becomes rows; dotted paths into the JSON, `*` means every list item.

    Args:
        route: "POST /score".
        features: path into the request, `$` is the whole body.
        entity_id: path relative to the features.
        prediction: path that starts with `response.`.
    """

    route: str
    features: str = "$"
    entity_id: str = "entity_id"
    prediction: str = ""


@dataclass(frozen=True, slots=True)
class TableSource:
    """An existing prediction table that is read in place.

    Args:
        table: path, address or `catalog.schema.table`.
        columns: role (`time`, `entity_id`, `prediction`, `model_version`) -> column.
        features: columns that are features; None means the rest.
        history: how far back it is filled first.
    """

    table: str
    columns: Mapping[str, str]
    features: tuple[str, ...] | None = None
    history: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class BaselineSelector:
    """Where the reference side comes from; exactly one of the sources is set.

    Args:
        name: as in the configuration.
        data: path of a data set.
        since: start of a fixed window of the log (with `until`).
        until: its exclusive end.
        rolling: length of the trailing span that ends before the judged window.
        previous: the window just before the judged one.
        seasonal_weeks: the same hours of this many weeks before.
        champion: the champion version's rows of the same window.
        mlflow: address of a registered model version, `models:/name@alias`.
        first_week: learnt from the first full week with at least 1,000 rows.
    """

    name: str
    data: str = ""
    since: datetime | None = None
    until: datetime | None = None
    rolling: timedelta | None = None
    previous: bool = False
    seasonal_weeks: int = 0
    champion: bool = False
    mlflow: str = ""
    first_week: bool = False


@dataclass(frozen=True, slots=True)
class JobExpectation:
    """A batch job that should run: how often, with how much grace, and its id on Databricks."""

    name: str
    expect_every: timedelta
    grace: timedelta = timedelta(hours=2)
    databricks_job_id: int | None = None


@dataclass(frozen=True, slots=True)
class OutcomeSettings:
    """How predictions meet outcomes: attribution window, age from which a cohort is mature, currency of revenue."""

    attribution: timedelta = timedelta(days=90)
    mature_after: timedelta = timedelta(days=30)
    currency: str = "EUR"


@dataclass(frozen=True, slots=True)
class Model:
    """One monitored model.

    Args:
        name: hostile text.
        source: None for captured requests, else the table read in place.
        latency_target: for `share_within_target` and capacity.
        threshold: score from which a lead counts as a predicted customer.
        ignore: columns that are no features.
        kinds: kinds the user insists on.
        missing_values: values that mean "missing", per feature.
        weights: importance of features in the weighted PSI; 1 where absent.
        segments: columns whose values are judged apart.
        baselines: the first one judges, the others are shown beside it.
        drop: fields never stored.
        hash: fields stored as a keyed hash.
        level_cap: levels kept per category.
        sampling: fraction of requests captured.
    """

    name: str
    source: TableSource | None = None
    latency_target: timedelta = timedelta(milliseconds=200)
    routes: tuple[RouteMapping, ...] = ()
    threshold: float = 0.5
    ignore: tuple[str, ...] = ()
    kinds: Mapping[str, FeatureKind] = field(default_factory=dict)
    missing_values: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    baselines: tuple[BaselineSelector, ...] = (BaselineSelector("first-week", first_week=True),)
    jobs: tuple[JobExpectation, ...] = ()
    outcomes: OutcomeSettings = OutcomeSettings()
    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    level_cap: int = 10_000
    sampling: float = 1.0
