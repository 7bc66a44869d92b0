"""What a chart rests on, in one line below it: window, n, baseline, thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiltmeter.alerting.limits import ERROR_RATE, P95, limit_words
from tiltmeter.api.period_story import NOT_IN_PERCENT
from tiltmeter.api.summary import percent
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.views.dashboard.frame import plain
from tiltmeter.views.dashboard.queries import ALL, Scope, limits_for, read_span, remembered
from tiltmeter.views.dashboard.traffic import OF_ALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pandas as pd

    from tiltmeter.ports import World


def window_words(window: Window) -> str:
    """`08 Mar 00:00 to 09 Mar 00:00 UTC`."""
    return f"{window.start:%d %b %H:%M} to {window.end:%d %b %H:%M} UTC"


@remembered
def baseline_words(_world: World, scope: Scope, start: datetime, end: datetime) -> str:
    """`baseline training (d68c5957), n = 2,000`, its name as plain text.

    Args:
        _world: whose baselines.
        scope: what is shown.
        start: of the window that was judged, not of the shown span: baselines that move have another side for each.
        end: of the same window.
    """
    reference = _world.baselines.judging(scope.model, Window(start, end, Grain.DAY))
    if reference is None:
        return "no baseline yet"
    name = plain(reference.name)
    return f"baseline {name} ({plain(reference.baseline_id[:8])}), n = {reference.profile.rows:,}"


def newest_baseline_words(here: World, scope: Scope, table: pd.DataFrame) -> str:
    """The baseline of the newest window that has a number: columns `start`, `value` and `time`, its end."""
    known = table.dropna(subset=["value"])
    if not len(known):
        return "no baseline: nothing was judged"
    last = known.iloc[-1]
    return baseline_words(here, scope, last["start"].to_pydatetime(), last["time"].to_pydatetime())


def newest_words(table: pd.DataFrame, what: str) -> str:
    """`newest day n = 960`."""
    known = table.dropna(subset=["value"]) if "value" in table else table
    return f"newest {what} n = {int(known['rows'].iloc[-1]):,}" if len(known) else f"no {what}"


def requests_words(service: pd.DataFrame) -> str:
    """`n = 8,640 requests`."""
    return f"n = {int(service['requests'].fillna(0).sum()):,} requests"


def is_share(metric: str) -> bool:
    """Whether a metric is read in percent."""
    return metric in CATALOGUE and CATALOGUE[metric].unit is Unit.SHARE and metric not in NOT_IN_PERCENT


def write_of(metric: str) -> Callable[[float], str]:
    """How a limit of a metric is written: `1 %`, `500 ms`, `0.25`."""
    if is_share(metric):
        return lambda share: f"{100 * share:.4g} %"
    is_time = metric in CATALOGUE and CATALOGUE[metric].unit is Unit.MILLISECONDS
    return "{:g} ms".format if is_time else "{:g}".format


def rule_words(
    here: World, scope: Scope, metric: str, *, feature: str = "", write: Callable[[float], str] | None = None
) -> str:
    """Thresholds of a metric by the rules that judge what is shown; says so where none does."""
    return limit_words(limits_for(here, scope, metric, feature=feature), write=write or write_of(metric))


def latency_words(here: World, scope: Scope, service: pd.DataFrame) -> str:
    """What the chart of latency rests on."""
    limits = rule_words(here, _of(scope, service), P95, write="{:g} ms".format)
    return f"{window_words(read_span(here, scope))} · {requests_words(service)} · P95: {limits}"


def failure_words(here: World, scope: Scope, service: pd.DataFrame) -> str:
    """What the chart of requests and failures rests on."""
    limits = rule_words(here, _of(scope, service), ERROR_RATE, write=percent)
    return f"{window_words(read_span(here, scope))} · {requests_words(service)} · failed: {limits}"


def _of(scope: Scope, service: pd.DataFrame) -> Scope:
    """Whose requests a table holds: all versions together or one."""
    return replace(scope, segment=ALL, version="" if service.attrs.get(OF_ALL) else scope.version)
