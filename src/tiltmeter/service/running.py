"""`tiltmeter serve`: shipper, scheduler, sender, job poller and HTTP in one process, until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from getpass import getuser
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from tiltmeter.alerting.routing import channels_for
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.outcomes import keep_outcomes
from tiltmeter.capture.writer import SpoolWriter
from tiltmeter.domain.model import Model
from tiltmeter.domain.severity import Severity
from tiltmeter.ingest.found_models import found_models, keep_found_models
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.monitors.service_health import Health
from tiltmeter.service import heartbeat
from tiltmeter.service.ack_links import AckLinks, link_key
from tiltmeter.service.audit import record_rules
from tiltmeter.service.checkup import access_of, calendar_of
from tiltmeter.service.clock_watch import ClockWatch
from tiltmeter.service.connections import BoundedConnection
from tiltmeter.service.home import HomeLock, bound_socket, lock_home, write_ports
from tiltmeter.service.http import create_app
from tiltmeter.service.journal import write_journal
from tiltmeter.service.limits import MOST_CONNECTIONS
from tiltmeter.service.mlflow_runs import MlflowRuns
from tiltmeter.service.operations import RunningOperations
from tiltmeter.service.reloading import Reloading
from tiltmeter.service.reports import Reports
from tiltmeter.service.scheduler import Scheduler
from tiltmeter.service.sender import Sender, SenderPolicy
from tiltmeter.service.signals import answering
from tiltmeter.service.signed_posts import signed_posts_of
from tiltmeter.service.upkeep import Upkeep
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.store.states import DeltaProfileStates
from tiltmeter.wiring import SystemClock, build_world, prepare_home, stored_log, tracking_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiltmeter.config.load import Configuration
    from tiltmeter.domain.rule import RuleSet
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ports import World
    from tiltmeter.store.delta import DeltaLog

STOP_SECONDS = 15.0
HEARTBEAT = timedelta(seconds=60)
FIRST_LOOK_SECONDS = 10.0

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Service:
    """One running service. Made by `start`, ended by `stop`.

    Args:
        configuration: as loaded.
        port: HTTP port instead of the configured one; 0 lets the system choose.
    """

    configuration: Configuration
    port: int | None = None
    address: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _server: uvicorn.Server | None = None
    _reloading: Reloading | None = None
    _release: list[Callable[[], None]] = field(default_factory=list)

    def start(self) -> None:
        """Take the home and the port, then start every part.

        Raises:
            StoreError: another service runs on this home, it cannot be written, or the port is taken.
            ConfigError: a channel lacks its secret, or the address is open to others without a key.
        """
        settings, home = self.configuration.settings, self.configuration.home
        access = access_of(self.configuration)
        access.check_address(settings.server.host)
        prepare_home(self.configuration)
        lock = lock_home(home)
        self._release.append(lock.release)
        try:
            wanted = settings.server.port if self.port is None else self.port
            listening = bound_socket(settings.server.host, wanted, setting="server.port")
            self._release.append(listening.close)
            self._start_parts(access, listening, lock)
        except BaseException:
            self.stop()
            raise

    def _start_parts(self, access: Any, listening: socket.socket, lock: HomeLock) -> None:  # noqa: ANN401 - service.access.Access
        settings, home = self.configuration.settings, self.configuration.home
        clock = SystemClock()
        models: dict[str, Model] = dict(self.configuration.models)
        spool = self.configuration.placed(settings.capture.spool.path)
        inner = stored_log(self.configuration, clock, models)
        shipper = Shipper(spool, inner, models, clock, damaged=home / "damaged", keep_raw=settings.capture.keep_raw)
        world = build_world(self.configuration, clock=clock, live=_unstored(shipper), models=models, stored=inner)
        # Whoever had the lock before is dead: what it held need not run out first.
        world.state.release_held(lock.predecessor, at=clock.now() + SenderPolicy().look_wait)
        self._remember_models(world, models)
        record_rules(world, by=getuser())
        channels = {**world.channels, heartbeat.CHANNEL: heartbeat.HeartbeatChannel(world.state)}
        posts = signed_posts_of(self.configuration, world.state, clock)
        links = AckLinks(link_key(self.configuration), settings.server.public_url or _address(listening), clock)
        sender = Sender(world.state, channels, clock, report=_reported, prepare=links.attach, holder=lock.holder)
        pulse = heartbeat.Heartbeat(world.state, clock, every=settings.heartbeat.every)
        scheduler = Scheduler(
            world, calendar_of(self.configuration), settings.schedule.realtime,
            settings.schedule.late_rows.reopen_for, lock.holder,
        )  # fmt: skip
        scheduler.health = lambda: _health(scheduler, shipper, world)
        told = outcome_writer(self.configuration)
        self._release.append(told.close)
        operations = RunningOperations(
            world, shipper, lambda outcomes: keep_outcomes(outcomes, told), lambda: _not_ready(world),
            scheduler.health, sender.results,
        )  # fmt: skip
        people = _people(world)

        def in_force(rules: RuleSet) -> None:
            scheduler.use(rules)
            operations.world = scheduler.world
            record_rules(scheduler.world, by=getuser())

        self._reloading = Reloading(
            self.configuration, in_force, state=world.state, clock=clock, people=people, report=_reported
        )
        self._thread("shipper", shipper.run, self._stop)
        self._thread("scheduler", self._judge, scheduler, shipper)
        self._thread("sender", sender.run, self._stop)
        self._thread("pulse", pulse.run, self._stop, lambda error: _reported("heartbeat_failed", {"error": error}))
        watch = ClockWatch(world.state, clock, people)
        self._thread("clock", watch.run, self._stop, _reported)
        self._thread("heartbeat", self._beat, world, shipper, models)
        self._poll_jobs(inner, clock)
        self._keep_up(inner, world, clock, lock.holder)
        report = settings.report
        receivers = {"daily": report.daily.to, "weekly": report.weekly.to}
        self._thread("reports", Reports(world, self.configuration.placed("reports"), receivers).run, self._stop)
        if (tracking := tracking_of(self.configuration)) is not None:
            self._thread("mlflow", MlflowRuns(world, tracking, lock.holder).run, self._stop)
        self._serve(create_app(world, operations, access, links, posts), listening)
        self._release.append(world.state.close)  # type: ignore[attr-defined]  # the SQL store holds connections
        write_ports(home, serve=self.address, pid=str(os.getpid()))

    def _judge(self, scheduler: Scheduler, shipper: Shipper) -> None:
        # What came while nothing ran still lies in the spool: judged before it is read, it would look like no traffic.
        shipper.wait_for_first_look(FIRST_LOOK_SECONDS)
        scheduler.run(self._stop)

    def _serve(self, app: Any, listening: socket.socket) -> None:  # noqa: ANN401 - an ASGI application
        self.address = _address(listening)
        config = uvicorn.Config(
            app,
            http=BoundedConnection,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
            lifespan="off",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=15,
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # the main thread has its own
        listening.listen(128)
        self._thread("http", self._server.run, [listening])

    def _poll_jobs(self, inner: DeltaLog, clock: SystemClock) -> None:
        databricks = self.configuration.settings.databricks
        if databricks is None:
            return
        from tiltmeter.ingest.databricks import poller_of

        poller = poller_of(self.configuration, inner, clock)
        self._thread("jobs", poller.run, self._stop)

    def _keep_up(self, inner: DeltaLog, world: World, clock: SystemClock, holder: str) -> None:
        settings = self.configuration.settings
        if not isinstance(world.states, DeltaProfileStates) or not isinstance(world.state, SqlStateStore):
            return
        upkeep = Upkeep(
            inner, world.states, world.state, clock, holder,
            settings.store.keep_versions, settings.store.keep_rows, settings.state.keep_hourly_metrics,
        )  # fmt: skip
        self._thread("upkeep", upkeep.run, self._stop)

    def _beat(self, world: World, shipper: Shipper, models: dict[str, Model]) -> None:
        """A sign of life each minute, and models that were not configured."""
        while True:
            found = {state.model_name for state in shipper.live_states()} - set(models)
            for name in sorted(found):
                models[name] = Model(name)
                log.info("model_found", model=name, baseline="learnt from the first full week")
            if found:
                known = [name for name in models if name not in self.configuration.models]
                keep_found_models(world.state, known)
            world.state.beat("serve", world.clock.now())
            if self._stop.wait(HEARTBEAT.total_seconds() if models else 1.0):
                return

    def _remember_models(self, world: World, models: dict[str, Model]) -> None:
        for name in found_models(world.state):
            models.setdefault(name, Model(name))

    def _thread(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def wait(self) -> None:
        """Until `stop` is asked for."""
        while not self._stop.wait(3600.0):
            pass

    def ask_to_stop(self) -> None:
        """End `wait`; from any thread, never from a signal handler."""
        self._stop.set()

    def reload_rules(self) -> bool:
        """Read the rules again; False, with the old ones in force, when the file is refused."""
        return self._reloading is not None and self._reloading.reload()

    def stop(self) -> None:
        """End every part: HTTP first, then the loops; what is not sent stays in the outbox."""
        self._stop.set()
        if self._server is not None:
            self._server.should_exit = True
        for thread in self._threads:
            thread.join(timeout=STOP_SECONDS)
        for release in reversed(self._release):
            release()
        self._release.clear()


def serve(configuration: Configuration, *, port: int | None = None) -> None:
    """Run until SIGINT or SIGTERM; SIGHUP reads the rules again."""
    write_journal(sys.stderr)
    service = Service(configuration, port)
    stop, reload = service.ask_to_stop, service.reload_rules
    with answering({signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: reload}):
        service.start()
        print(f"service    {service.address}  (docs: {service.address}/docs)", flush=True)  # noqa: T201 - what people look for
        if not configuration.models:
            log.info("no_model_configured", what="models are found in the spool; the first full week is the baseline")
        try:
            service.wait()
        finally:
            service.stop()


def outcome_writer(configuration: Configuration) -> SpoolWriter:
    """The service's own end of the spool, as durable and as bounded as the configuration says."""
    settings = configuration.settings.capture.spool
    budget = Budget(settings.max_bytes, settings.min_free)
    return SpoolWriter(configuration.placed(settings.path), durability=settings.durability, budget=budget)


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _people(world: World) -> list[str]:
    """Channels that hear of a warning."""
    return [name for name in channels_for(world.rules, Severity.WARNING) if name in world.channels]


def _unstored(shipper: Shipper) -> Callable[[], list[TrafficState]]:
    return shipper.unwritten_traffic


def _health(scheduler: Scheduler, shipper: Shipper, world: World) -> Health:
    now = world.clock.now()
    ages = [(now - c.oldest_at).total_seconds() for c in world.state.channel_states() if c.oldest_at is not None]
    return Health(
        window_lag=scheduler.lag(now),
        spool_age=shipper.spool_age(now),
        outbox_age=max(ages, default=0.0),
        dropped_records=int(shipper.counters.get("dropped", 0)),
    )


def _not_ready(world: World) -> dict[str, str]:
    waiting: dict[str, str] = {}
    for model in world.models.values():
        if world.baselines.bins(model, world.clock.now()) is None:
            seen, needed = world.baselines.progress(model)
            waiting[f"baseline of {model.name}"] = f"learning, {seen} of {needed} rows"
    return waiting


def _reported(event: str, fields: Mapping[str, object]) -> None:
    log.info(event, **fields)
