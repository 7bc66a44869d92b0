"""The configuration file as typed values. Every key, its default and its unit stand here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from tiltmeter.config.units import duration, duration_text, share, size
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.feature import FeatureKind

T = TypeVar("T")


def _read_by(parse: Callable[[object], T]) -> Callable[[object], T]:
    """A parser as a validator: pydantic knows the place of a ValueError only."""

    def read(value: object) -> T:
        try:
            return parse(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    return read


Duration = Annotated[
    timedelta, BeforeValidator(_read_by(duration)), PlainSerializer(duration_text, return_type=str, when_used="json")
]
Size = Annotated[int, BeforeValidator(_read_by(size))]
Share = Annotated[float, BeforeValidator(_read_by(share))]


def _known_zone(given: object) -> str:
    name = str(given)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f'there is no time zone "{name}"', hint="use a name such as Europe/Berlin or UTC") from error
    return name


Zone = Annotated[str, AfterValidator(_read_by(_known_zone))]


class Secret:
    """Where a secret lies, never the secret: `env:NAME` or `file:PATH`.

    Args:
        reference: as written in the file.
    """

    def __init__(self, reference: str) -> None:
        kind, _, place = reference.partition(":")
        if kind not in ("env", "file") or not place:
            # The value may be the secret itself, so it is not repeated in the message.
            raise ConfigError("a secret stands here in clear text", hint="write env:NAME or file:PATH instead")
        self.reference = reference

    def value(self, folder: Path | None = None) -> str:
        """The secret itself.

        Args:
            folder: relative files are looked up here.

        Raises:
            ConfigError: the variable is not set or the file cannot be read.
        """
        kind, _, place = self.reference.partition(":")
        if kind == "env":
            found = os.environ.get(place)
            if not found:
                raise ConfigError(f"the environment variable {place} is not set", hint=f"export {place}=…")
            return found
        path = (folder or Path()) / place
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"the secret file {path} cannot be read ({error.strerror})") from error

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)


def _secret(value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret(str(value))


SecretField = Annotated[Any, BeforeValidator(_read_by(_secret))]


class Part(BaseModel):
    """A section of the file: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


class StoreSettings(Part):
    """Delta tables."""

    path: str = "tables"
    keep_versions: Duration = timedelta(days=7)
    keep_rows: Duration = timedelta(days=400)


class StateSettings(Part):
    """State database."""

    url: str = "sqlite:state.db"
    keep_hourly_metrics: Duration = timedelta(days=90)


class KeySettings(Part):
    """Keys of the HTTP API by role."""

    read: SecretField | None = None
    outcomes: SecretField | None = None
    operate: SecretField | None = None


class ServerSettings(Part):
    """HTTP service."""

    host: str = "127.0.0.1"
    port: int = 8780
    public_url: str = ""
    trusted_header: str | None = None
    link_key: SecretField | None = None
    outcomes_secret: SecretField | None = None
    keys: KeySettings = KeySettings()


class DashboardSettings(Part):
    """Streamlit dashboard."""

    host: str = "127.0.0.1"
    port: int = 8501


class SpoolSettings(Part):
    """Spool on the API host."""

    path: str = "spool"
    durability: Literal["process", "disk"] = "process"
    max_bytes: Size = 2_000_000_000
    min_free: Share = 0.10
    on_full: Literal["drop", "block", "fail_request"] = "drop"


class CaptureSettings(Part):
    """Capture, as the shipper needs to know it."""

    spool: SpoolSettings = SpoolSettings()
    keep_raw: Literal["never", "unmapped", "always"] = "unmapped"
    exclude_paths: tuple[str, ...] = ("/metrics", "/healthz", "/docs", "/openapi.json")


class TableSettings(Part):
    """A prediction table that is read in place."""

    table: str
    columns: dict[Literal["time", "entity_id", "prediction", "model_version", "label"], str]
    features: Literal["rest"] | tuple[str, ...] = "rest"


class RouteSettings(Part):
    """How one HTTP route becomes rows."""

    features: str = "$"
    entity_id: str = "entity_id"
    prediction: str = ""


