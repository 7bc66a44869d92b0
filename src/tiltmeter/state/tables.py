"""The tables of the state database, as the migrations leave them. Times are microseconds since 1970, UTC.

Numbers are split in two so that a year of them stays small and fast: `metric_series` names what a number is about,
`metric_points` holds the numbers clustered by series and time. The view `metrics` joins both for people and reports.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, MetaData, String, Table, Text

METADATA = MetaData()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Aware UTC time of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


SCHEMA_VERSION = Table(
    "schema_version",
    METADATA,
    Column("version", Integer, primary_key=True),
    Column("applied_at", BigInteger, nullable=False),
)

RUNS = Table(
    "runs",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("monitor", String, nullable=False),
    Column("model", String, nullable=False),
    Column("grain", String, nullable=False),
    Column("window_start", BigInteger, nullable=False),
    Column("window_end", BigInteger, nullable=False),
    Column("source_version", BigInteger),
    Column("evaluated_at", BigInteger, nullable=False),
    Column("repeats", Integer, nullable=False, default=0),
)

METRIC_SERIES = Table(
    "metric_series",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("grain", String, nullable=False),
    Column("model_name", String, nullable=False),
    Column("metric", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("segment_key", String, nullable=False),
    Column("segment_value", String, nullable=False),
    Column("feature", String, nullable=False),
)

METRIC_SOURCES = Table(
    "metric_sources",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("baseline_id", String, nullable=False),
    Column("bins_id", String, nullable=False),
    Column("code_version", String, nullable=False),
)

METRIC_POINTS = Table(
    "metric_points",
    METADATA,
    Column("series_id", BigInteger, primary_key=True),
    Column("window_end", BigInteger, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("run_id", BigInteger, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    Column("source_version", BigInteger),
    Column("status", String, nullable=False),
    Column("value", Float),
    Column("lower", Float),
    Column("upper", Float),
    Column("p_value", Float),
    Column("q_value", Float),
    Column("n_reference", BigInteger),
    Column("n_current", BigInteger),
    Column("computed_at", BigInteger),
    Column("why_missing", Text),
    Column("details", Text),
)

ALERTS = Table(
    "alerts",
    METADATA,
    Column("fingerprint", String, primary_key=True),
    Column("episode", Integer, primary_key=True),
    Column("id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("state", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("incident", String, nullable=False),
    Column("since", BigInteger),
    Column("resolved_at", BigInteger),
    Column("updated_at", BigInteger),
    Column("body", Text, nullable=False),
)

ALERT_EVENTS = Table(
    "alert_events",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("fingerprint", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("window_end", BigInteger, nullable=False),
    Column("evaluated_at", BigInteger, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("value", Float),
    Column("incident", String, nullable=False),
    Column("detail", Text, nullable=False),
)

INCIDENTS = Table(
    "incidents",
    METADATA,
    Column("id", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("state", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("body", Text, nullable=False),
)

THREADS = Table(
    "threads",
    METADATA,
    Column("incident", String, primary_key=True),
    Column("channel", String, primary_key=True),
    Column("body", Text, nullable=False),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("delivery_id", String, primary_key=True),
    Column("channel", String, nullable=False),
    Column("incident", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("holder", String, nullable=False),
    Column("lease_until", BigInteger),
    Column("reconcile", Boolean, nullable=False),
    Column("first_tried_at", BigInteger),
    Column("sent_at", BigInteger),
    Column("last_error", Text, nullable=False),
    Column("receipt", Text),
    Column("body", Text, nullable=False),
)

CHANNEL_STATES = Table(
    "channel_states",
    METADATA,
    Column("channel", String, primary_key=True),
    Column("paused_until", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

SILENCES = Table(
    "silences",
    METADATA,
    Column("id", String, primary_key=True),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

BASELINES = Table(
    "baselines",
    METADATA,
    Column("model", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("baseline_id", String, nullable=False),
    Column("bins_id", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)

WATERMARKS = Table(
    "watermarks",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

HEARTBEATS = Table(
    "heartbeats",
    METADATA,
    Column("component", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("last_window", Text, nullable=False),
)
