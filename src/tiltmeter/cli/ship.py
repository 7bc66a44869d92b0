"""`tiltmeter ship`: the shipper alone, for hosts that run the API but not the service."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.service.ship import LiveServer
from tiltmeter.service.signals import stopping
from tiltmeter.store.light import leave_pandas_out
from tiltmeter.wiring import SystemClock, prepare_home, stored_log


def ship(
    config: ConfigOption = None,
    spool: Annotated[Path | None, typer.Option(help="Spool [default: capture.spool.path].")] = None,
    once: Annotated[bool, typer.Option("--once", help="Ship what waits, then end.")] = False,
    port: Annotated[
        int | None, typer.Option(help="Port of /metrics and /live on 127.0.0.1; 0 lets the system choose.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the spool of this host into the tables until told to stop.

    Example:
        tiltmeter ship --port 8781
    """
    leave_pandas_out()
    configuration = load_settings(config)
    prepare_home(configuration)
    settings = configuration.settings
    clock = SystemClock()
    shipper = Shipper(
        spool or configuration.placed(settings.capture.spool.path),
        stored_log(configuration, clock, configuration.models),
        configuration.models,
        clock,
        damaged=configuration.home / "damaged",
        keep_raw=settings.capture.keep_raw,
    )
    if once:
        shipped = shipper.ship_once(flush=True)
        facts = {"predictions": shipped.predictions, "outcomes": shipped.outcomes, "segments": shipped.segments}
        if as_json:
            print_json({"schema": "tiltmeter.ship/1", **facts, "counts": dict(shipper.counters)})
        else:
            print(f"{shipped.predictions} predictions and {shipped.outcomes} outcomes shipped")
        return
    stop = Event()
    with stopping(stop), LiveServer(shipper, port) as server:
        print(f"shipping {shipper.spool}" + (f", {server.address}/metrics" if server.address else ""), flush=True)
        shipper.run(stop)
