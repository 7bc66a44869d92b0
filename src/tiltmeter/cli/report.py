"""`tiltmeter report daily|weekly`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, chosen_models, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.service.answers import window_json
from tiltmeter.wiring import build_world

if TYPE_CHECKING:
    from tiltmeter.api.period import Period
    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import World

app = typer.Typer(help="The drift report and performance review of a day or a week.")

HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the page here [default: home/reports].")]
SendOption = Annotated[bool, typer.Option("--send", help="Send it to the channels of `report` in the configuration.")]
DateOption = Annotated[str, typer.Option("--date", help="Any day of the period [default: the newest complete one].")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only this model [default: all].")]


@app.command("daily")
def daily(
    html: HtmlOption = None,
    send: SendOption = False,
    date: DateOption = "",
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What happened yesterday: drift, data quality, service, outcomes, alerts.

    Example:
        tiltmeter report daily --html yesterday.html
    """
    _report("daily", Grain.DAY, html=html, send=send, date=date, model=model, config=config, as_json=as_json)


@app.command("weekly")
def weekly(
    html: HtmlOption = None,
    send: SendOption = False,
    date: DateOption = "",
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The comprehensive drift report and performance review of last week.

    Example:
        tiltmeter report weekly --html week.html --send
    """
    _report("weekly", Grain.WEEK, html=html, send=send, date=date, model=model, config=config, as_json=as_json)


def _report(
    kind: str, grain: Grain, *, html: Path | None, send: bool, date: str, model: str | None, config: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    from tiltmeter.api.period import period_of

    configuration = load_settings(config)
    world = build_world(configuration)
    window = _window(date, grain, world)
    chosen = chosen_models(world, model)
    if html is not None and len(chosen) > 1:
        raise UsageError("--html names one file and there are several models", hint="choose one with --model")
    facts = []
    for one in chosen:
        found = period_of(world, one, window)
        facts.append(_written(found, configuration, world, kind=kind, html=html, send=send))
    if as_json:
        print_json({"schema": "tiltmeter.report/1", "window": window_json(window), "models": facts})
        return
    for fact in facts:
        print(f"{fact['title']}: {fact['sentence']}\n{fact['file']}")
        if fact["sent_to"]:
            print(f"queued for {', '.join(fact['sent_to'])}; `tiltmeter serve` delivers it")


def _written(
    found: Period, configuration: Configuration, world: World, *, kind: str, html: Path | None, send: bool
) -> dict[str, Any]:
    from tiltmeter.api.files import write_text
    from tiltmeter.api.period_story import period_sentence, period_title
    from tiltmeter.service.reports import report_messages, report_name

    page = found.to_html()
    path = html or configuration.placed("reports") / report_name(found.model.name, found.window, world)
    write_text(path, page)
    channels = getattr(configuration.settings.report, kind).to if send else ()
    if send and not channels:
        raise UsageError(
            f"the configuration names no receiver of the {kind} report",
            hint=f"report: {{{kind}: {{to: [email-ml-team]}}}}",
        )
    world.state.enqueue(report_messages(found, page, channels, world))
    return {
        "model": found.model.name, "title": period_title(found), "sentence": period_sentence(found),
        "severity": found.severity.word, "file": str(path), "sent_to": list(channels),
    }  # fmt: skip


def _window(date: str, grain: Grain, world: World) -> Window:
    from tiltmeter.api.period import newest_complete

    if not date:
        return newest_complete(world.clock.now(), grain, world.zone)
    try:
        day = datetime.fromisoformat(date)
    except ValueError:
        raise UsageError(f'"{date}" is no date', hint="write it like 2026-11-23") from None
    return window_at(day if day.tzinfo else day.replace(tzinfo=world.zone), grain, world.zone)
