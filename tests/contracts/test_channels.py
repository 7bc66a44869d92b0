"""Every channel keeps its contract against a local server that speaks its protocol."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from tiltmeter.channels import CHANNELS, build_channel
from tiltmeter.testing.channel_contract import ChannelContract, ChannelTrial
from tiltmeter.testing.receivers import (
    Fault,
    PagerDutyReceiver,
    Reply,
    SlackReceiver,
    SmtpFault,
    SmtpReceiver,
    WebhookReceiver,
)

HOOK_SECRET = "whsec_" + "QUJD" * 10
TOKEN = "xoxb-canary-token"
KEY = "R0UTINGKEYCANARY0000000000000000"
QUICK = {"timeout_s": 2}
SLACK_MARKUP = ("<!channel>", "<@U123>", "<https://evil", "<script>")


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def http_faults(receiver, *, refusal: Reply, limit: Reply, failure: Reply) -> dict:
    return {
        "refuse": lambda: receiver.script(Fault(refusal)),
        "limit": lambda: receiver.script(Fault(limit)),
        "fail": lambda: receiver.script(Fault(failure)),
        "drop": lambda: receiver.script(Fault(accept=True, drop=True)),
        "hang": lambda: receiver.script(Fault(accept=True, hang_s=30)),
        "stop": receiver.stop,
    }


class TestSlackWithToken(ChannelContract):
    @pytest.fixture
    def trial(self):
        receiver = SlackReceiver().start()
        channel = build_channel(
            "slack", {"kind": "slack", "channel": "#ml-alerts", "token": TOKEN, "api_url": receiver.api_url, **QUICK},
            clock=RealClock(),
        )  # fmt: skip
        faults = http_faults(
            receiver,
            refusal=Reply(200, b'{"ok":false,"error":"not_in_channel"}'),
            limit=Reply(429, b'{"ok":false,"error":"ratelimited"}', {"Retry-After": "7"}),
            failure=Reply(200, b'{"ok":false,"error":"internal_error"}'),
        )
        yield ChannelTrial(
            channel, lambda: [_shown(m) for m in receiver.roots()], [TOKEN], **faults, markup=SLACK_MARKUP
        )
        if not receiver._stopped.is_set():
            receiver.stop()


class TestSlackWebhook(ChannelContract):
    @pytest.fixture
    def trial(self):
        receiver = SlackReceiver().start()
        channel = build_channel(
            "slack", {"kind": "slack", "webhook_url": receiver.webhook_url, **QUICK}, clock=RealClock()
        )
        faults = http_faults(
            receiver,
            refusal=Reply(404, b"no_service"),
            limit=Reply(429, b"rate_limited", {"Retry-After": "7"}),
            failure=Reply(500, b"rollup_error"),
        )
        secrets = [receiver.webhook_url, "XXXXXXXX"]
        yield ChannelTrial(
            channel, lambda: [_shown(m) for m in receiver.roots()], secrets, **faults, markup=SLACK_MARKUP
        )
        if not receiver._stopped.is_set():
            receiver.stop()


def _shown(message: dict) -> str:
    """The texts that Slack reads as markup; plain_text blocks are shown as they are."""
    texts = [message["text"]]
    for block in message["blocks"]:
        parts = [block["text"]] if "text" in block else block.get("fields", []) + block.get("elements", [])
        texts += [part["text"] for part in parts if part["type"] == "mrkdwn"]
        assert all(part.get("verbatim") for part in parts if part["type"] == "mrkdwn")
    return "\n".join(texts)


class TestPagerDuty(ChannelContract):
    @pytest.fixture
    def trial(self):
        receiver = PagerDutyReceiver().start()
        settings = {"kind": "pagerduty", "routing_key": KEY, "api_url": receiver.url, **QUICK}
        channel = build_channel("pagerduty", settings, clock=RealClock())
        faults = http_faults(
            receiver,
            refusal=Reply(400, json.dumps({"status": "invalid event", "message": KEY}).encode()),
            limit=Reply(429, b"", {"Retry-After": "7"}),
            failure=Reply(503),
        )
        shown = lambda: [json.dumps(page.events, ensure_ascii=False) for page in receiver.pages]  # noqa: E731 - short
        yield ChannelTrial(channel, shown, [KEY], **faults)
        if not receiver._stopped.is_set():
            receiver.stop()


class TestWebhook(ChannelContract):
    @pytest.fixture
    def trial(self):
        receiver = WebhookReceiver(HOOK_SECRET).start()
        settings = {"kind": "webhook", "url": receiver.hook_url, "secret": HOOK_SECRET, "allow_private": True, **QUICK}
        channel = build_channel("hook", settings, clock=RealClock())
        faults = http_faults(
            receiver, refusal=Reply(410), limit=Reply(429, b"", {"Retry-After": "7"}), failure=Reply(502)
        )
        shown = lambda: [json.dumps(r, ensure_ascii=False) for r in receiver.inbox.messages.values()]  # noqa: E731 - short
        yield ChannelTrial(channel, shown, [HOOK_SECRET, "QUJDQUJD"], **faults)
        if not receiver._stopped.is_set():
            receiver.stop()


class TestEmail(ChannelContract):
    @pytest.fixture
    def trial(self):
        receiver = SmtpReceiver(login=("user", "canary-password")).start()
        url = receiver.url.replace("smtp://", "smtp://user:canary-password@")
        settings = {"kind": "smtp", "to": ["a@example.com"], "from": "t@example.com", "url": url, **QUICK}
        yield ChannelTrial(
            build_channel("mail", settings, clock=RealClock()),
            lambda: [_mail_text(mail) for mail in receiver.mails],
            ["canary-password"],
            refuse=lambda: receiver.script(SmtpFault("DATA", "554 5.7.1 canary-password refused")),
            limit=None,
            fail=lambda: receiver.script(SmtpFault("DATA", "452 4.3.1 full")),
            drop=lambda: receiver.script(SmtpFault("DATA", accept=True, drop=True)),
            hang=lambda: receiver.script(SmtpFault("DATA", accept=True, hang_s=30)),
            stop=receiver.stop,
            markup=("<script>", "<!channel>", "</td></tr></table><script"),
        )
        receiver.stop()


def _mail_text(mail) -> str:
    assert "Bcc" not in mail
    return mail.get_body(("html",)).get_content()


def test_every_channel_that_people_read_is_under_contract():
    covered = {"slack": TestSlackWithToken, "smtp": TestEmail, "pagerduty": TestPagerDuty, "webhook": TestWebhook}
    assert set(CHANNELS.names()) - {"null"} == set(covered)
