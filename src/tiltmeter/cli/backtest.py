"""`tiltmeter backtest`: a history through monitors and rules."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.cli.configured_columns import (
    configured_model,
    configured_weights,
    is_configured,
    taken,
    with_configured,
)
from tiltmeter.cli.loading import loading
from tiltmeter.cli.options import (
    Columns,
    EngineName,
    EngineOption,
    Entity,
    Features,
    Html,
    Ignore,
    Json,
    Kind,
    Label,
    Missing,
    Score,
    Weights,
)
from tiltmeter.cli.output import checked_output, console, print_json, read_weights, remark, table
from tiltmeter.cli.progress import shown_progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from tiltmeter.api.backtest import Backtest
    from tiltmeter.api.judged_windows import Episode, JudgedWindow
    from tiltmeter.api.replaying import History
    from tiltmeter.domain.feature import ColumnRoles
    from tiltmeter.domain.rule import RuleSet

BESIDE = "tiltmeter.rules-backtest/1"
"""Schema of several backtests in one document, by the name of the rules file."""

_MOST_WINDOWS = 40
_MOST_ALERTS = 25
_MOST_ONLY = 12


class Every(StrEnum):
    """Lengths of windows."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def backtest(  # noqa: PLR0917 - an option each
    data: Annotated[str, typer.Argument(help="The history: file, folder or Delta table.")],
    time_column: Annotated[str, typer.Option("--time-column", metavar="T", help="Column with the time of each row.")],
    every: Annotated[Every, typer.Option("--every", help="Length of a window.")],
    baseline_until: Annotated[
        str | None,
        typer.Option("--baseline-until", metavar="D", help="Rows before this day or moment are the baseline."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="REF", help="Another data set, or a saved baseline (.tmb).")
    ] = None,
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", metavar="F", help="Rules to try, the packaged by default; twice compares two files."),
    ] = None,
    features: Features = None,
    ignore: Ignore = None,
    kind: Kind = None,
    missing: Missing = None,
    score: Score = None,
    label: Label = None,
    entity: Entity = None,
    weights: Weights = None,
    model: Annotated[str, typer.Option("--model", help="Apply only rules that hold for this model.")] = "",
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="ZONE", help="Calendar of the windows; the configured one, else UTC."),
    ] = None,
    engine: EngineOption = EngineName.LOCAL,
    as_json: Json = False,
    html: Html = None,
) -> None:
    """What the rules would have said about a history: what would have fired, when, how often a week.

    Every rule runs at the length of a window; `for` and `resolve_after` count windows. Reminders are left out.

    Example:
      tiltmeter backtest scored.parquet --time-column scored_at --baseline-until 2026-10-01 --every day
      tiltmeter backtest leads.csv --time-column at --baseline train.csv --every week --html h.html
      tiltmeter backtest leads.csv --time-column at --baseline train.csv --every week --rules a.yaml --rules b.yaml
    """
    checked_output(html)
    weighted = read_weights(weights)
    with loading():
        from tiltmeter.api.history import moment_of
        from tiltmeter.api.replaying import History, backtests_beside
    from tiltmeter.domain.window import Grain

    zone = _zone(timezone)
    tried = [(str(path), _rules(path)) for path in rules or ()] or [("packaged rules", _rules(None))]
    until = moment_of(baseline_until, zone) if baseline_until is not None else None
    history = History.of(data, time=time_column, until=until, baseline=baseline)
    columns = Columns(features, ignore, kind, missing, score, label, entity)
    typed = columns.roles(list(history.rows.schema.names), time=time_column)
    roles, weighted = _with_configuration(history, data, typed, weighted, model)
    with shown_progress():
        replayed = backtests_beside(
            history, roles, [one for _, one in tried],
            grain=Grain(every.value), zone=zone, weights=weighted, engine=engine.value, model=model,
        )  # fmt: skip
    for line in history.notes.lines:
        remark(line)
    show([(name, one) for (name, _), one in zip(tried, replayed, strict=True)], html=html, as_json=as_json)


def show(found: Sequence[tuple[str, Backtest]], *, html: Path | None, as_json: bool) -> None:
    """Print backtests of one history by their rules: one in full, several beside each other; the first as a page."""
    if html is not None:
        found[0][1].to_html(html)
    if as_json:
        documents = {name: one.to_dict() for name, one in found}
        print_json(found[0][1].to_dict() if len(found) == 1 else {"schema": BESIDE, **documents})
    elif len(found) == 1:
        _print(found[0][1])
    else:
        _print_beside(found)
    if html is not None:
        remark(f"written: {html}")


def _with_configuration(
    history: History, data: str, roles: ColumnRoles, weights: Mapping[str, float], model: str
) -> tuple[ColumnRoles, dict[str, float]]:
    """The roles and weights; what was not said is taken from `tiltmeter.yaml` where it names the same table."""
    found = configured_model(data, model)
    if found is None:
        return roles, dict(weights)
    reference, current = history.reference_columns(), history.rows.schema.names
    weighted = configured_weights(weights, found, {*reference, *current})
    # A saved baseline knows its columns; weights it has none.
    chosen = roles if history.is_saved else with_configured(roles, found, reference=reference, current=current)
    added = ", ".join(name for name in weighted if name not in weights)
    said = [part for part in (taken(roles, chosen), f"weights of {added}" if added else "") if part]
    if said:
        remark(f"columns of {found.name} from the configuration: {', '.join(said)}")
    return chosen, weighted


