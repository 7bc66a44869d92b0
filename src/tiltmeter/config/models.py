"""Settings of models in the words of the domain."""

from __future__ import annotations

import os
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.model import (
    BaselineSelector,
    JobExpectation,
    Model,
    OutcomeSettings,
    RouteMapping,
    TableSource,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    from tiltmeter.config.settings import BaselineSettings, ModelSettings

_WEEK_SECONDS = 7 * 86_400


def model_of(name: str, settings: ModelSettings, *, home: Path, zone: ZoneInfo) -> Model:
    """One model of the file.

    Args:
        name: as in the file.
        settings: its section.
        home: relative paths lie here.
        zone: times without a zone are meant in it.

    Raises:
        ConfigError: a baseline names no source or several.
    """
    source = None
    if settings.source != "capture":
        table = settings.source
        features = None if table.features == "rest" else table.features
        source = TableSource(
            _placed(table.table, home),
            {str(role): column for role, column in table.columns.items()},
            features,
            settings.history,
        )
    baselines = tuple(_selector(key, value, home, zone, name) for key, value in settings.baselines.items())
    routes = (RouteMapping(r, m.features, m.entity_id, m.prediction) for r, m in settings.routes.items())
    jobs = (JobExpectation(j, s.expect_every, s.grace, s.databricks_job_id) for j, s in settings.jobs.items())
    outcomes = settings.outcomes
    return Model(
        name=name,
        source=source,
        latency_target=settings.latency_target,
        routes=tuple(routes),
        threshold=settings.threshold,
        ignore=settings.features.ignore,
        kinds=dict(settings.features.kinds),
        missing_values={key: tuple(values) for key, values in settings.features.missing_values.items()},
        weights=dict(settings.features.weights),
        segments=settings.segments,
        baselines=baselines or Model(name).baselines,
        jobs=tuple(jobs),
        outcomes=OutcomeSettings(outcomes.attribution, outcomes.mature_after, outcomes.currency),
        drop=settings.privacy.drop,
        hash=settings.privacy.hash,
        level_cap=settings.level_cap,
        sampling=settings.sampling,
    )


def _selector(key: str, settings: BaselineSettings, home: Path, zone: ZoneInfo, model: str) -> BaselineSelector:
    at = f"models.{model}.baselines.{key}"
    given = [
        name for name in ("data", "rolling", "previous", "seasonal", "champion", "mlflow") if getattr(settings, name)
    ]
    if settings.from_ is not None or settings.until is not None:
        if settings.from_ is None or settings.until is None:
            raise ConfigError("a fixed window needs both `from` and `until`", at=at)
        given.append("from")
    if len(given) != 1:
        said = ", ".join(given) or "none"
        raise ConfigError(
            f"a baseline needs exactly one source, this one has {said}",
            at=at,
            hint="give one of data, from/until, rolling, previous, seasonal, champion, mlflow",
        )
    return BaselineSelector(
        name=key,
        data=_placed(settings.data, home) if settings.data else "",
        since=_moment(settings.from_, zone),
        until=_moment(settings.until, zone),
        rolling=settings.rolling,
        previous=settings.previous,
        seasonal_weeks=_weeks(settings.seasonal, at),
        champion=settings.champion,
        mlflow=settings.mlflow,
    )


def _weeks(length: timedelta | None, at: str) -> int:
    if length is None:
        return 0
    weeks, rest = divmod(int(length.total_seconds()), _WEEK_SECONDS)
    if rest or not weeks:
        raise ConfigError("a seasonal baseline is a whole number of weeks", at=at, hint="write it like 8w")
    return weeks


def _moment(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _placed(place: str, home: Path) -> str:
    """Relative paths lie in `home`; addresses and `catalog.schema.table` names stay as they are."""
    if "://" in place or place.startswith("/"):
        return place
    candidate = Path(os.path.normpath(home / place))  # `home` need not exist yet
    return str(candidate) if "/" in place or candidate.exists() or place.count(".") != 2 else place
