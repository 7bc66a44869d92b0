"""Prometheus and node_exporter beside the demo, where this machine has them; Grafana files for who has one."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import yaml

from tiltmeter.api.files import write_text
from tiltmeter.demo.processes import free_port, running, wait_for
from tiltmeter.views.grafana.provisioning import provisioning_files
from tiltmeter.views.prometheus import alert_rules_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiltmeter.domain.rule import RuleSet

_NODE_EXPORTERS = ("prometheus-node-exporter", "node_exporter")
_FIRST_LOOK = "tiltmeter_http_request_duration_last_minute_seconds"


@dataclass(frozen=True, slots=True)
class Scraped:
    """Where the numbers can be looked at.

    Args:
        prometheus: its address.
        graph: its page with the latency percentiles drawn.
        grafana: folder with dashboards and provisioning files.
    """

    prometheus: str
    graph: str
    grafana: Path


@contextmanager
def scraping(service: str, rules: RuleSet, folder: Path) -> Iterator[Scraped | None]:
    """Prometheus on the service and, if there is one, on node_exporter; None where Prometheus is not installed.

    Args:
        service: address of `tiltmeter serve`.
        rules: as the service judges by them.
        folder: of the demo.
    """
    program = shutil.which("prometheus")
    if program is None:
        yield None
        return
    place = folder / "prometheus"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with ExitStack() as stack:
        exporter = stack.enter_context(_node_exporter(folder / "logs"))
        write_text(place / "rules.yml", alert_rules_yaml(rules))
        write_text(place / "prometheus.yml", _configuration(service, exporter))
        address = f"127.0.0.1:{free_port(9090)}"
        command = [
            program, f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={place / 'data'}",
            f"--web.listen-address={address}", "--log.level=warn",
        ]  # fmt: skip
        child = stack.enter_context(running("prometheus", command, folder / "logs"))
        wait_for(f"http://{address}/-/ready", child, folder / "logs" / "prometheus.log")
        grafana = folder / "grafana"
        files = provisioning_files(
            rules, prometheus_url=f"http://{address}", dashboards_folder=str(grafana / "dashboards")
        )
        for name, text in files.items():
            (grafana / name).parent.mkdir(parents=True, exist_ok=True)
            write_text(grafana / name, text)
        asked = urlencode({"g0.expr": _FIRST_LOOK, "g0.tab": 0, "g0.range_input": "15m"})
        yield Scraped(f"http://{address}", f"http://{address}/graph?{asked}", grafana)


@contextmanager
def _node_exporter(logs: Path) -> Iterator[str | None]:
    program = next(filter(None, map(shutil.which, _NODE_EXPORTERS)), None)
    if program is None:
        yield None
        return
    address = f"127.0.0.1:{free_port(9100)}"
    with running("node_exporter", [program, f"--web.listen-address={address}"], logs) as child:
        wait_for(f"http://{address}/metrics", child, logs / "node_exporter.log")
        yield address


def _configuration(service: str, exporter: str | None) -> str:
    jobs = [{"job_name": "tiltmeter", "static_configs": [{"targets": [urlsplit(service).netloc]}]}]
    if exporter is not None:
        jobs.append({"job_name": "node", "static_configs": [{"targets": [exporter]}]})
    # Every five seconds, so that a visitor sees lines after a minute.
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": "5s", "evaluation_interval": "15s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": jobs,
        }
    )
