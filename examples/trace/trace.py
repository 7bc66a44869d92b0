"""Follows one HTTP request: from the service to a row, a state, a metric, an alert and a message.

python trace.py                      # about ten seconds; everything stays on this machine
"""

from __future__ import annotations

import logging
import random
import socket
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from tiltmeter.capture.fastapi import Capture
from tiltmeter.config.load import load_settings
from tiltmeter.demo.clock import SimulatedClock
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.ports import MetricQuery
from tiltmeter.service.checkup import calendar_of
from tiltmeter.service.scheduler import Scheduler
from tiltmeter.service.sender import Sender
from tiltmeter.testing.receivers import SlackReceiver
from tiltmeter.wiring import build_world, stored_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import World
    from tiltmeter.store.delta import DeltaLog

MODEL, REQUESTS, TRACED = "lead-scoring", 300, "trace-me"
SOURCES = ("web-form", "webinar", "referral", "trade-fair")
NEW_SOURCE = "partner-x"
"""A level that the training data do not have; one lead in five comes from it, the traced one among them."""

CONFIGURATION = """\
version: 1
home: .
timezone: UTC
models:
  lead-scoring:
    routes: {"POST /score": {features: "$", entity_id: lead_id, prediction: response.score}}
    features: {ignore: [lead_id]}
    baselines: {training: {data: training.parquet}}
routes:
  - {severity: info, to: [dashboard]}
  - {severity: warning, to: [dashboard, slack]}
  - {severity: critical, to: [dashboard, slack]}
channels:
  slack: {kind: slack, channel: "#ml-alerts", token: "file:token", api_url: "ADDRESS"}
"""


class Lead(BaseModel):
    """What the web site knows of a lead."""

    lead_id: str
    company_size: float
    lead_source: str


def service(spool: Path) -> FastAPI:
    """A scoring service; the last line of it is Tiltmeter."""
    app = FastAPI()

    @app.post("/score")
    async def score(lead: Lead) -> dict[str, float]:
        return {"score": min(0.9, 0.1 + lead.company_size / 1000 + 0.2 * (lead.lead_source == "referral"))}

    Capture(app, model=MODEL, model_version="14", spool=spool)
    return app


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The service over real HTTP on a port that the system chooses."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def send(address: str, chance: random.Random) -> None:
    """Three hundred visitors, the traced one last."""
    with httpx.Client(base_url=address) as client:
        for number in range(REQUESTS):
            is_new = number % 5 == 4
            lead = _lead(chance, number) | ({"lead_source": NEW_SOURCE} if is_new else {})
            name = TRACED if number == REQUESTS - 1 else f"request-{number}"
            client.post("/score", json=lead, headers={"x-request-id": name}).raise_for_status()


def _lead(chance: random.Random, number: int) -> dict[str, Any]:
    return {
        "lead_id": f"lead-{number}",
        "company_size": round(chance.lognormvariate(4, 1)),
        "lead_source": chance.choice(SOURCES),
    }


def install(home: Path, receiver: SlackReceiver, chance: random.Random) -> Configuration:
    """Configuration, secret and training data."""
    training = [_lead(chance, number) | {"score": 0.3} for number in range(2_000)]
    pq.write_table(pa.Table.from_pylist(training), home / "training.parquet")
    (home / "token").write_text("xoxb-local", encoding="utf-8")
    (home / "tiltmeter.yaml").write_text(CONFIGURATION.replace("ADDRESS", receiver.api_url), encoding="utf-8")
    return load_settings(home / "tiltmeter.yaml", environ={})


def ship(shipper: Shipper) -> None:
    """Bring every request into the tables; the service's writer may still be busy with the last ones."""
    shipped, until = 0, time.monotonic() + 30
    while shipped < REQUESTS and time.monotonic() < until:
        shipped += shipper.ship_once(flush=True).predictions


def judge(configuration: Configuration, log: DeltaLog, clock: SimulatedClock) -> World:
    """Let time pass until the hour of the requests has been judged, and send what is to be said."""
    world = build_world(configuration, clock=clock, stored=log)
    scheduler = Scheduler(world, calendar_of(configuration))
    for _ in range(24):
        clock.shown += timedelta(minutes=10)
        if any(run.window.grain is Grain.HOUR and run.alerts for run in scheduler.turn(clock.now())):
            break
    Sender(world.state, world.channels, clock, paced=False).drain_once(clock.now())
    return world


def told(world: World, log: DeltaLog, receiver: SlackReceiver) -> Iterator[tuple[str, str]]:
    """What became of the traced request, place by place."""
    model = world.models[MODEL]
    now = datetime.now(UTC)
    reach = Window(now - timedelta(hours=2), now + timedelta(hours=1), Grain.HOUR)
    [row] = log.sample(MODEL, reach, {"request_id": TRACED})
    yield "request", f"POST /score, x-request-id: {TRACED}, lead_source {NEW_SOURCE}"
    yield (
        "row",
        (
            f"{row['request_id']} at {row['request_time']:%H:%M:%S}, status {row['status_code']}, "
            f"prediction {row['prediction']:.3f}, f_lead_source {row['f_lead_source']}"
        ),
    )
    hour = window_at(row["request_time"].astimezone(UTC), Grain.HOUR, world.zone)
    traffic = [state for state in log.traffic(MODEL, hour) if state.window_start <= row["request_time"]]
    yield (
        "traffic",
        (
            f"{sum(state.requests for state in traffic)} requests of {traffic[-1].http_route}, "
            f"{traffic[-1].code_class}, in {len(traffic)} ten-second states"
        ),
    )
    bins = world.baselines.bins(model, world.clock.now())
    profile = world.states.total(MODEL, bins.bins_id, hour) if bins else None
    if bins is None or profile is None:
        raise RuntimeError("the hour was not profiled")
    yield (
        "state",
        (
            f"hour {hour.start:%H:%M}, bins {bins.bins_id}, {profile.rows} rows, "
            f"lead_source new levels {dict(getattr(profile.features['lead_source'], 'new', {}))}"
        ),
    )
    query = MetricQuery(model=MODEL, metric="features.new_level_excess", feature="lead_source", newest_only=True)
    [metric] = world.state.metrics(query)
    yield "metric", f"{metric.name} of lead_source: {metric.value:.3f}, p {metric.p_value:.1g}, {metric.n_current} rows"
    [alert] = [alert for alert in world.state.alerts(MODEL).values() if alert.rule == "new_levels"]
    yield "alert", f"{alert.id}: rule {alert.rule}, {alert.severity.word}, {alert.state}, incident {alert.incident}"
    [post] = receiver.roots()
    yield "message", f"{post['metadata']['event_payload']['delivery_id']} to Slack: {post['text']}"


def main() -> None:
    """Run it all in a folder that is removed afterwards."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    chance, began = random.Random(1), time.monotonic()  # noqa: S311 - seeded on purpose
    with tempfile.TemporaryDirectory() as folder, SlackReceiver() as receiver:
        home = Path(folder)
        configuration = install(home, receiver, chance)
        with served(service(home / "spool")) as address:
            send(address, chance)
        clock = SimulatedClock(datetime.now(UTC))
        log = stored_log(configuration, clock, configuration.models)
        ship(Shipper(home / "spool", log, configuration.models, clock, damaged=home / "damaged"))
        for place, what in told(judge(configuration, log, clock), log, receiver):
            print(f"{place:<8} {what}")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
