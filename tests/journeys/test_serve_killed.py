"""A real `tiltmeter serve` that is killed again and again while it judges: the same alerts, no message twice."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tiltmeter.config.load import load_settings
from tiltmeter.demo.backfill import import_history
from tiltmeter.demo.build import build_demo_world, period_until
from tiltmeter.demo.clock import SimulatedClock
from tiltmeter.demo.incidents import SCORE, Incident
from tiltmeter.demo.installation import Ports, Receivers, clear_folder, write_installation
from tiltmeter.domain.severity import Severity
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.wiring import stored_log

PATIENCE = 300
"""Seconds after which a wait has failed; a quiet machine needs some ninety for everything."""

# After so much of what the database holds, the service is killed: while windows are caught up, at once after the first
# live alert was committed, and as soon as a message has gone out.
KILL_WHEN = (
    "SELECT count(*) >= 1 FROM runs",
    "SELECT count(*) >= 25 FROM runs",
    "SELECT count(*) >= 60 FROM runs",
    "SELECT count(*) >= 1 FROM alerts WHERE rule = 'job_late' AND state = 'firing'",
    "SELECT count(*) >= 1 FROM outbox WHERE status = 'sent' AND channel = 'slack'",
)
OVER = (
    "SELECT (SELECT count(*) FROM alerts WHERE rule = 'job_late' AND state = 'firing')"
    " AND NOT (SELECT count(*) FROM outbox WHERE status IN ('queued', 'sending'))"
)


@dataclass
class Home:
    """An installation whose history lies in its tables and was never judged."""

    folder: Path
    receivers: Receivers
    started: list[subprocess.Popen] = field(default_factory=list)

    def serve(self):
        log = (self.folder / f"serve-{len(self.started)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tiltmeter.cli.app", "serve", "--port", "0", "--config", "tiltmeter.yaml"],
                cwd=self.folder, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.started.append(process)
        return process

    def wait_until(self, question, process):
        until = time.monotonic() + PATIENCE
        while not self._answer(question):
            assert process.poll() is None, self._words()
            assert time.monotonic() < until, f"{question}\n{self._words()}"
            time.sleep(0.02)

    def rows(self, statement):
        with closing(sqlite3.connect(f"file:{self.folder / 'state.db'}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(statement).fetchall()

    def _answer(self, question):
        try:
            return bool(self.rows(question)[0][0])
        except sqlite3.OperationalError:  # not created yet
            return False

    def _words(self):
        return (self.folder / f"serve-{len(self.started) - 1}.log").read_text(errors="replace")[-2000:]

    def alerts(self):
        """What stands in the database: calendar alerts with their beginning, live ones by their rule."""
        found = set()
        for rule, state, severity, body in self.rows("SELECT rule, state, severity, body FROM alerts"):
            alert = json.loads(body)
            is_live = (alert["metric"] or {}).get("window", {}).get("grain") == "live"
            if rule != "rule_error":
                since = "" if is_live else alert["since"]
                found.add((rule, tuple(alert["subject"].values()), state, severity, since))
        return found


def _company(now):
    """Three days of leads: a feature in the wrong unit since yesterday, and no nightly run for two nights."""
    unit_change = Incident(
        "unit-change", "feature", "company_size", now - timedelta(hours=30), now + timedelta(hours=1),
        Severity.CRITICAL, ("company_size", SCORE),
    )  # fmt: skip
    world = build_demo_world(11, period_until(now, 3), incidents=(unit_change,))
    return replace(world, history=replace(world.history, runs=world.history.runs[:-2]))


def _configured(home, world, now):
    path = write_installation(home.folder, world, home.receivers, Ports(0, 8501, 8000))
    # Nothing becomes due while the test runs, whatever the time of day.
    later = now + timedelta(minutes=30)
    schedule = f'schedule: {{hourly: "{later.minute} * * * *", daily: "{later.minute} {later.hour} * * *"}}\n'
    path.write_text(path.read_text(encoding="utf-8") + schedule, encoding="utf-8")
    return load_settings(path, environ={})


@contextmanager
def _homes(folder, names):
    """Installations of one company."""
    now = datetime.now(UTC)
    world = _company(now)
    with Receivers(folder / "inbox-1") as one, Receivers(folder / "inbox-2") as two:
        homes = [Home(folder / name, receivers) for name, receivers in zip(names, (one, two), strict=True)]
        for home in homes:
            clear_folder(home.folder)
            configuration = _configured(home, world, now)
            if home is homes[0]:
                clock, spool = SimulatedClock(world.period.end), home.folder / "spool"
                log = stored_log(configuration, clock, configuration.models)
                shipper = Shipper(spool, log, configuration.models, clock, damaged=home.folder / "damaged")
                import_history(world, spool=spool, shipper=shipper, log=log, zone=UTC, tell=lambda _day: None)
            else:
                shutil.copytree(homes[0].folder / "tables", home.folder / "tables")
        try:
            yield homes
        finally:
            for home in homes:
                for process in home.started:
                    process.kill()
                    process.wait()


def _twice(receivers):
    """What Slack got more than once, which can be asked, and incidents for which PagerDuty has more than one page."""
    posts = [m["metadata"]["event_payload"]["delivery_id"] for m in receivers.slack.messages.values()]
    pages = [page.key for page in receivers.pagerduty.pages]
    return [name for name, times in Counter([*posts, *pages]).items() if times > 1]


def _mail_ids(receivers):
    """A mail server can be asked nothing: a kill after it took a mail sends it again, under the same id.

    The same holds for PagerDuty, where an event under the same key is one more line of the same page.
    """
    return [mail["Message-ID"] for mail in receivers.email.mails]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_service_killed_while_it_judges_ends_with_the_same_alerts_told_once(tmp_path):
    with _homes(tmp_path, ("calm", "killed")) as (calm, killed):
        undisturbed = calm.serve()
        for question in KILL_WHEN:
            process = killed.serve()
            killed.wait_until(question, process)
            process.kill()
            process.wait()
        last = killed.serve()
        killed.wait_until(OVER, last)
        calm.wait_until(OVER, undisturbed)
        for process in (undisturbed, last):
            process.terminate()
            assert process.wait(timeout=60) == 0
        assert calm.alerts() == killed.alerts()
        assert {rule for rule, *_ in calm.alerts()} >= {"out_of_range", "job_late"}
        for home in (calm, killed):
            assert _twice(home.receivers) == []
            mails = _mail_ids(home.receivers)
            kills = len(KILL_WHEN) if home is killed else 0
            assert len(mails) - len(set(mails)) <= kills
            sent = Counter(channel for (channel,) in home.rows("SELECT channel FROM outbox WHERE status = 'sent'"))
            assert sent["slack"] == len(home.receivers.slack.messages) > 0
            assert sent["email"] == len(set(mails)) > 0
            events = sum(len(page.events) for page in home.receivers.pagerduty.pages)
            assert 0 < sent["pagerduty"] <= events <= sent["pagerduty"] + kills
