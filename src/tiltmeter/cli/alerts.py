"""`tiltmeter alerts list|show|ack|silence|unsilence|explain`."""

from __future__ import annotations

from datetime import datetime
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tiltmeter.alerting.explaining import Line, story_of, subject_of
from tiltmeter.api.as_json import shift_json
from tiltmeter.api.root_cause import shift_behind
from tiltmeter.api.shift_words import shift_lines
from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.config.units import duration
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.severity import Severity
from tiltmeter.monitors.recomputing import recompute
from tiltmeter.registry import did_you_mean
from tiltmeter.service.answers import (
    alert_json,
    delivery_json,
    event_json,
    incident_json,
    recomputed_json,
    window_json,
)
from tiltmeter.service.people import acknowledge, end_silence, start_silence
from tiltmeter.wiring import build_world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiltmeter.alerting.explaining import Story
    from tiltmeter.api.root_cause import WindowShift
    from tiltmeter.domain.alert import Alert, AlertEvent, Incident
    from tiltmeter.monitors.recomputing import Recomputed
    from tiltmeter.ports import World

app = typer.Typer(help="What fired, who was told, and what people say to it.")

IncidentArgument = Annotated[str, typer.Argument(metavar="INCIDENT", help="Id such as inc_7f3a…, or its beginning.")]
_PIPED_WIDTH = 300
"""For programs that read the list: one incident a line."""

_STYLE = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan", Severity.NONE: "dim"}


