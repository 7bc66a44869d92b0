"""`tiltmeter export metrics`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.config.units import duration
from tiltmeter.domain.errors import StoreError, UsageError
from tiltmeter.domain.window import Grain, Window, windows_between
from tiltmeter.registry import did_you_mean
from tiltmeter.wiring import SystemClock, build_world

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(help="Numbers in the shape of other tools.", no_args_is_help=True)


class Format(StrEnum):
    """What is written."""

    DELTA = "delta"
    PARQUET = "parquet"


class Length(StrEnum):
    """Lengths of windows."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@app.callback()
def export() -> None:
    """Numbers in the shape of other tools."""


@app.command("metrics")
def metrics(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder; the two tables in it are replaced.")],
    config: ConfigOption = None,
    file_format: Annotated[Format, typer.Option("--format", help="Delta tables, or Parquet files.")] = Format.DELTA,
    every: Annotated[Length, typer.Option(help="Length of the windows.")] = Length.DAY,
    since: Annotated[str, typer.Option(help="How far back, such as 90d.")] = "30d",
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write `profile_metrics` and `drift_metrics` as Databricks data profiling has them, with some columns more.

    Example:
        tiltmeter export metrics ./profiling --since 90d
    """
    from rich.console import Console
    from rich.progress import Progress

    from tiltmeter.views.metric_tables import metric_tables

    configuration = load_settings(config)
    world = build_world(configuration, clock=SystemClock(), with_channels=False)
    if model is not None and model not in world.models:
        raise UsageError(f'there is no model "{model}"', hint=did_you_mean(model, list(world.models)))
    chosen = [m for name, m in world.models.items() if model in (None, name)]
    now = world.clock.now()
    span = Window(now - duration(since), now, Grain(every.value))
    total = len(chosen) * sum(1 for _ in windows_between(span.start, span.end, span.grain, world.zone))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("windows", total=total)
        tables = metric_tables(world, chosen, span, span.grain, tick=lambda: progress.advance(task))
    written = {"profile_metrics": tables.profile, "drift_metrics": tables.drift}
    places = {name: _write(out, name, table, file_format) for name, table in written.items()}
    if as_json:
        rows = {name: table.num_rows for name, table in written.items()}
        print_json({"schema": "tiltmeter.export/1", "rows": rows, "written": places})
        return
    for name, table in written.items():
        print(f"{places[name]}: {table.num_rows} rows")


def _write(out: Path, name: str, table: pa.Table, file_format: Format) -> str:
    import pyarrow.parquet as pq
    from deltalake import write_deltalake

    from tiltmeter.store.table import in_our_words

    place = out / (f"{name}.parquet" if file_format is Format.PARQUET else name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if file_format is Format.PARQUET:
            unfinished = place.with_suffix(".part")
            pq.write_table(table, unfinished)
            unfinished.replace(place)
        else:
            with in_our_words(str(place)):
                write_deltalake(place, table, mode="overwrite", schema_mode="overwrite")
    except OSError as error:
        raise StoreError(f"the table cannot be written ({error.strerror})", at=str(place)) from error
    return str(place)
