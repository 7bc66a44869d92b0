"""`tiltmeter run`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, chosen_models, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.pipeline import judge, observe
from tiltmeter.registry import did_you_mean
from tiltmeter.service.answers import window_json
from tiltmeter.wiring import build_world

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World


def run(
    monitor: Annotated[str, typer.Option(help="traffic, features, drift or outcomes.")],
    window: Annotated[str, typer.Option(help="START/END, ISO 8601; an hour, day, week or month of the calendar.")],
    model: Annotated[str | None, typer.Option(help="Only this model [default: all].")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge one window now; from cron, Airflow or Databricks. A second run changes nothing.

    Example:
        tiltmeter run --monitor drift --window 2026-11-22T00:00+01:00/2026-11-23T00:00+01:00
    """
    configuration = load_settings(config)
    world = build_world(configuration)
    judged = calendar_window(window, configuration.zone)
    if monitor not in MONITORS.names():
        raise UsageError(f'there is no monitor "{monitor}"', hint=did_you_mean(monitor, MONITORS.names()))
    facts = [_one(world, chosen, monitor, judged) for chosen in chosen_models(world, model)]
    if as_json:
        print_json({"window": window_json(judged), "monitor": monitor, "models": facts})
        return
    for fact in facts:
        print(f"{fact['model']}: {fact['said']}")


def _one(world: World, model: Model, monitor: str, window: Window) -> dict[str, object]:
    observe(model, world)
    committed = judge(MONITORS.load(monitor), model, window, world)
    if committed is None:
        return {
            "model": model.name,
            "metrics": 0,
            "alerts": 0,
            "said": "nothing to measure, or judged before: unchanged",
        }
    said = f"{len(committed.metrics)} numbers, {len(committed.alerts)} alerts changed"
    return {"model": model.name, "metrics": len(committed.metrics), "alerts": len(committed.alerts), "said": said}


def calendar_window(text: str, zone: ZoneInfo) -> Window:
    """The calendar window that START/END names.

    Raises:
        UsageError: it cannot be read, or is no hour, day, week or month of the business time zone.
    """
    start_text, _, end_text = text.partition("/")
    try:
        start, end = datetime.fromisoformat(start_text), datetime.fromisoformat(end_text)
    except ValueError:
        raise UsageError(f'"{text}" is no window', hint="write it like 2026-11-22T00:00/2026-11-23T00:00") from None
    start = start if start.tzinfo else start.replace(tzinfo=zone)
    end = end if end.tzinfo else end.replace(tzinfo=zone)
    for grain in (Grain.HOUR, Grain.DAY, Grain.WEEK, Grain.MONTH):
        window = window_at(start, grain, zone)
        if window.start == start and window.end == end:
            return window
    raise UsageError(
        f"{text} is no hour, day, week or month of {zone.key}",
        hint=f"the day that holds its start is {window_at(start, Grain.DAY, zone).start.isoformat()}/"
        f"{window_at(start, Grain.DAY, zone).end.isoformat()}",
    )
