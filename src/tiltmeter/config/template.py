"""The configuration file that `tiltmeter init` writes: every default visible, a line of comment each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Found:
    """What was inferred from a data set.

    Args:
        table: path of the data.
        columns: role -> column; `time`, `entity_id`, `prediction`, `model_version`, `label`.
        kinds: kind by feature, in the order of the data.
    """

    table: str
    columns: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)


def quoted(text: str) -> str:
    """A hostile name as a YAML scalar: JSON strings are YAML strings."""
    plain = text.replace("-", "").replace("_", "").replace(".", "").isalnum() and text[0].isalpha()
    return text if plain and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)


_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def configuration_text(*, model: str, timezone: str, found: Found | None) -> str:
    """The whole file.

    Args:
        model: name of the model.
        timezone: business time zone.
        found: what was inferred from a data set; None for captured requests.
    """
    source = _captured() if found is None else _in_place(found)
    return _HEAD.format(timezone=timezone, home=HOME) + f"models:\n  {quoted(model)}:\n" + source + _MODEL + _TAIL


def _captured() -> str:
    return """\
    source: capture                  # requests recorded by tiltmeter.capture.fastapi.Capture
    # routes:                        # how a request becomes rows, where the defaults do not fit
    #   "POST /score": {features: "$", entity_id: lead_id, prediction: response.score}
"""


def _in_place(found: Found) -> str:
    roles = ", ".join(f"{role}: {quoted(column)}" for role, column in found.columns.items())
    kinds = ", ".join(f"{quoted(name)}: {kind}" for name, kind in found.kinds.items())
    return f"""\
    source:                          # read in place, never written
      table: {_place(found.table)}
      columns: {{{roles}}}
      features: rest                 # every other column
    history: 30d                     # filled first
    features:
      kinds: {{{kinds}}}
"""


def _place(table: str) -> str:
    text = quoted(table) if "/" not in table else json.dumps(table, ensure_ascii=False)
    return text if "://" in table or table.startswith("/") else f"{text}           # relative to `home`"


HOME = "tiltmeter-home"
"""Folder beside the file."""

_HEAD = """\
# Tiltmeter's configuration. Every setting below shows its default; `tiltmeter check` validates the file.
version: 1
home: ./{home}               # spool, tables, state and reports lie here
timezone: {timezone}                       # hours and days of the business; stored in UTC
store: {{path: tables, keep_versions: 7d, keep_rows: 400d}}
state: {{url: "sqlite:state.db", keep_hourly_metrics: 90d}}
server: {{host: 127.0.0.1, port: 8780}} # public_url: "https://…" makes the links in messages
dashboard: {{port: 8501}}
"""

_MODEL = """\
    latency_target: 200ms            # share_within_target and capacity
    threshold: 0.5                   # from this score on a lead counts as a predicted customer
    segments: []                     # columns whose values are judged apart, such as [lead_source]
    # baselines:                     # the first judges; without any, the first full week is learnt
    #   training: {data: training.parquet}
    #   last-month: {rolling: 28d}
    outcomes: {attribution: 90d, mature_after: 30d, currency: EUR}
    jobs: {}                         # nightly: {expect_every: 24h, grace: 2h}
"""

_TAIL = """\
schedule:                            # cron expressions in the business time zone
  realtime: 10s
  hourly: "5 * * * *"
  daily: "0 6 * * *"
  weekly: "0 7 * * 1"
  late_rows: {wait: 2h, reopen_for: 72h}
# Rules, routes and escalation hold by default (PSI > 0.25 warning, > 0.5 critical; P95 > 500 ms warning; error rate
# > 1 % critical; info to the dashboard, warning to Slack, critical to e-mail, Slack and PagerDuty).
# `tiltmeter rules show` prints them; a `rules:` section here replaces them.
# channels:                          # secrets are env:NAME or file:PATH, never the secret itself
#   slack-ml-alerts: {kind: slack, channel: "#ml-alerts", token: "env:SLACK_BOT_TOKEN"}
#   email-ml-team: {kind: smtp, to: [ml-team@example.com], from: tiltmeter@example.com, url: "env:SMTP_URL"}
#   pagerduty-ml: {kind: pagerduty, routing_key: "env:PAGERDUTY_KEY"}
"""
