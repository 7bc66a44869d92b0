"""Every kind of message, played by the rules and sent through the real channels to receivers on this machine.

`python tests/message_gallery.py FOLDER` draws each as people see it: Slack's blocks, the mail, the PagerDuty incident.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from alert_scenes import ROUTES
from tiltmeter.alerting.advance import advance
from tiltmeter.alerting.rehearsal import Rehearsal
from tiltmeter.alerting.rules import verdicts
from tiltmeter.alerting.situation import Change
from tiltmeter.channels import build_channels
from tiltmeter.config.rules import load_rules, parse_rules
from tiltmeter.config.yaml_source import parse_yaml
from tiltmeter.domain.message import MessageKind, Receipt
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.window import Grain, Window
from tiltmeter.service.ack_links import AckLinks
from tiltmeter.service.dead_letters import meta_messages
from tiltmeter.service.watchdog import Watchdog
from tiltmeter.testing.receivers import PagerDutyReceiver, SlackReceiver, SmtpReceiver
from tiltmeter.testing.samples import SteppedClock

MODEL, URL = "lead-scoring", "https://tiltmeter.example.com"
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)  # ten past three in Berlin
DAY = Window(datetime(2026, 11, 21, 23, tzinfo=UTC), datetime(2026, 11, 22, 23, tzinfo=UTC), Grain.DAY)
MORNING = datetime(2026, 11, 23, 5, tzinfo=UTC)


@dataclass
class GalleryClock:
    moment: datetime = NIGHT

    def now(self):
        return self.moment

    def monotonic(self):
        return time.monotonic()


def play() -> Rehearsal:
    """The packaged rules with a ladder to Slack, mail and PagerDuty."""
    packaged = load_rules(None)
    routed = parse_rules(parse_yaml(ROUTES, name="routes"), base=packaged)
    return Rehearsal(routed, model=MODEL, zone=BERLIN, public_url=URL)


def number(name, value, window, feature="", *, segment=("", ""), version="", **details):
    rows = {"n_current": 6_904, "n_reference": 48_112} if name.startswith(("drift", "features")) else {"n_current": 690}
    return Metric(
        name, Subject(MODEL, version, feature, *segment), window, value, **rows,
        q_value=0.0, p_value=0.0, details=details,
    )  # fmt: skip


def live(minutes: float = 0.0) -> Window:
    end = NIGHT + timedelta(minutes=minutes)
    return Window(end - timedelta(minutes=5), end, Grain.LIVE)


MOVED = {
    "lead_source": (0.61, "web-form 18 points up, partner 15 points down"),
    "company_size": (0.55, "median 50 → 210"),
    "region": (0.49, "DACH 12 points down, Nordics 9 points up"),
    "phone": (0.44, "31 points more missing (now 43 %)"),
    "campaign": (0.41, "new level autumn-fair, 12 %"),
}


def drifted(features: int) -> list[Metric]:
    named = dict(list(MOVED.items())[:features])
    named |= {f"feature_{n:02}": (0.40 - n / 200, f"median {n} → {n + 4}") for n in range(features - len(named))}
    return [number("drift.psi", psi, DAY, name, effect=effect) for name, (psi, effect) in named.items()]


def one_feature():
    at = play()
    at.judge([number("drift.psi", 0.31, DAY, "campaign", effect="new level autumn-fair, 12 %")], DAY, now=MORNING)
    return at.messages


def thirty_features():
    at = play()
    score = number("drift.overall_psi", 0.38, DAY, of="score", effect="scores 0.07 lower (mean 0.31 → 0.24)")
    missing = number("features.missing_change", 0.31, DAY, "phone", effect="31 points more missing (now 43 %)")
    rules = [rule for rule in at.rules.rules if rule.every is Grain.DAY or rule.id == "missing"]
    situation = replace(
        at.situation(MORNING), changes=(Change(DAY.start + timedelta(hours=4), "version 14 since Sun 22 Nov 04:00"),)
    )
    found = verdicts([*drifted(30), score, missing], rules)
    return list(advance(situation, found, window=DAY, now=MORNING).messages)


def error_burst(at=None):
    at = at or play()
    details = {
        "top_route": "POST /score", "errors": 412, "requests": 12_800, "exception": "KeyError",
        "first_seen": (NIGHT - timedelta(minutes=1, seconds=20)).isoformat(), "change": "version 15 since 03:05",
    }  # fmt: skip
    for seconds in range(0, 70, 10):
        window = live(seconds / 60 - 1)
        at.judge([number("serving.error_rate", 0.0322, window, **details)], window)
    return at.messages


def slow_answers():
    at = play()
    for seconds in range(0, 70, 10):
        window = live(seconds / 60 - 1)
        at.judge([number("serving.latency_ms.p95", 812.0, window, top_route="POST /score", requests=9_120)], window)
    return at.messages


def late_job():
    at = play()
    details = {"expected": "2026-11-22T22:10:00+00:00", "last_run": "2026-11-20T20:10:00+00:00"}
    at.judge([number("batch.overdue", 4 * 3600.0, live(), segment=("job", "nightly"), **details)], live())
    return at.messages


def failed_job():
    at = play()
    details = {"message": "PathNotFound: abfss://crm@lake/leads/2026-11-22", "run_id": "8871-3"}
    at.judge([number("batch.failed", 1.0, live(), segment=("job", "nightly"), **details)], live())
    return at.messages


def fewer_conversions():
    at = play()
    at.judge([number("outcomes.observed_to_expected_z", -4.2, DAY, observed=41, expected=72.4)], DAY, now=MORNING)
    return at.messages


def storm():
    at = play()
    for index in range(40):
        at.model = f"scoring-{index:02}"
        window = live(index / 60 + 1)
        for step in range(0, 70, 10):
            span = Window(window.start + timedelta(seconds=step), window.end + timedelta(seconds=step), Grain.LIVE)
            metric = replace(number("serving.error_rate", 0.2 + index / 100, span), subject=Subject(at.model))
            at.judge([metric], span)
    at.let_pass(NIGHT + timedelta(minutes=14))
    return [m for m in at.messages if m.kind is MessageKind.DIGEST]


def nobody_acknowledges():
    at = play()
    error_burst(at)
    at.let_pass(NIGHT + timedelta(minutes=15))
    return at.messages


def acknowledged():
    at = play()
    error_burst(at)
    [incident] = at.open_incidents()
    at.acknowledge(incident.id, by="Anna", note="rolling back to version 14", now=NIGHT + timedelta(minutes=6))
    return at.messages


def reminded():
    at = play()
    one = number("drift.psi", 0.31, DAY, "campaign", effect="new level autumn-fair, 12 %")
    at.judge([one], DAY, now=MORNING)
    at.let_pass(MORNING + timedelta(hours=24))
    return at.messages


def recovered():
    at = play()
    error_burst(at)
    for seconds in range(10, 40, 10):
        window = live(seconds / 60 + 20)
        at.judge([number("serving.error_rate", 0.001, window)], window)
    return at.messages


def channel_refuses():
    with ExitStack() as stack:
        channels = _channels(stack, None)[0]
        error = "slack: Slack refused the message (channel_not_found): invite the bot, or correct the channel"
        return meta_messages("slack", error, now=NIGHT, channels=channels)


class _Heard:
    """The watchdog's own way to PagerDuty, which keeps what it was given."""

    name = kind = "pagerduty"

    def __init__(self):
        self.messages = []

    def send(self, message):
        self.messages.append(replace(message, channel="pagerduty"))
        return Receipt()


