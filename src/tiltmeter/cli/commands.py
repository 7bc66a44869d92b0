"""Every command: name -> (where it is, what the overview says). A command's module is imported when it runs."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "compare": ("tiltmeter.cli.compare:compare", "Drift and feature statistics of two data sets."),
    "backtest": ("tiltmeter.cli.backtest:backtest", "What the rules would have said about a history."),
    "baseline": ("tiltmeter.cli.baseline:app", "Freeze, list, show and choose what windows are compared with."),
    "channels": ("tiltmeter.cli.channels:app", "Ways to people: list them, send a test message."),
    "watchdog": ("tiltmeter.cli.watchdog:watchdog", "Page somebody when the monitoring itself goes quiet."),
    "statistics": ("tiltmeter.cli.statistics:statistics", "Every statistic and metric: definition, range, source."),
}
