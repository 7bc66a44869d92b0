"""`tiltmeter serve` and `tiltmeter dashboard`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.cli.installation import ConfigOption
from tiltmeter.config.load import load_settings
from tiltmeter.service.checkup import access_of
from tiltmeter.service.home import bound_socket, write_ports
from tiltmeter.service.running import serve as run_service
from tiltmeter.service.signals import answering
from tiltmeter.store.light import leave_pandas_out

if TYPE_CHECKING:
    from tiltmeter.config.load import Configuration


def serve(
    config: ConfigOption = None,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Start the dashboard too.")] = False,
    port: Annotated[
        int | None, typer.Option(help="HTTP port [default: server.port]; 0 lets the system choose.")
    ] = None,
) -> None:
    """Run the service: shipper, scheduler, sender, job poller and HTTP, until it is told to stop.

    Runs without a configuration too: it finds the models in the spool, learns a baseline from the first full week
    and says so.

    Example:
        tiltmeter serve --dashboard
    """
    leave_pandas_out()
    configuration = load_settings(config)
    child = _start_dashboard(configuration, configuration.settings.dashboard.port) if dashboard else None
    try:
        run_service(configuration, port=port)
    finally:
        if child is not None:
            child.terminate()
            child.wait(timeout=10)


def show_dashboard(
    config: ConfigOption = None,
    port: Annotated[int | None, typer.Option(help="Port [default: dashboard.port]; 0 lets the system choose.")] = None,
) -> None:
    """Show the dashboard in the browser, on this machine only unless `dashboard.host` says otherwise.

    Example:
        tiltmeter dashboard --port 8501
    """
    configuration = load_settings(config)
    wanted = configuration.settings.dashboard.port if port is None else port
    child = _start_dashboard(configuration, wanted)
    # Told to stop, it stops what it started: a supervisor knows this process alone.
    with answering({signal.SIGTERM: child.terminate, signal.SIGINT: child.terminate}):
        sys.exit(max(child.wait(), 0))


def _start_dashboard(configuration: Configuration, port: int) -> subprocess.Popen[bytes]:
    import streamlit as _streamlit  # noqa: F401 - a missing extra is named before anything starts

    host = configuration.settings.dashboard.host
    access_of(configuration).check_address(host, setting="dashboard.host")
    probe = bound_socket(host, port, setting="dashboard.port")
    chosen = probe.getsockname()[1]
    probe.close()
    options = {
        "server.address": host,
        "server.port": str(chosen),
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "type",
        "client.showErrorLinks": "false",
        # The greeting names the address that the internet sees, which a host out there is asked for.
        "logger.hideWelcomeMessage": "true",
        "server.fileWatcherType": "none",
    }
    surroundings = dict(os.environ)
    if configuration.path is not None:
        surroundings["TILTMETER_CONFIG"] = str(configuration.path.resolve())
    command = [sys.executable, "-m", "tiltmeter.views.dashboard.launch"]
    for key, value in options.items():
        command += [f"--{key}", value]
    child = subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL)  # noqa: S603 - our own arguments
    address = f"http://{host}:{chosen}"
    write_ports(configuration.home, dashboard=address)
    print(f"dashboard  {address}", flush=True)
    return child
