"""Every file that a Grafana with Prometheus needs to show the boards without a click."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from tiltmeter.views.grafana.boards import all_boards
from tiltmeter.views.grafana.panels import board_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.rule import RuleSet

DATASOURCE_UID = "tiltmeter-prometheus"


def provisioning_files(
    rules: RuleSet,
    *,
    prometheus_url: str = "http://prometheus:9090",
    dashboards_folder: str = "/etc/grafana/dashboards",
) -> Mapping[str, str]:
    """Content by relative path: data source, dashboard provider, one JSON file a board.

    Args:
        rules: where the boards' thresholds come from.
        prometheus_url: as Grafana reaches it.
        dashboards_folder: where Grafana finds the JSON files.
    """
    files = {
        "provisioning/datasources/prometheus.yaml": _yaml(_datasource(prometheus_url)),
        "provisioning/dashboards/tiltmeter.yaml": _yaml(_provider(dashboards_folder)),
    }
    for board in all_boards(rules):
        text = json.dumps(board_json(board), indent=2, sort_keys=True, ensure_ascii=False)
        files[f"dashboards/{board.uid}.json"] = text + "\n"
    return files


def _datasource(url: str) -> dict[str, object]:
    source = {
        "name": "Prometheus", "uid": DATASOURCE_UID, "type": "prometheus", "access": "proxy", "url": url,
        "isDefault": True, "editable": False, "jsonData": {"timeInterval": "15s", "httpMethod": "POST"},
    }  # fmt: skip
    return {"apiVersion": 1, "datasources": [source]}


def _provider(folder: str) -> dict[str, object]:
    provider = {
        "name": "Tiltmeter", "folder": "Tiltmeter", "type": "file", "disableDeletion": True, "allowUiUpdates": False,
        "updateIntervalSeconds": 30, "options": {"path": folder},
    }  # fmt: skip
    return {"apiVersion": 1, "providers": [provider]}


def _yaml(content: dict[str, object]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
