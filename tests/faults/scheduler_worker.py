"""A scheduler in a process of its own, to be paused and killed. Usage: scheduler_worker.py HOME HOLDER SECONDS."""

from __future__ import annotations

import signal
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event

from tiltmeter.config.load import load_settings
from tiltmeter.service.checkup import calendar_of
from tiltmeter.service.journal import write_journal
from tiltmeter.service.scheduler import Scheduler
from tiltmeter.wiring import SystemClock, build_world, stored_log


def main() -> None:
    home, holder, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    write_journal(sys.stdout)
    configuration = load_settings(home / "tiltmeter.yaml", environ={})
    clock = SystemClock()
    log = stored_log(configuration, clock, configuration.models)
    world = build_world(configuration, clock=clock, with_channels=False, stored=log)
    scheduler = Scheduler(
        world, calendar_of(configuration), timedelta(seconds=0.2), holder=holder,
        observe_every=timedelta(seconds=0.5), lease_time=timedelta(seconds=seconds),
    )  # fmt: skip
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    scheduler.run(stop)


if __name__ == "__main__":
    main()
