"""Settings -> World: the only place where the concrete meets the abstract."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tiltmeter.channels import build_channel
from tiltmeter.config.settings import Secret
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.errors import ConfigError, StoreError
from tiltmeter.engines import ENGINES
from tiltmeter.engines.local import open_rows
from tiltmeter.engines.local.sources import data_files, rows_of_file
from tiltmeter.ingest.found_models import KnownModels
from tiltmeter.ingest.history import History
from tiltmeter.ingest.mlflow import Tracking, model_name, reference_of
from tiltmeter.ingest.monitored_log import MonitoredLog
from tiltmeter.ingest.prediction_rows import monitored, roles_of, training
from tiltmeter.ingest.replay import Files, FolderSource
from tiltmeter.ports import World
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.store.baselines import Sources, StoredBaselines
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.states import DeltaProfileStates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiltmeter.config.load import Configuration
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ports import Channel, Clock, Engine, Rows


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


def prepare_home(configuration: Configuration) -> None:
    """Make the folders of an installation.

    Raises:
        StoreError: they cannot be made or written.
    """
    for folder in ("spool", "tables", "baselines", "reports", "damaged", "logs", "run"):
        place = configuration.home / folder
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder cannot be made ({error.strerror})",
                at=str(place),
                hint="set `home` to a folder that this user may write",
            ) from error


def build_world(
    configuration: Configuration,
    *,
    clock: Clock | None = None,
    live: Callable[[], list[TrafficState]] | None = None,
    with_channels: bool = True,
    models: Mapping[str, Model] | None = None,
    stored: DeltaLog | None = None,
) -> World:
    """Everything the pipeline touches.

    Args:
        configuration: as loaded.
        clock: the machine's by default; a simulated one in demo and tests.
        live: traffic of the last minutes that is not in the table yet.
        with_channels: False for readers, which need no secrets.
        models: instead of the configured and found ones; a mapping that may grow.
        stored: tables that are open already.

    Raises:
        ConfigError: a channel lacks its secret, or an engine is not installed.
        StoreError: home cannot be written, or the state database cannot be opened.
    """
    prepare_home(configuration)
    ticking = clock or SystemClock()
    tables = configuration.placed(configuration.settings.store.path)
    state = SqlStateStore(_state_url(configuration), ticking, home=configuration.home)
    states = DeltaProfileStates(tables, ticking)
    monitored = KnownModels(configuration.models, state, ticking) if models is None else models
    inner = stored or stored_log(configuration, ticking, monitored)
    log = MonitoredLog(inner, ticking, live, History(inner, state, ticking, configuration.zone).begin)
    engine = ENGINES.load(configuration.settings.engine)()
    baselines = StoredBaselines(
        folder=configuration.placed("baselines"),
        engine=engine,
        states=states,
        state=state,
        sources=_sources(configuration, log, engine),
        zone=configuration.zone,
    )
    return World(
        clock=ticking,
        zone=configuration.zone,
        engine=engine,
        log=log,
        states=states,
        baselines=baselines,
        state=state,
        models=monitored,
        rules=configuration.rules,
        channels=configured_channels(configuration, ticking) if with_channels else {},
        public_url=configuration.settings.server.public_url or _local_address(configuration),
    )


def stored_log(configuration: Configuration, clock: Clock, models: Mapping[str, Model]) -> DeltaLog:
    """The Delta tables of an installation."""
    files = Files(data_files, rows_of_file)
    return DeltaLog(
        configuration.placed(configuration.settings.store.path), clock, models,
        folders=lambda model: FolderSource.of(model, configuration.home, files),
    )  # fmt: skip


def resolve_secret(reference: str, configuration: Configuration) -> str:
    """The secret behind `env:NAME` or `file:PATH`.

    Raises:
        ConfigError: it is written in clear text, the variable is not set, or the file cannot be read.
    """
    return Secret(reference).value(configuration.home)


def configured_channels(configuration: Configuration, clock: Clock) -> Mapping[str, Channel]:
    """Channels of the configuration by name.

    Raises:
        ConfigError: a secret is missing, or a setting of a channel is wrong.
    """

    def resolve(reference: str) -> str:
        return resolve_secret(reference, configuration)

    channels: dict[str, Channel] = {}
    for name, given in configuration.settings.channels.items():
        try:
            channels[name] = build_channel(name, given, clock=clock, resolve=resolve)
        except ConfigError as error:
            at = configuration.source.at("channels", name)
            raise ConfigError(f"{error.at or name}: {error.what}", at=at, hint=error.hint) from None
    return channels


def _sources(configuration: Configuration, log: MonitoredLog, engine: Engine) -> Sources:
    """Where rows and references of baselines come from; registered models where a server is configured."""
    plain = Sources(_training_rows, log.rows, log.first_row, roles_of, monitored)
    tracking = tracking_of(configuration)
    if tracking is None:
        return plain

    def trained(address: str, version: str, model: Model) -> Reference:
        def fitted(place: str) -> Reference:
            rows = _training_rows(place, model)
            bins = engine.fit(rows, roles_of(model, rows), level_cap=model.level_cap)
            return Reference(place, bins.bins_id, bins, engine.profile(rows, bins))

        return reference_of(tracking, tracking.registered(f"models:/{model_name(address)}/{version}"), fitted)

    return replace(plain, registered=lambda address: tracking.registered(address).version, trained=trained)


def tracking_of(configuration: Configuration) -> Tracking | None:
    """The configured MLflow server; None where there is none."""
    settings = configuration.settings.mlflow
    return Tracking(settings.tracking_uri) if settings is not None else None


def _training_rows(place: str, model: Model) -> Rows:
    return training(open_rows(place), model)


def _state_url(configuration: Configuration) -> str:
    url = configuration.settings.state.url
    return resolve_secret(url, configuration) if url.startswith(("env:", "file:")) else url


def _local_address(configuration: Configuration) -> str:
    return f"http://127.0.0.1:{configuration.settings.dashboard.port}"
