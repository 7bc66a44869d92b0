"""`tiltmeter rules check|test|backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tiltmeter.cli.output import print_json, remark
from tiltmeter.domain.errors import ConfigError

app = typer.Typer(help="Check rules, test them on series, replay history through them.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A rules file, or a whole configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]


@app.command("check")
def check(file: FileArgument, as_json: JsonOption = False) -> None:
    """Name every mistake of a rules file with its line.

    Example:
        tiltmeter rules check tiltmeter.yaml
    """
    from tiltmeter.config.rules import check_rules
    from tiltmeter.config.yaml_source import read_yaml

    source = read_yaml(file)
    # A whole configuration says which channels and models there are; a rules file alone does not.
    channels, models = source.data.get("channels"), source.data.get("models")
    found, problems = check_rules(
        source,
        channels=channels if isinstance(channels, dict) else None,
        models=models if isinstance(models, dict) else None,
    )
    if as_json:
        said: list[dict[str, Any]] = [{"at": p.at, "what": p.what, "hint": p.hint} for p in problems]
        print_json(
            {"schema": "tiltmeter.rules-check/1", "file": str(file), "rules": len(found.rules), "problems": said}
        )
    else:
        for problem in problems:
            remark(str(problem))
        if not problems:
            print(f"{file}: {len(found.rules)} rules are fine (revision {found.revision})")
    if problems:
        raise typer.Exit(ConfigError.exit_code)


@app.command("test")
def run_tests(file: FileArgument, as_json: JsonOption = False) -> None:
    """Play series through rules and compare alerts and messages with what the file expects.

    Example:
        tiltmeter rules test rules_test.yaml
    """
    from tiltmeter.config.rule_tests import run_rule_tests

    outcome = run_rule_tests(file)
    if as_json:
        failures = [{"at": f.at, "test": f.test, "what": f.what} for f in outcome.failures]
        counts = {"tests": outcome.tests, "expectations": outcome.expectations}
        print_json({"schema": "tiltmeter.rules-test/1", **counts, "failures": failures})
    else:
        for failure in outcome.failures:
            remark(f"{failure.at}: {failure.test}: {failure.what}")
        word = "all hold" if not outcome.failures else f"{len(outcome.failures)} failed"
        print(f"{outcome.tests} tests, {outcome.expectations} expectations: {word}")
    if outcome.failures:
        raise typer.Exit(1)
