"""`tiltmeter check` and `tiltmeter doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import ConfigError
from tiltmeter.service.checkup import check_configuration
from tiltmeter.service.doctor import examine
from tiltmeter.service.findings import State

if TYPE_CHECKING:
    from tiltmeter.service.findings import Finding

_MARKS = {State.OK: "[green]ok[/]   ", State.NOTE: "[yellow]note[/] ", State.WRONG: "[bold red]wrong[/]"}


def check(
    config: ConfigOption = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Try every channel's address too; nothing is sent.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate the configuration: keys, values, rules, channels and their secrets, schedule, folders.

    Example:
        tiltmeter check --config tiltmeter.yaml --connect
    """
    findings = check_configuration(load_settings(config), connect=connect)
    _print(findings, as_json=as_json)
    wrong = [f for f in findings if f.state is State.WRONG]
    if wrong:
        raise ConfigError(
            f"{len(wrong)} of {len(findings)} checks failed, the first: {wrong[0].says}", hint=wrong[0].to_do
        )


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Look at versions, tables, baseline, spool, state, channels and clocks: each ok, or what to do.

    Example:
        tiltmeter doctor --json
    """
    findings = examine(load_settings(config))
    _print(findings, as_json=as_json)
    if any(f.state is State.WRONG for f in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for finding in findings:
        # Not wrapped: a line is a finding, for people who search in it as well.
        console.print(f"{_MARKS[finding.state]} {finding.part:9} {escape(finding.says)}", soft_wrap=True)
        if finding.to_do:
            console.print(f"                [dim]→ {escape(finding.to_do)}[/]", soft_wrap=True)
