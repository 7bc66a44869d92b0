"""Local receivers that speak Slack, PagerDuty, SMTP and webhooks, keep every message, and fail when told to.

The demo shows its messages with them; tests of channels (ours and other people's) run against them.
"""

from __future__ import annotations

from tiltmeter.testing.receivers.http import Fault, HttpReceiver, Received, Reply
from tiltmeter.testing.receivers.inbox import Inbox
from tiltmeter.testing.receivers.pagerduty import PagerDutyReceiver
from tiltmeter.testing.receivers.slack import SlackReceiver
from tiltmeter.testing.receivers.smtp import SmtpFault, SmtpReceiver
from tiltmeter.testing.receivers.webhook import WebhookReceiver

__all__ = [
    "Fault",
    "HttpReceiver",
    "Inbox",
    "PagerDutyReceiver",
    "Received",
    "Reply",
    "SlackReceiver",
    "SmtpFault",
    "SmtpReceiver",
    "WebhookReceiver",
]