class FeatureSettings(Part):
    """Features of a model."""

    ignore: tuple[str, ...] = ()
    kinds: dict[str, FeatureKind] = Field(default_factory=dict)
    missing_values: dict[str, tuple[str | float | int | bool, ...]] = Field(default_factory=dict)
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)


class PrivacySettings(Part):
    """Fields that are dropped or stored as a keyed hash."""

    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()


class BaselineSettings(Part):
    """One baseline; exactly one source is set."""

    data: str = ""
    from_: datetime | None = Field(default=None, alias="from")
    until: datetime | None = None
    rolling: Duration | None = None
    previous: bool = False
    seasonal: Duration | None = None
    champion: bool = False
    mlflow: str = ""


class OutcomeSettings(Part):
    """How predictions meet outcomes."""

    attribution: Duration = timedelta(days=90)
    mature_after: Duration = timedelta(days=30)
    currency: str = "EUR"


class JobSettings(Part):
    """A batch job that should run."""

    expect_every: Duration
    grace: Duration = timedelta(hours=2)
    databricks_job_id: int | None = None


class ModelSettings(Part):
    """One monitored model."""

    source: Literal["capture"] | TableSettings = "capture"
    history: Duration = timedelta(days=30)
    latency_target: Duration = timedelta(milliseconds=200)
    routes: dict[str, RouteSettings] = Field(default_factory=dict)
    threshold: float = 0.5
    features: FeatureSettings = FeatureSettings()
    privacy: PrivacySettings = PrivacySettings()
    segments: tuple[str, ...] = ()
    baselines: dict[str, BaselineSettings] = Field(default_factory=dict)
    outcomes: OutcomeSettings = OutcomeSettings()
    jobs: dict[str, JobSettings] = Field(default_factory=dict)
    level_cap: int = Field(default=10_000, ge=1)
    sampling: Share = 1.0


class LateRowSettings(Part):
    """How long a window waits for rows, and how long late rows reopen it."""

    wait: Duration = timedelta(hours=2)
    reopen_for: Duration = timedelta(hours=72)


class ScheduleSettings(Part):
    """When windows are judged; cron expressions in the business time zone."""

    realtime: Duration = timedelta(seconds=10)
    hourly: str = "5 * * * *"
    daily: str = "0 6 * * *"
    weekly: str = "0 7 * * 1"
    late_rows: LateRowSettings = LateRowSettings()


class HeartbeatSettings(Part):
    """Dead-man's switch."""

    every: Duration = timedelta(seconds=60)
    page_after: Duration = timedelta(minutes=5)
    ping: str | None = None
    routing_key: SecretField | None = None


class DatabricksSettings(Part):
    """Workspace whose job runs are polled."""

    host: SecretField
    token: SecretField
    poll: Duration = timedelta(seconds=60)
    warehouse_id: str = ""


class MlflowSettings(Part):
    """Tracking server."""

    tracking_uri: str


class ReportReceivers(Part):
    """Who gets a report."""

    to: tuple[str, ...] = ()


class ReportSettings(Part):
    """Reports: written to `home/reports` in any case, sent to the channels that are named."""

    daily: ReportReceivers = ReportReceivers()
    weekly: ReportReceivers = ReportReceivers()


class Settings(Part):
    """The whole file but its rules, which `config.rules` reads."""

    version: Literal[1] = 1
    home: str = "./tiltmeter-home"
    timezone: Zone = "UTC"
    store: StoreSettings = StoreSettings()
    state: StateSettings = StateSettings()
    engine: Literal["local", "spark"] = "local"
    server: ServerSettings = ServerSettings()
    dashboard: DashboardSettings = DashboardSettings()
    capture: CaptureSettings = CaptureSettings()
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    schedule: ScheduleSettings = ScheduleSettings()
    channels: dict[str, dict[str, Any]] = Field(default_factory=dict)
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    databricks: DatabricksSettings | None = None
    mlflow: MlflowSettings | None = None
    report: ReportSettings = ReportSettings()


RULE_KEYS = ("rule_defaults", "rules", "inhibit", "mute_timings", "routes", "escalation")
"""Top-level keys that belong to the rules."""
