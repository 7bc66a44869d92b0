"""Every kind of report over hostile names: a comparison, a history replayed, a day and a week of an installation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import polars as pl

import hostile_home
from tables import FakeClock
from tiltmeter import compare
from tiltmeter.api.period import period_of
from tiltmeter.api.replaying import History, backtest_history
from tiltmeter.config.load import load_settings
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.window import Grain, Window
from tiltmeter.wiring import build_world

ROWS = 300
SOURCE = "<img src=x onerror=window.hit=1> [x](javascript:window.hit=1) www.evil.example.parquet"
"""Whoever sends a file names it, and its name is the title of a replayed history."""


def written(configuration, names, folder):
    """Files of the four reports, by kind.

    Args:
        configuration: of the hostile installation.
        names: its names.
        folder: for the files.
    """
    pages = {"comparison": _comparison(names), "backtest": _backtest(names, folder / SOURCE)}
    world = build_world(
        load_settings(configuration, environ={}), clock=FakeClock(hostile_home.END), with_channels=False
    )
    model = next(iter(world.models.values()))
    for grain, days in ((Grain.DAY, 1), (Grain.WEEK, 7)):
        window = Window(hostile_home.END - timedelta(days=days), hostile_home.END, grain)
        pages[str(grain)] = period_of(world, model, window).to_html()
    world.state.close()
    files = {}
    for kind, text in pages.items():
        files[kind] = folder / f"{kind}.html"
        files[kind].write_text(text, encoding="utf-8")
    return files


def _comparison(names):
    before = pl.DataFrame({name: [name, names[0]] * (ROWS // 2) for name in names})
    after = pl.DataFrame({name: [names[-1 - place], name] * (ROWS // 2) for place, name in enumerate(names)})
    return compare(before, after).to_html()


def _backtest(names, file):
    chance = Random(11)
    start, days = datetime(2026, 3, 2, tzinfo=UTC), 4
    rows = days * ROWS
    columns = {"at": [start + timedelta(days=row // ROWS) for row in range(rows)]}
    for place, name in enumerate(names):
        usual = names[place : place + 2]
        columns[name] = [chance.choice(usual) if row < 2 * ROWS else names[-1 - place] for row in range(rows)]
    pl.DataFrame(columns).write_parquet(file)
    history = History.of(str(file), time="at", until=start + timedelta(days=1))
    found = backtest_history(history, ColumnRoles(time="at"), load_rules(None), grain=Grain.DAY, zone=ZoneInfo("UTC"))
    return found.to_html()