def service_silent():
    heard, clock = _Heard(), SteppedClock(moment=NIGHT)
    watchdog = Watchdog(lambda: NIGHT - timedelta(minutes=6), clock, pager=heard)
    watchdog.check()
    return heard.messages


SCENES = {
    "watchdog": service_silent,
    "drift-warning": one_feature,
    "drift-critical": thirty_features,
    "error-burst": error_burst,
    "slow-answers": slow_answers,
    "job-late": late_job,
    "job-failed": failed_job,
    "conversion-fall": fewer_conversions,
    "storm": storm,
    "escalated": nobody_acknowledges,
    "acknowledged": acknowledged,
    "reminded": reminded,
    "recovered": recovered,
    "channel-refuses": channel_refuses,
}


def _channels(stack: ExitStack, folder: Path | None):
    slack = stack.enter_context(SlackReceiver(folder and folder / "slack"))
    mail = stack.enter_context(SmtpReceiver(folder and folder / "email"))
    pager = stack.enter_context(PagerDutyReceiver(folder and folder / "pagerduty"))
    settings = {
        "slack": {"kind": "slack", "channel": "#ml-alerts", "token": "xoxb-t", "api_url": slack.api_url},
        "email": {"kind": "smtp", "to": ["ml-team@example.com"], "from": "tiltmeter@example.com", "url": mail.url},
        "pagerduty": {"kind": "pagerduty", "routing_key": "K" * 32, "api_url": pager.url},
    }
    return build_channels(settings, clock=GalleryClock()), {"slack": slack, "email": mail, "pagerduty": pager}


def deliver(messages, folder: Path | None):
    """Send the messages of one scene; the receivers that hold them.

    Raises:
        DeliveryError: a receiver refused one.
    """
    with ExitStack() as stack:
        channels, receivers = _channels(stack, folder)
        links = AckLinks(b"key of the gallery", URL, GalleryClock())
        threads: dict[str, dict[str, str]] = {}
        for message in messages:
            if message.channel not in channels:
                continue
            channel = channels[message.channel]
            threaded = replace(message, thread=threads.get(message.channel, {}))
            receipt = channel.send(links.attach(threaded, channel))
            threads[message.channel] = {**threads.get(message.channel, {}), **receipt.thread}
        return receivers


def draw(folder: Path, only: str = "") -> None:
    """One picture a scene and channel."""
    from playwright.sync_api import sync_playwright

    chosen = [name for name in SCENES if only in name]
    for name in chosen:  # first all of them: the browser's event loop and the mail client's cannot nest
        deliver(SCENES[name](), folder / "pages" / name)
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 760, "height": 400}, device_scale_factor=1.5)
        for name in chosen:
            for channel in ("slack", "email", "pagerduty"):
                found = sorted((folder / "pages" / name / channel).glob("*.html"))
                if found:
                    page.goto((found[-1] if channel == "email" else found[0]).resolve().as_uri())
                    frame = page.query_selector("iframe")
                    if frame is not None:
                        page.set_content(frame.get_attribute("srcdoc") or "")
                    page.screenshot(path=str(folder / f"{name}-{channel}.png"), full_page=True)
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]), *sys.argv[2:3])
