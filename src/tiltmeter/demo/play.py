"""The demo from an empty folder to the report: builds the company, imports its past, lets time pass over it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from tiltmeter.config.load import load_settings
from tiltmeter.demo.backfill import import_history, traffic_batches
from tiltmeter.demo.build import DemoWorld, build_demo_world, period_until
from tiltmeter.demo.clock import SimulatedClock
from tiltmeter.demo.installation import clear_folder, write_installation
from tiltmeter.demo.remembering import RememberingState, StillLog, StillStates
from tiltmeter.demo.replay import Replay
from tiltmeter.demo.report import Report, build_report
from tiltmeter.demo.still_traffic import StillTraffic
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.pipeline import observe
from tiltmeter.service.checkup import calendar_of
from tiltmeter.service.scheduler import Scheduler
from tiltmeter.service.sender import Sender
from tiltmeter.wiring import build_world, stored_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from tiltmeter.config.load import Configuration
    from tiltmeter.demo.installation import Ports, Receivers

    Tell = Callable[[str, float], None]
    """Hears what is going on: a sentence, and the share of it that is done."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A demo whose history is over.

    Args:
        company: the world.
        configuration: of its installation.
        report: what was found.
    """

    company: DemoWorld
    configuration: Configuration
    report: Report


def play(
    folder: Path, *, seed: int, days: int, now: datetime, receivers: Receivers, ports: Ports, tell: Tell
) -> Played:
    """Build everything under the folder and judge the history window by window.

    Args:
        folder: new, empty, or an earlier demo's.
        seed: of the world.
        days: whole days of history.
        now: the history ends here.
        receivers: started.
        ports: for the configuration.
        tell: hears of the progress.

    Raises:
        UsageError: the folder holds something else, or the number of days cannot be built.
        StoreError: the folder cannot be written.
    """
    began = time.monotonic()
    tell("building the company and training its model", 0.0)
    company = build_demo_world(seed, period_until(now, days))
    clear_folder(folder)
    configuration = load_settings(write_installation(folder, company, receivers, ports), environ={})
    period = company.period
    clock = SimulatedClock(period.end)
    log = stored_log(configuration, clock, configuration.models)
    length = period.end - period.start
    spool = configuration.placed(configuration.settings.capture.spool.path)
    rows = import_history(
        company,
        spool=spool,
        shipper=Shipper(spool, log, configuration.models, clock, damaged=folder / "damaged"),
        log=log,
        zone=configuration.zone,
        tell=lambda day: tell("importing the history", (day - period.start) / length),
    )
    world = build_world(configuration, clock=clock, stored=log)
    # The whole history lies in the tables, and nothing is added while time passes over it.
    state = RememberingState(world.state)
    world = replace(
        world,
        log=StillLog(world.log, StillTraffic.of(traffic_batches(log))),
        states=StillStates(world.states, Window(period.start, period.end + timedelta(hours=1), Grain.LIVE)),
        state=state,
    )
    # Profiled at the end of the history: to a clock that stands at its beginning all of it lies in the future.
    for model in world.models.values():
        observe(model, world)
    clock.shown = period.start
    scheduler = Scheduler(
        world,
        calendar_of(configuration),
        configuration.settings.schedule.realtime,
        configuration.settings.schedule.late_rows.reopen_for,
        "demo",
        observe_every=timedelta(days=days + 2),
        lease_time=timedelta(days=3 * (days + 2)),
    )
    sender = Sender(world.state, world.channels, clock, rng=Random(seed), paced=False)
    replay = Replay(
        clock, scheduler, sender, state, lambda moment: tell("letting time pass", (moment - period.start) / length)
    )
    episodes = replay.run(period.start, period.end)
    report = build_report(
        seed, period, company.incidents, episodes=episodes, world=world, rows=rows, seconds=time.monotonic() - began
    )
    state.close()
    return Played(company, configuration, report)
