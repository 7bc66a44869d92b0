"""`tiltmeter outcomes import FILE`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.engines.local import as_text, open_rows
from tiltmeter.ingest.outcomes import TEXT_ROLES, ImportOptions, import_outcomes, outcome_columns
from tiltmeter.ingest.private import rules_of
from tiltmeter.wiring import SystemClock, prepare_home, stored_log

app = typer.Typer(help="What became of the leads: conversions and revenue.", no_args_is_help=True)


@app.callback()
def outcomes() -> None:
    """What became of the leads: conversions and revenue."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, Parquet, Arrow or JSON lines.")],
    config: ConfigOption = None,
    model: Annotated[str | None, typer.Option(help="Model of rows that name none [default: every model].")] = None,
    entity_column: Annotated[str | None, typer.Option(help="Column of the lead's id.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of the time it happened.")] = None,
    converted_column: Annotated[str | None, typer.Option(help="Column that says whether the lead converted.")] = None,
    revenue_column: Annotated[str | None, typer.Option(help="Column of the revenue.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the outcome's id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring conversions and revenue into the log; a second import of the same file changes nothing.

    Without an id the newest row of a lead (and model) wins, so a corrected file is simply imported again.

    Example:
        tiltmeter outcomes import crm-export.csv --entity-column lead_id --time-column closed_at
    """
    configuration = load_settings(config)
    prepare_home(configuration)
    clock = SystemClock()
    named = {
        "entity_id": entity_column,
        "time": time_column,
        "converted": converted_column,
        "revenue": revenue_column,
        "outcome_id": id_column,
    }
    given = {role: column for role, column in named.items() if column}
    rows = open_rows(file)
    roles = outcome_columns(rows.schema.names, given)
    report = import_outcomes(
        # A file without types says 007 and means no 7.
        as_text(rows, [roles[role] for role in TEXT_ROLES if role in roles]),
        stored_log(configuration, clock, configuration.models),
        now=clock.now(),
        options=ImportOptions(configuration.zone, given, model, rules_of(configuration.models)),
    )
    if as_json:
        print_json({"schema": "tiltmeter.outcomes/1", **asdict(report)})
    else:
        print(
            f"{report.written} outcomes written, {report.unchanged} known already, {report.refused} refused"
            + (f", {report.repeated} corrected by a later row" if report.repeated else "")
        )
        for problem in report.problems:
            print(f"  {problem}")
    if report.refused:
        raise typer.Exit(1)
