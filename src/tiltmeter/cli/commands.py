"""Every command: name -> (where it is, what the overview says). A command's module is imported when it runs."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("tiltmeter.cli.demo:demo", "A whole world on this machine: model, app, traffic, incidents, dashboard."),
    "init": ("tiltmeter.cli.init:init", "Write a commented configuration; from a data set, if there is one."),
    "check": ("tiltmeter.cli.check:check", "Validate the configuration, its channels and their secrets."),
    "compare": ("tiltmeter.cli.compare:compare", "Drift and feature statistics of two data sets."),
    "backtest": ("tiltmeter.cli.backtest:backtest", "What the rules would have said about a history."),
    "baseline": ("tiltmeter.cli.baseline:app", "Freeze, list, show and choose what windows are compared with."),
    "run": ("tiltmeter.cli.run:run", "Judge one window now; from cron or any scheduler."),
    "serve": ("tiltmeter.cli.serve:serve", "Run the service: shipper, scheduler, sender, HTTP."),
    "ship": ("tiltmeter.cli.ship:ship", "Run the shipper alone, on API hosts."),
    "dashboard": ("tiltmeter.cli.serve:show_dashboard", "Show the dashboard in the browser."),
    "jobs": ("tiltmeter.cli.jobs:app", "Databricks job runs: poll them, list them."),
    "outcomes": ("tiltmeter.cli.outcomes:app", "Import conversions and revenue."),
    "alerts": ("tiltmeter.cli.alerts:app", "What fired, who was told; acknowledge and silence."),
    "rules": ("tiltmeter.cli.rules:app", "Check, test and replay alert rules."),
    "channels": ("tiltmeter.cli.channels:app", "Ways to people: list them, send a test message."),
    "report": ("tiltmeter.cli.report:app", "The drift report and performance review of a day or week."),
    "grafana": ("tiltmeter.cli.grafana:app", "Write dashboards and provisioning files for Grafana."),
    "prometheus": ("tiltmeter.cli.prometheus:app", "Write alert rules for Prometheus."),
    "export": ("tiltmeter.cli.export:app", "Metric tables in the shape of Databricks data profiling."),
    "erase": ("tiltmeter.cli.erase:erase", "Remove one person's rows from every table."),
    "statistics": ("tiltmeter.cli.statistics:statistics", "Every statistic and metric: definition, range, source."),
    "doctor": ("tiltmeter.cli.check:doctor", "Look at an installation part by part: ok, or what to do."),
    "watchdog": ("tiltmeter.cli.watchdog:watchdog", "Page somebody when the monitoring itself goes quiet."),
}
