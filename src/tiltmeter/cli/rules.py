"""`tiltmeter rules check|test|backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiltmeter.cli.installation import ConfigOption
from tiltmeter.cli.output import print_json, remark
from tiltmeter.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World

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


@app.command("backtest")
def backtest(
    config: ConfigOption = None,
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", metavar="F", help="Rules to try; twice compares two files. Default: the configured."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model; needed where there are several.")] = None,
    every: Annotated[str, typer.Option("--every", help="hour, day, week or month.")] = "day",
    since: Annotated[str | None, typer.Option("--from", metavar="D", help="First day; default: first stored.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="D", help="Exclusive end; default: last stored.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="F", help="Write a page (one rules file).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the stored history of a model through rules: what would have fired, and how often a week.

    Example:
        tiltmeter rules backtest --rules now.yaml --rules stricter.yaml --from 2026-09-01
    """
    from tiltmeter.api.backtest import replays
    from tiltmeter.cli.backtest import show
    from tiltmeter.cli.progress import shown_progress
    from tiltmeter.config.load import load_settings
    from tiltmeter.config.rules import load_rules
    from tiltmeter.wiring import build_world

    configuration = load_settings(config)
    world = build_world(configuration, with_channels=False)
    watched = _model(world, model)
    reference, history = _stored(world, watched, every, since, until)
    tried = [(str(path), load_rules(path)) for path in rules or []] or [("configured", world.rules)]
    with shown_progress():
        found = replays(
            reference, history, [one for _, one in tried], zone=world.zone, source=watched.name,
            weights=watched.weights, model=watched.name,
        )  # fmt: skip
    show([(name, one) for (name, _), one in zip(tried, found, strict=True)], html=html, as_json=as_json)


def _model(world: World, name: str | None) -> Model:
    from tiltmeter.domain.errors import UsageError
    from tiltmeter.registry import did_you_mean

    if not world.models:
        raise UsageError("no model is configured", hint="run it beside tiltmeter.yaml, or name that file with --config")
    if name is None and len(world.models) == 1:
        return next(iter(world.models.values()))
    if name is None or name not in world.models:
        hint = did_you_mean(name or "", list(world.models))
        raise UsageError(f'there is no model "{name}"' if name else "say which model with --model", hint=hint)
    return world.models[name]


def _stored(
    world: World, model: Model, every: str, since: str | None, until: str | None
) -> tuple[Reference, Iterator[tuple[Window, Profile | None]]]:
    from tiltmeter.api.history import moment_of, stored_windows
    from tiltmeter.domain.errors import EmptyWindow, UsageError
    from tiltmeter.domain.window import Grain, windows_between
    from tiltmeter.registry import did_you_mean

    grains = [grain.value for grain in Grain if grain is not Grain.LIVE]
    if every not in grains:
        raise UsageError(f'"{every}" is no length of a window', hint=did_you_mean(every, grains))
    bins = world.baselines.bins(model, world.clock.now())
    span = world.states.span(model.name, bins.bins_id) if bins is not None else None
    if bins is None or span is None:
        raise EmptyWindow(f'nothing of the model "{model.name}" is stored yet', hint="let `tiltmeter serve` run first")
    begin = moment_of(since, world.zone) if since is not None else span[0]
    end = moment_of(until, world.zone) if until is not None else span[1]
    windows = [w for w in windows_between(begin, end, Grain(every), world.zone) if begin <= w.start and w.end <= end]
    reference = world.baselines.judging(model, windows[-1]) if windows else None
    if reference is None:
        raise EmptyWindow("no whole window lies in that span", hint="choose --from and --to further apart")
    return reference, stored_windows(world.states, model.name, bins.bins_id, windows)
