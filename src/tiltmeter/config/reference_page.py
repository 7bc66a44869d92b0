"""The page of every setting, written from the models that read the file."""

from __future__ import annotations

import types
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from tiltmeter.config.settings import Settings
from tiltmeter.config.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_HEAD = """# Configuration

One file, `tiltmeter.yaml`; `tiltmeter init` writes it with every default visible, `tiltmeter check` validates it (file,
line, "did you mean"). This page is written from the models in `src/tiltmeter/config/settings.py`; the rules part has a
page of its own (`rules.md`), each kind of channel too (`channels.md`).

- Relative paths are relative to `home`, `home` to the file. The file is `--config`, else `$TILTMETER_CONFIG`, else
  `./tiltmeter.yaml`, else the defaults below.
- Secrets are `env:NAME` or `file:PATH`, never the secret itself; it is never printed.
- An environment variable overrides one setting: `TILTMETER_SERVER__PORT=9000` is `server: {port: 9000}`. Reserved
  besides: `TILTMETER_SPOOL`, `TILTMETER_CONFIG`, `TILTMETER_HASH_KEY`, `TILTMETER_CAPTURE`,
  `TILTMETER_COMPILE`, `TILTMETER_TEST_DATA`. Any other name that
  begins so is an error.
- Durations are written `10s`, `5m`, `2h`, `7d`, `8w`, sizes `500MB`, `2GB`, shares `0.1` or `10%`.

| key | default | meaning |
|---|---|---|
"""

MEANINGS = {
    "version": "of the file format",
    "home": "folder of spool, tables, state and reports",
    "timezone": "business time zone: hours, days and weeks are cut by it and stored in UTC",
    "store.path": "folder of the Delta tables",
    "store.keep_versions": "how long old table versions can be read, and an alert recomputed from rows",
    "store.keep_rows": "how long predictions, outcomes and job runs are kept",
    "state.url": "state database: `sqlite:FILE`, or a secret that holds a PostgreSQL address",
    "state.keep_hourly_metrics": "how long hourly numbers are kept; profiles stay",
    "engine": "what runs the profiles over the rows",
    "server.host": "address that the HTTP service listens on; others than loopback need a key or a trusted header",
    "server.port": "of the HTTP service",
    "server.public_url": "address of the dashboard as people reach it; makes the links in messages",
    "server.trusted_header": "header with the person's name, set by a reverse proxy that signs people in",
    "server.link_key": "signs the links in messages that acknowledge without a key",
    "server.outcomes_secret": "signs reported outcomes (`whsec_…`); with it every such post must be signed",
    "server.keys.read": "key that may read",
    "server.keys.outcomes": "key that may only report outcomes",
    "server.keys.operate": "key that may acknowledge and silence",
    "dashboard.host": "address that the dashboard listens on; others than loopback need a key or a trusted header",
    "dashboard.port": "of the dashboard",
    "capture.spool.path": "folder of the spool",
    "capture.spool.durability": "`process` survives kill -9, `disk` power loss",
    "capture.spool.max_bytes": "largest size of the spool's segments",
    "capture.spool.min_free": "share of the disk that stays free",
    "capture.spool.on_full": "what happens to a record that finds no room",
    "capture.keep_raw": "which raw requests are kept beside the mapped columns",
    "capture.exclude_paths": "paths that are not captured",
    "models.NAME.source": "`capture`, or a table that is read in place",
    "models.NAME.source.table": "path of a Delta table, or of a folder of files",
    "models.NAME.source.columns": "role (time, entity_id, prediction, model_version, label) to column",
    "models.NAME.source.features": "`rest`, or the feature columns",
    "models.NAME.history": "how far back a table is read first",
    "models.NAME.latency_target": "for the share within target and capacity",
    "models.NAME.routes.ROUTE.features": "path of the features in the request body; `$` is all of it",
    "models.NAME.routes.ROUTE.entity_id": "path of the lead's id",
    "models.NAME.routes.ROUTE.prediction": "path of the score in the response",
    "models.NAME.threshold": "score from which a lead counts as a predicted customer",
    "models.NAME.features.ignore": "columns that are no features",
    "models.NAME.features.kinds": "kinds that you insist on, by column",
    "models.NAME.features.missing_values": "values that mean missing, by column; days as 2026-10-01, texts in quotes",
    "models.NAME.features.weights": "importance in the weighted PSI, by column; 1 where absent",
    "models.NAME.privacy.drop": "fields that are never stored",
    "models.NAME.privacy.hash": "fields that are stored as a keyed hash (`TILTMETER_HASH_KEY`)",
    "models.NAME.segments": "columns whose values are judged apart",
    "models.NAME.baselines.BASELINE.data": "a data set",
    "models.NAME.baselines.BASELINE.from": "first moment of a window of the log",
    "models.NAME.baselines.BASELINE.until": "end of that window",
    "models.NAME.baselines.BASELINE.rolling": "the span of that length before the judged window",
    "models.NAME.baselines.BASELINE.previous": "the window before the judged one",
    "models.NAME.baselines.BASELINE.seasonal": "the same hours of the weeks before, so far back",
    "models.NAME.baselines.BASELINE.champion": "the champion version's rows of the same window",
    "models.NAME.baselines.BASELINE.mlflow": "a registered model version, `models:/name@alias`",
    "models.NAME.outcomes.attribution": "longest time from a prediction to its outcome",
    "models.NAME.outcomes.mature_after": "age from which the outcomes of a lead are taken as known",
    "models.NAME.outcomes.currency": "of revenue",
    "models.NAME.jobs.JOB.expect_every": "how often the job should run",
    "models.NAME.jobs.JOB.grace": "how late it may be",
    "models.NAME.jobs.JOB.databricks_job_id": "its id on Databricks",
    "models.NAME.level_cap": "levels kept of a category",
    "models.NAME.sampling": "share of the requests that is captured",
    "schedule.realtime": "how often live rules are judged",
    "schedule.hourly": "when the hours are judged, as cron",
    "schedule.daily": "when the days are judged, as cron",
    "schedule.weekly": "when the weeks are judged, as cron",
    "schedule.late_rows.wait": "how long a window waits for its rows",
    "schedule.late_rows.reopen_for": "how long late rows have a window judged again",
    "channels": "ways to people by name, see `channels.md`",
    "heartbeat.every": "how often a synthetic alert goes the whole way",
    "heartbeat.page_after": "silence after which the watchdog pages",
    "heartbeat.ping": "address that is asked for at every beat",
    "heartbeat.routing_key": "PagerDuty key of the watchdog's own",
    "databricks.host": "workspace",
    "databricks.token": "of a user or service principal that may see the jobs",
    "databricks.poll": "how often job runs are asked for",
    "databricks.warehouse_id": "SQL warehouse for the back-fill of older runs",
    "mlflow.tracking_uri": "tracking server",
    "report.daily.to": "channels that get the daily report",
    "report.weekly.to": "channels that get the weekly report",
}
"""What each key means. A test holds it to the models: no key without words, no words without a key."""