@app.command("list")
def list_incidents(
    config: ConfigOption = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Resolved incidents too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Incidents, newest first.

    Example:
        tiltmeter alerts list --all
    """
    world = _world(config)
    incidents = world.state.incidents(model, open_only=not everything)
    if as_json:
        print_json([incident_json(i) for i in incidents])
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    if not incidents:
        print("Nothing ever fired." if everything else "Nothing is open; --all lists what is over.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("incident", "severity", "state", f"since, {world.zone.key}"):
        table.add_column(column, no_wrap=True, overflow="ignore")  # half an id is of no use
    table.add_column("what", overflow="fold")
    for incident in incidents:
        shown = incident.severity if incident.resolved_at is None else incident.peak
        held = f"ack {incident.acknowledged_by}" if incident.acknowledged_by else "open"
        table.add_row(
            incident.id,
            f"[{_STYLE[shown]}]{shown.word}[/]",
            "resolved" if incident.resolved_at else _escaped(held),
            incident.opened_at.astimezone(world.zone).strftime("%d %b %Y %H:%M"),
            _escaped(incident.title),
        )
    console.print(table)


@app.command("show")
def show(incident: IncidentArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One incident: its alerts, what happened when, and who was told.

    Example:
        tiltmeter alerts show inc_7f3a
    """
    world = _world(config)
    found = _incident(world, incident)
    alerts = [a for a in world.state.alerts(found.model, open_only=False).values() if a.incident == found.id]
    events, deliveries = world.state.events(incident=found.id), world.state.deliveries(incident=found.id)
    if as_json:
        facts: dict[str, Any] = incident_json(found)
        facts["alerts"] = [alert_json(a) for a in alerts]
        facts["events"] = [event_json(e) for e in events]
        facts["deliveries"] = [delivery_json(d) for d in deliveries]
        print_json(facts)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[{_STYLE[found.peak]}]{found.peak.word.upper()}[/] {_escaped(found.title)}")
    console.print(f"{found.id} · {_escaped(found.model)} · since {_local(world, found.opened_at)} · {found.state}")
    if found.cause:
        console.print(f"likely cause: {_escaped(found.cause)}")
    for alert in sorted(alerts, key=lambda a: (-a.severity, a.rule)):
        value = "–" if alert.value is None else f"{alert.value:.4g}"
        peak = "–" if alert.peak is None else f"{alert.peak:.4g}"
        subject = ", ".join(v for k, v in alert.subject.labels().items() if k != "model") or alert.subject.model
        console.print(f"  {alert.state:9} {alert.rule:18} {_escaped(subject):30} now {value}, worst {peak}")
    for event in events:
        console.print(f"  [dim]{_local(world, event.evaluated_at)}[/] {event.kind} {event.severity.word}")
    for sent in deliveries:
        note = f" ({_escaped(sent.last_error)})" if sent.last_error else ""
        console.print(f"  {sent.status:8} {sent.message.channel:20} {sent.message.kind}{note}")


@app.command("explain")
def explain(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Id of an incident or an alert, or its beginning.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why it fired, why people were, or were not, told, and its numbers computed once more.

    Numbers come from the stored states, bit for bit, and from the rows while their version of the table is kept. Where
    the score moved, rows of a window in breach and of the last one before are read: which feature's mix moved its mean.

    Example:
        tiltmeter alerts explain inc_7f3a
    """
    world = _world(config)
    incident, alerts = _asked_about(world, alert)
    found = _story(world, incident, alerts)
    again = [(one, _recomputed(one, world)) for one in alerts]
    moved = next((shift for one in alerts if (shift := shift_behind(one, world))), None)
    if as_json:
        facts: dict[str, Any] = {"schema": "tiltmeter.alerts-explain/1", "incident": incident.id if incident else None}
        facts["numbers"] = [recomputed_json(one, numbers) for one, numbers in again]
        facts["upstream"] = found.upstream
        facts["score_shift"] = None if moved is None else _shift_json(moved)
        for part in ("fired", "told", "quiet"):
            facts[part] = [
                {"at": line.at.isoformat() if line.at else None, "text": line.text} for line in getattr(found, part)
            ]
        print_json(facts)
        return
    console = Console(highlight=False, soft_wrap=True)
    if incident is not None:
        shown = incident.severity if incident.resolved_at is None else incident.peak
        console.print(f"[{_STYLE[shown]}]{shown.word.upper()}[/] {_escaped(incident.title)}  [dim]{incident.id}[/]")
    _print_part(console, world, "What changed upstream", [Line(None, found.upstream or "nothing that stands out")])
    if moved is not None:
        _print_part(console, world, "What moved the score", [Line(None, text) for text in _shift_lines(moved, world)])
    _print_part(console, world, "Why it fired", found.fired)
    _print_part(console, world, "Who was told", found.told or [Line(None, "nobody")])
    _print_part(console, world, "What kept people from being told, and what comes next", found.quiet)
    lines = [Line(None, text) for one, numbers in again for text in _again(one, numbers)]
    _print_part(console, world, "Its numbers, computed once more", lines)


def _shift_json(moved: WindowShift) -> dict[str, Any]:
    windows = {"before": window_json(moved.before), "now": window_json(moved.now)}
    return {"windows": windows, **(shift_json(moved.shift) or {})}


def _shift_lines(moved: WindowShift, world: World) -> Iterator[str]:
    spans = [
        f"{window.start.astimezone(world.zone):%d %b %H:%M} to {window.end.astimezone(world.zone):%d %b %H:%M}"
        for window in (moved.before, moved.now)
    ]
    first, *parts = shift_lines(moved.shift)
    yield f"{first} ({spans[0]} against {spans[1]})"
    yield from (f"  {part}" for part in parts)


def _recomputed(alert: Alert, world: World) -> list[Recomputed]:
    model = world.models.get(alert.subject.model)
    return recompute(alert.metric, model, world) if alert.metric is not None and model is not None else []


def _again(alert: Alert, numbers: Sequence[Recomputed]) -> Iterator[str]:
    """What came out for one alert, a sentence a way."""
    metric = alert.metric
    if metric is None:
        return
    stored = "no value" if metric.value is None else repr(metric.value)
    yield f"{subject_of(alert)}: {metric.name} was {stored}"
    for one in numbers:
        if one.is_same is None:
            yield f"  from {one.source}: not possible; {one.why}"
        elif one.is_same:
            yield f"  from {one.source}: the same to the last bit, bounds and p-values included"
        else:
            value = one.metric.value if one.metric is not None else None
            yield f"  from {one.source}: {value!r} today; {one.why}"


@app.command("ack")
def ack(
    incident: IncidentArgument,
    note: Annotated[str, typer.Option(help="What you are doing about it.")] = "",
    by: Annotated[str, typer.Option(help="Your name [default: the signed-in user].")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge an incident: escalation and reminders stop, everybody sees who has it.

    Example:
        tiltmeter alerts ack inc_7f3a --note "rolling back crm_sync"
    """
    world = _world(config)
    changed = acknowledge(world, _incident(world, incident).id, by=by or getuser(), note=note)
    if as_json:
        print_json(incident_json(changed))
    elif changed.resolved_at is not None:
        print(f"{changed.id} is over since {_local(world, changed.resolved_at)}: there is nothing to acknowledge")
    else:
        print(f"{changed.id} is acknowledged by {changed.acknowledged_by}")


@app.command("silence")
def silence(
    matchers: Annotated[list[str], typer.Argument(metavar="LABEL=VALUE…", help="All must be equal.")],
    reason: Annotated[str, typer.Option(help="Why; shown to everybody.")],
    for_: Annotated[str, typer.Option("--for", help="How long, 30 days at most.")] = "4h",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep quiet about alerts whose labels match; they are still judged and shown.

    Example:
        tiltmeter alerts silence feature=company_size --for 4h --reason "backfill of the CRM"
    """
    world = _world(config)
    labels = {}
    for matcher in matchers:
        key, equals, value = matcher.partition("=")
        if not equals or not key:
            raise UsageError(f'"{matcher}" is no matcher', hint="write it like feature=company_size")
        labels[key] = value
    made = start_silence(world, labels, until=world.clock.now() + duration(for_), by=getuser(), reason=reason)
    if as_json:
        print_json({"id": made.id, "ends_at": made.ends_at.isoformat(), "matchers": dict(made.matchers)})
    else:
        print(f"{made.id} until {_local(world, made.ends_at)}; `tiltmeter alerts unsilence {made.id}` ends it early")


@app.command("unsilence")
def unsilence(
    silence_id: Annotated[str, typer.Argument(metavar="SILENCE", help="Id such as sil_7f3a….")],
    config: ConfigOption = None,
) -> None:
    """End a silence early; what still fires is told at once.

    Example:
        tiltmeter alerts unsilence sil_7f3a
    """
    world = _world(config)
    if not end_silence(world, silence_id, by=getuser()):
        known = [s.id for s in world.state.silences(world.clock.now())]
        raise UsageError(f'there is no silence "{silence_id}"', hint=did_you_mean(silence_id, known))
    print(f"{silence_id} is over")


def _world(config: Any) -> World:  # noqa: ANN401 - the option's value
    return build_world(load_settings(config), with_channels=False)


def _incident(world: World, given: str) -> Incident:
    """The incident of that id or of the only id that begins so.

    Raises:
        UsageError: none or several begin so.
    """
    found = world.state.incident(given)
    if found is not None:
        return found
    fitting = [i for i in world.state.incidents(open_only=False) if i.id.startswith(given)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(f'several incidents begin with "{given}"', hint=", ".join(i.id for i in fitting[:5]))
    raise UsageError(
        f'there is no incident that begins with "{given}"', hint="`tiltmeter alerts list --all` names them"
    )


def _local(world: World, moment: datetime) -> str:
    return moment.astimezone(world.zone).strftime("%a %d %b %Y %H:%M %Z")


def _asked_about(world: World, given: str) -> tuple[Incident | None, list[Alert]]:
    """The incident and its alerts, or one alert with the incident it belongs to.

    Raises:
        UsageError: nothing, or more than one thing, has such an id.
    """
    known = world.state.alerts(open_only=False)
    if given.startswith("alr_"):
        fitting = [alert for alert in known.values() if alert.id.startswith(given)]
        if len(fitting) != 1:
            said = "several alerts begin" if fitting else "there is no alert that begins"
            raise UsageError(f'{said} with "{given}"', hint=did_you_mean(given, [a.id for a in known.values()][:200]))
        [alert] = fitting
        return (world.state.incident(alert.incident) if alert.incident else None), [alert]
    incident = _incident(world, given)
    return incident, [alert for alert in known.values() if alert.incident == incident.id]


def _story(world: World, incident: Incident | None, alerts: Sequence[Alert]) -> Story:
    events = {(e.fingerprint, e.seq, e.kind, e.evaluated_at): e for e in _events(world, incident, alerts)}
    return story_of(
        alerts,
        incident,
        events.values(),
        world.state.deliveries(incident=incident.id) if incident else [],
        rules=world.rules,
        zone=world.zone,
        now=world.clock.now(),
    )


def _events(world: World, incident: Incident | None, alerts: Sequence[Alert]) -> Iterator[AlertEvent]:
    if incident is not None:
        yield from world.state.events(incident=incident.id)
    for alert in alerts:  # what happened before it fired belongs to no incident
        for event in world.state.events(fingerprint=alert.fingerprint):
            if event.detail.get("episode") == alert.episode:
                yield event


def _print_part(console: Console, world: World, title: str, lines: Sequence[Line]) -> None:
    if not lines:
        return
    console.print(f"[bold]{title}[/]")
    for line in lines:
        when = f"{_local(world, line.at)}  " if line.at is not None else ""
        console.print(f"  [dim]{when}[/]{_escaped(line.text)}")


def _escaped(text: str) -> str:
    """Hostile text for Rich: no markup, no control characters."""
    printable = "".join(character if character.isprintable() else "·" for character in text)
    return printable.replace("[", "\\[")
