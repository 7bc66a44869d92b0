"""Senders are killed at random moments; every message arrives, and nobody who can tell reads one twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiltmeter.domain.message import DeliveryStatus
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.receivers import PagerDutyReceiver, SlackReceiver, SmtpReceiver, WebhookReceiver
from tiltmeter.testing.samples import sample_content, sample_message

WORKER = Path(__file__).with_name("delivery_worker.py")
HOOK_SECRET = "whsec_" + "QUJD" * 10
LEASE_S = 0.4


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def _channels(slack, mail, pager, hook) -> dict:
    return {
        "slack": {"kind": "slack", "channel": "#ml-alerts", "token": "xoxb-t", "api_url": slack.api_url},
        "mail": {"kind": "smtp", "to": ["a@example.com"], "from": "t@example.com", "url": mail.url},
        "pager": {"kind": "pagerduty", "routing_key": "K" * 32, "api_url": pager.url},
        "hook": {"kind": "webhook", "url": hook.hook_url, "secret": HOOK_SECRET, "allow_private": True},
    }


def _kill_at_random(arguments: list[str], state: SqlStateStore, *, kills: int, seed: int) -> int:
    """Run senders one after the other, each killed after a random time, until everything is sent."""
    rng = random.Random(seed)
    command = [sys.executable, str(WORKER), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nursery:
        try:
            done = 0
            while not _everything_sent(state):
                nursery.stdin.write("\n")
                child = int(nursery.stdout.readline())
                until = time.monotonic() + (rng.uniform(0.02, 0.4) if done < kills else 60)
                while time.monotonic() < until and not _everything_sent(state):
                    time.sleep(0.01)
                done += not _everything_sent(state)
                os.kill(child, signal.SIGKILL)
                assert nursery.stdout.readline() == "ended\n"
                assert done < 10 * kills, f"not everything was sent: {Counter(d.status for d in state.deliveries())}"
            return done
        finally:
            nursery.stdin.close()
            nursery.kill()


def _everything_sent(state: SqlStateStore) -> bool:
    return not sum(channel.queued for channel in state.channel_states())


def _deliver_under_kills(folder: Path, *, each: int, kills: int, seed: int) -> None:
    with (
        SlackReceiver() as slack,
        SmtpReceiver() as mail,
        PagerDutyReceiver() as pager,
        WebhookReceiver(HOOK_SECRET) as hook,
    ):
        channels = _channels(slack, mail, pager, hook)
        (folder / "channels.json").write_text(json.dumps(channels))
        state = SqlStateStore(f"sqlite:{folder / 'state.db'}", RealClock())
        now = datetime.now(UTC)
        state.enqueue(
            [
                sample_message(incident=f"inc_{number}", channel=name, at=now, content=sample_content(rows=3))
                for number in range(each)
                for name in channels
            ]
        )
        arguments = [str(folder / "state.db"), str(folder / "channels.json"), str(LEASE_S)]
        happened = _kill_at_random(arguments, state, kills=kills, seed=seed)
        assert len(state.deliveries(status=DeliveryStatus.SENT)) == 4 * each
        state.close()
        assert happened >= kills, f"only {happened} kills fell into the sending"
        expected = {f"inc_{number}/{{}}/fired/1" for number in range(each)}
        slack_ids = Counter(m["metadata"]["event_payload"]["delivery_id"] for m in slack.messages.values())
        assert set(slack_ids) == {text.format("slack") for text in expected}
        assert max(slack_ids.values()) == 1, "a message stands twice in the Slack channel"
        assert Counter(page.key for page in pager.pages) == Counter(f"inc_{n}" for n in range(each))
        mails = Counter(str(mail["Message-ID"]) for mail in mail.mails)
        calls = Counter(hook.calls)
        assert len(mails) == each
        assert set(calls) == {text.format("hook") for text in expected}
        print(
            f"{4 * each} deliveries, {happened} kills: 0 lost; twice: Slack 0, PagerDuty 0 incidents "
            f"({sum(len(p.events) for p in pager.pages)} calls), mail {sum(mails.values()) - each}, "
            f"webhook {sum(calls.values()) - each} (same id)"
        )
        assert sum(mails.values()) - each <= happened
        assert sum(calls.values()) - each <= happened


@pytest.mark.slow
def test_a_hundred_deliveries_survive_ten_kills(tmp_path):
    _deliver_under_kills(tmp_path, each=25, kills=10, seed=20261123)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_thousand_deliveries_survive_a_hundred_kills(tmp_path):
    _deliver_under_kills(tmp_path, each=250, kills=100, seed=1)
