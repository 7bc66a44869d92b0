"""`tiltmeter jobs poll|list|backfill`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.config.units import duration
from tiltmeter.domain.errors import UsageError
from tiltmeter.ingest.databricks import poller_of
from tiltmeter.wiring import SystemClock, prepare_home, stored_log

app = typer.Typer(help="Runs of batch jobs, of Databricks and our own.", no_args_is_help=True)
SinceOption = Annotated[str, typer.Option(help="How far back, such as 7d.")]


@app.command("poll")
def poll(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Ask the Databricks workspace once; `tiltmeter serve` does it every minute.

    Example:
        tiltmeter jobs poll
    """
    configuration = load_settings(config)
    prepare_home(configuration)
    clock = SystemClock()
    log = stored_log(configuration, clock, configuration.models)
    poller = poller_of(configuration, log, clock)
    changed = poller.poll()
    if as_json:
        print_json({"schema": "tiltmeter.jobs/1", "workspace": poller.workspace, "rows": changed})
    else:
        print(f"{changed} rows new or changed from {poller.workspace}")


@app.command("backfill")
def backfill(
    config: ConfigOption = None,
    warehouse: Annotated[str, typer.Option(help="SQL warehouse [default: databricks.warehouse_id].")] = "",
    since: SinceOption = "365d",
    as_json: JsonOption = False,
) -> None:
    """Runs of the last year from the system table `system.lakeflow.job_run_timeline`, where it was granted.

    Example:
        tiltmeter jobs backfill --warehouse 475b94ddc7cd5211
    """
    configuration = load_settings(config)
    prepare_home(configuration)
    clock = SystemClock()
    poller = poller_of(configuration, stored_log(configuration, clock, configuration.models), clock)
    settings = configuration.settings.databricks
    chosen = warehouse or (settings.warehouse_id if settings is not None else "")
    if not chosen:
        raise UsageError("no SQL warehouse is named", hint="--warehouse ID, or databricks.warehouse_id")
    rows = poller.backfill(chosen, clock.now() - duration(since))
    print_json({"schema": "tiltmeter.jobs/1", "rows": rows}) if as_json else print(f"{rows} runs added")


@app.command("list")
def list_runs(
    config: ConfigOption = None,
    since: SinceOption = "7d",
    tasks: Annotated[bool, typer.Option("--tasks", help="Tasks of the runs too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Runs that are known, newest last.

    Example:
        tiltmeter jobs list --since 30d
    """
    configuration = load_settings(config)
    clock = SystemClock()
    log = stored_log(configuration, clock, configuration.models)
    span: timedelta = duration(since)
    runs = [run for run in log.batch_runs(clock.now() - span) if tasks or not run["task_key"]]
    if as_json:
        print_json({"schema": "tiltmeter.jobs/1", "runs": runs})
        return
    console = Console()
    if not runs:
        console.print(f"No run in the last {since}.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("started", "job", "task", "state", "seconds", "in", "scored", "failed"):
        table.add_column(column)
    for run in runs:
        seconds = f"{run['run_ms'] / 1000:.0f}" if run["run_ms"] is not None else ""
        counts = ["" if run[f"records_{name}"] is None else str(run[f"records_{name}"]) for name in _COUNTS]
        state = run["result_state"] or run["life_cycle_state"] or ""
        started = run["start_time"].astimezone(configuration.zone).strftime("%Y-%m-%d %H:%M")
        table.add_row(started, run["job_name"] or "", run["task_key"] or "", state, seconds, *counts)
    console.print(table)


_COUNTS = ("in", "scored", "failed")
