"""The demo's folder: configuration, secrets, training data, receivers that keep every message."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pyarrow.parquet as pq

from tiltmeter.demo.log_rows import reference_rows
from tiltmeter.demo.processes import free_port
from tiltmeter.demo.scoring import THRESHOLD
from tiltmeter.demo.world import JOB_NAME, MODEL_NAME
from tiltmeter.domain.errors import StoreError, UsageError
from tiltmeter.testing.receivers import PagerDutyReceiver, SlackReceiver, SmtpReceiver

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tiltmeter.demo.build import DemoWorld

MARK = "demo.json"
"""A folder with this file is a demo's and may be built anew; any other folder with content is left alone."""

_FOLDERS = (
    "tables", "spool", "baselines", "reports", "damaged", "logs", "run", "inbox", "secrets", "data", "prometheus",
    "grafana",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo's services listen.

    Args:
        service: HTTP of `tiltmeter serve`.
        dashboard: the pages.
        app: the prediction service.
    """

    service: int
    dashboard: int
    app: int


def free_ports() -> Ports:
    """The usual ports where they are free, others where not."""
    return Ports(free_port(8780), free_port(8501), free_port(8000))


def clear_folder(folder: Path) -> None:
    """Make the folder empty of an earlier demo.

    Raises:
        UsageError: it holds something else.
        StoreError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", hint="name a folder with --dir")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise UsageError(f"{folder} holds files that are not a demo's", hint="name an empty folder with --dir")
    try:
        for name in _FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        for path in folder.glob("state.db*"):
            path.unlink()
        for name in ("secrets", "data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text("{}\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"the folder cannot be written ({error.strerror})", at=str(folder), hint="name another one with --dir"
        ) from error


class Receivers:
    """Slack, a mail server and PagerDuty on this machine; every message lies in `inbox/` as JSON and as a page.

    Args:
        inbox: folder of the messages.
    """

    def __init__(self, inbox: Path) -> None:
        self.slack = SlackReceiver(inbox / "slack")
        self.email = SmtpReceiver(inbox / "email")
        self.pagerduty = PagerDutyReceiver(inbox / "pagerduty")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for receiver in (self.slack, self.email, self.pagerduty):
            self._stack.enter_context(receiver)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def write_installation(folder: Path, world: DemoWorld, receivers: Receivers, ports: Ports) -> Path:
    """Everything that `tiltmeter serve` needs.

    Args:
        folder: the demo's folder, empty of earlier ones.
        world: the company.
        receivers: started, so that their addresses are known.
        ports: where the services will listen.

    Returns:
        The configuration file.
    """
    pq.write_table(reference_rows(world.reference, world.model), folder / "data" / "training.parquet")
    secrets = {"slack": "xoxb-demo", "pagerduty": "d" * 32, "smtp": receivers.email.url}
    for name, secret in secrets.items():
        path = folder / "secrets" / name
        path.touch(mode=0o600)
        path.write_text(secret, encoding="utf-8")
    text = _TEMPLATE
    for name, value in {
        "model": MODEL_NAME,
        "job": JOB_NAME,
        "threshold": str(THRESHOLD),
        "service_port": str(ports.service),
        "dashboard_port": str(ports.dashboard),
        "slack_url": receivers.slack.api_url,
        "pagerduty_url": receivers.pagerduty.url,
    }.items():
        text = text.replace("{" + name + "}", value)
    path = folder / "tiltmeter.yaml"
    path.write_text(text, encoding="utf-8")
    return path


_TEMPLATE = """\
# The demo's configuration. Rules are the packaged defaults; channels go to receivers on this machine, see inbox/.
version: 1
home: .
timezone: UTC
server: {port: {service_port}, public_url: "http://127.0.0.1:{dashboard_port}"}
dashboard: {port: {dashboard_port}}
models:
  {model}:
    source: capture
    latency_target: 200ms
    routes:
      "POST /score": {features: "$", entity_id: lead_id, prediction: response.score}
      "POST /score-many": {features: "leads.*", entity_id: lead_id, prediction: response.scores.*}
    threshold: {threshold}
    segments: [plan_interest]
    features: {ignore: [lead_id]}
    baselines:
      training: {data: data/training.parquet}
    outcomes: {attribution: 90d, mature_after: 14d, currency: EUR}
    jobs: {{job}: {expect_every: 24h, grace: 2h}}
routes:
  - {severity: info, to: [dashboard]}
  - {severity: warning, to: [dashboard, slack], repeat: 24h}
  - {severity: critical, escalation: critical, repeat: 12h}
escalation:
  critical:
    ack_expires: 8h
    steps:
      - {after: 0m, to: [dashboard, slack, email, pagerduty]}
      - {after: 15m, to: [slack, email], broadcast: true}
channels:
  slack: {kind: slack, channel: "#ml-alerts", token: "file:secrets/slack", api_url: "{slack_url}"}
  email: {kind: smtp, to: [ml-team@example.com], from: tiltmeter@example.com, url: "file:secrets/smtp", tls: none}
  pagerduty: {kind: pagerduty, routing_key: "file:secrets/pagerduty", api_url: "{pagerduty_url}"}
"""