def _zone(name: str | None) -> ZoneInfo:
    """The named zone, else the configured one, else UTC."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from tiltmeter.domain.errors import UsageError

    if name is not None:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(f'there is no time zone "{name}"', hint="for example Europe/Berlin") from error
    if is_configured():
        from tiltmeter.config.load import load_settings

        return load_settings().zone
    return ZoneInfo("UTC")


def _rules(path: Path | None) -> RuleSet:
    from tiltmeter.config.rules import load_rules
    from tiltmeter.domain.errors import UsageError

    if path is not None and not path.is_file():
        raise UsageError("there is no such rules file", at=str(path))
    return load_rules(path)


def _print(found: Backtest) -> None:
    from tiltmeter.api.story import backtest_sentence
    from tiltmeter.domain.severity import Severity

    out = console()
    out.print(backtest_sentence(found) + ".", style="bold", soft_wrap=True)
    alerts = [episode for episode in found.episodes if episode.severity >= Severity.WARNING]
    info = len(found.episodes) - len(alerts)
    shown = found.windows[-_MOST_WINDOWS:]
    out.print()
    columns = ("window", "rows", "status", "overall PSI", "critical", "warning", "conversion", "worst")
    cells = [_window_cells(window, found.zone) for window in shown]
    out.print(table(columns, cells, numbers=(*columns[3:7], "rows")))
    if len(found.windows) > len(shown):
        out.print(f"\n{len(found.windows) - len(shown)} earlier windows: --json or --html shows them")
    if alerts:
        out.print()
        titles = ("severity", "rule", "feature", "since", "until", "windows", "what changed")
        out.print(table(titles, [_alert_cells(one, found) for one in alerts[:_MOST_ALERTS]], numbers=("windows",)))
    if len(alerts) > _MOST_ALERTS:
        out.print(f"\n{len(alerts) - _MOST_ALERTS} more alerts: --json or --html shows them")
    if info:
        out.print(f"\n{info} findings at info, which tell nobody, are in --json", style="dim")


def _print_beside(found: Sequence[tuple[str, Backtest]]) -> None:
    columns = ("rules", "windows", "judged", "critical", "warning", "info", "messages", "a week")
    cells = [
        [
            name,
            str(len(one.windows)),
            str(one.judged),
            *(str(one.alerts[word]) for word in ("critical", "warning", "info")),
            str(one.messages),
            "–" if one.messages_per_week is None else f"{one.messages_per_week:.2f}",
        ]
        for name, one in found
    ]
    out = console()
    out.print(table(columns, cells, numbers=columns[1:]))
    for name, only in _said_by_one(found):
        out.print(
            f"\nonly {name}: {', '.join(only[:_MOST_ONLY])}{' …' if len(only) > _MOST_ONLY else ''}", soft_wrap=True
        )


def _said_by_one(found: Sequence[tuple[str, Backtest]]) -> list[tuple[str, list[str]]]:
    """Alerts at warning or above that only one of the rules files would have raised, as rule and feature."""
    from tiltmeter.domain.severity import Severity
    from tiltmeter.monitors.effects import shortened

    said = {name: {(e.rule, e.feature) for e in one.episodes if e.severity >= Severity.WARNING} for name, one in found}
    listed = []
    for name, own in said.items():
        others = set().union(*(alerts for other, alerts in said.items() if other != name))
        only = [f"{rule} {shortened(feature)}".strip() for rule, feature in sorted(own - others)]
        if only:
            listed.append((name, only))
    return listed


def _window_cells(judged: JudgedWindow, zone: ZoneInfo) -> list[str]:
    from tiltmeter.api.history import window_name
    from tiltmeter.api.summary import number, percent
    from tiltmeter.domain.metric import reason_in_words
    from tiltmeter.monitors.effects import shortened

    overall = judged.overall
    name, status = window_name(judged.window, zone), reason_in_words(judged.status.value)
    if overall is None:
        return [name, "0", status, "–", "–", "–", "–", ""]
    worst = sorted(judged.features.items(), key=lambda pair: (-pair[1].severity, -(pair[1].psi or 0.0), pair[0]))
    named = [shortened(feature) for feature, one in worst if one.severity >= 2][:3]
    psi = overall.score_psi if overall.score_psi is not None else overall.psi
    return [
        name,
        f"{judged.rows:,}",
        status,
        number(psi),
        str(overall.features_critical),
        str(overall.features_warning),
        percent(judged.conversion_rate),
        ", ".join(named),
    ]


def _alert_cells(episode: Episode, found: Backtest) -> list[str]:
    from tiltmeter.monitors.effects import shortened

    zone = found.zone
    return [
        episode.severity.word,
        episode.rule,
        shortened(episode.feature) or "(all)",
        f"{episode.since.astimezone(zone):%Y-%m-%d %H:%M}",
        f"{episode.until.astimezone(zone):%Y-%m-%d %H:%M}" if episode.until is not None else "still open",
        str(episode.windows),
        episode.effect,
    ]