_NAMES = {"models": "NAME", "routes": "ROUTE", "baselines": "BASELINE", "jobs": "JOB"}


def settings_keys() -> Iterator[tuple[str, str]]:
    """Every key with its default as the file would write it."""
    yield from _keys(Settings, "")


def reference_page() -> str:
    """Markdown with one row a key."""
    rows = [f"| `{key}` | {default} | {MEANINGS.get(key, '')} |" for key, default in settings_keys()]
    return _HEAD + "\n".join(rows) + "\n"


def _keys(part: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for attribute, field in part.model_fields.items():
        name = field.alias or attribute
        key = f"{prefix}{name}"
        below = _part_of(field.annotation)
        is_mapping = get_origin(field.annotation) is dict and below is not None
        if below is None:
            yield key, _default(field)
            continue
        if _has_plain_form(field):
            yield key, _default(field)
        yield from _keys(below, f"{key}.{_NAMES[name]}." if is_mapping else f"{key}.")


def _part_of(hint: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint
    if get_origin(hint) in (Union, types.UnionType, Annotated, dict):
        return next((found for part in get_args(hint) if (found := _part_of(part)) is not None), None)
    return None


def _has_plain_form(field: FieldInfo) -> bool:
    return any(get_origin(part) is Literal for part in get_args(field.annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(needed)"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, timedelta):
        return f"`{duration_text(value)}`"
    if value in (None, ""):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | dict):
        return f"`[{', '.join(map(str, value))}]`" if isinstance(value, tuple) else "`{}`"
    return f"`{value}`"
