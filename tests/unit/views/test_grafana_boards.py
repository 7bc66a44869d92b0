"""Boards are whole, true to the catalogue and the rules, readable by Grafana's own models, and right when idle."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.models import dashboard as grafana

from tiltmeter.config.rules import load_rules
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.views.grafana.boards import all_boards
from tiltmeter.views.grafana.panels import GRID_COLUMNS, board_json
from tiltmeter.views.grafana.provisioning import DATASOURCE_UID, provisioning_files

REPOSITORY = Path(__file__).parents[3]
BOARDS = {board.uid: board_json(board) for board in all_boards(load_rules(None))}
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def panels_of(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_the_three_boards_of_the_specification_exist():
    assert set(BOARDS) == {"tiltmeter-api", "tiltmeter-host", "tiltmeter-model"}
    asked = {"CPU": "node_cpu_seconds_total", "memory": "node_memory_MemAvailable_bytes", "network": "node_network_"}
    host = json.dumps(BOARDS["tiltmeter-host"])
    assert all(name in host for name in asked.values())


@each_board
def test_no_panel_covers_another_and_all_stand_in_the_grid(board):
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_COLUMNS
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not taken & cells, panel["title"]
        taken |= cells


@each_board
def test_every_panel_says_what_it_shows(board):
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels_of(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert target["legendFormat"]


@each_board
def test_grafanas_own_models_read_the_board_and_lose_nothing(board):
    read = grafana.Dashboard.from_json(json.loads(json.dumps(board)))
    again = json.loads(json.dumps(read.to_json(), default=lambda part: part.to_json()))
    assert again["uid"] == board["uid"]
    assert [panel["title"] for panel in again["panels"]] == [panel["title"] for panel in board["panels"]]
    for mine, theirs in zip(panels_of(board), [p for p in again["panels"] if p["type"] != "row"], strict=True):
        assert theirs["fieldConfig"]["defaults"]["thresholds"] == mine["fieldConfig"]["defaults"]["thresholds"]
        assert [target["expr"] for target in theirs["targets"]] == [target["expr"] for target in mine["targets"]]


def test_thresholds_are_those_of_the_rules_file(tmp_path):
    text = (REPOSITORY / "src/tiltmeter/config/default_rules.yaml").read_text(encoding="utf-8")
    path = tmp_path / "rules.yaml"
    path.write_text(text.replace("{above: 500, clear_below: 400}", "{above: 750}"), encoding="utf-8")
    api = next(board for board in all_boards(load_rules(path)) if board.uid == "tiltmeter-api")
    lines = next(panel for panel in panels_of(board_json(api)) if panel["title"] == "Latency percentiles")
    values = [step["value"] for step in lines["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert values == [None, 0.2, 0.75]


def test_every_tiltmeter_series_that_a_panel_asks_for_is_exported_by_somebody():
    declared = {one.exported for one in CATALOGUE.values()}
    beside = {
        "tiltmeter_http_requests_total", "tiltmeter_http_request_duration_seconds_bucket",
        "tiltmeter_http_request_duration_seconds_count", "tiltmeter_alerts_open", "tiltmeter_spool_age_seconds",
        "tiltmeter_evaluation_timestamp_seconds", "tiltmeter_job_last_success_timestamp_seconds",
        "tiltmeter_job_duration_seconds", "tiltmeter_job_records", "tiltmeter_outbox_oldest_seconds",
        "tiltmeter_notifications_dead", "tiltmeter_notifications_total", "tiltmeter_http_requests_in_flight",
        "tiltmeter_predictions_total", "tiltmeter_prediction_score_bucket", "tiltmeter_prediction_log_queue_length",
        "tiltmeter_job_records_total", "tiltmeter_baseline_timestamp_seconds",
    }  # fmt: skip
    for board in BOARDS.values():
        for panel in panels_of(board):
            for target in panel["targets"]:
                words = "".join(c if c.isalnum() or c == "_" else " " for c in target["expr"]).split()
                named = {word for word in words if word.startswith("tiltmeter_")}
                assert named <= declared | beside, panel["title"]


def test_provisioning_names_one_data_source_and_the_folder_of_the_boards():
    files = provisioning_files(load_rules(None), prometheus_url="http://127.0.0.1:1", dashboards_folder="/x")
    source = yaml.safe_load(files["provisioning/datasources/prometheus.yaml"])["datasources"][0]
    assert (source["uid"], source["url"], source["isDefault"]) == (DATASOURCE_UID, "http://127.0.0.1:1", True)
    provider = yaml.safe_load(files["provisioning/dashboards/tiltmeter.yaml"])["providers"][0]
    assert provider["options"]["path"] == "/x"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_without_traffic_the_api_board_shows_nothing_rather_than_not_a_number(tmp_path):
    """Counters that stand still are what a quiet night looks like; Prometheus itself evaluates the panels."""
    labels = 'model="m",model_version="1",route="POST /score"'
    series = [{"series": f'tiltmeter_http_requests_total{{{labels},code_class="2xx"}}', "values": "500+0x60"}]
    series += [
        {"series": f'tiltmeter_http_request_duration_seconds_bucket{{{labels},le="{le}"}}', "values": "500+0x60"}
        for le in ("0.2", "0.5", "+Inf")
    ]
    series += [{"series": f"tiltmeter_http_request_duration_seconds_count{{{labels}}}", "values": "500+0x60"}]
    asked = []
    for panel in panels_of(BOARDS["tiltmeter-api"]):
        for target in panel["targets"]:
            expression = _substituted(target["expr"])
            if panel["title"] in _RATES:  # requests per second are 0, which is a number
                expression = f"({expression}) != 0"
            asked.append({"expr": expression, "eval_time": "10m", "exp_samples": []})
    _promtool(tmp_path, series, asked)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_with_traffic_the_api_board_shows_the_numbers_worked_out_by_hand(tmp_path):
    """100 requests a minute: 90 within 0.2 s, 95 within 0.5 s, all within 1 s; 2 of 100 fail."""
    labels = 'model="m",model_version="1",route="POST /score"'
    counts = {"0.2": 90, "0.5": 95, "1": 100, "+Inf": 100}
    series = [
        {"series": f'tiltmeter_http_request_duration_seconds_bucket{{{labels},le="{le}"}}', "values": f"0+{n}x60"}
        for le, n in counts.items()
    ]
    series += [{"series": f"tiltmeter_http_request_duration_seconds_count{{{labels}}}", "values": "0+100x60"}]
    series += [
        {"series": f'tiltmeter_http_requests_total{{{labels},code_class="{code}"}}', "values": f"0+{n}x60"}
        for code, n in (("2xx", 98), ("5xx", 2))
    ]
    by_hand = {"P95 latency": ("{}", 0.5), "Throughput": ("{}", 100 / 60),
               "Error rate": ('{model="m"}', 0.02), "Within 200 ms": ('{model="m"}', 0.9)}  # fmt: skip
    asked = []
    for panel in panels_of(BOARDS["tiltmeter-api"])[:4]:
        found_labels, value = by_hand[panel["title"]]
        # In millionths and whole: promtool compares to the last bit, and a rate is a quotient of floats.
        expression = f"floor(({_substituted(panel['targets'][0]['expr'])}) * 1e6 + 0.5)"
        sample = {"labels": found_labels, "value": round(value * 1e6)}
        asked.append({"expr": expression, "eval_time": "30m", "exp_samples": [sample]})
    _promtool(tmp_path, series, asked)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_a_chosen_version_keeps_what_is_of_the_model_and_what_it_served_alone(tmp_path):
    """Version 14 serves "m" alone; 14 and 15 serve "two", which has numbers of each; "idle" is served by nobody."""
    live = 'window="live"'
    share, capacity = "tiltmeter_serving_share_within_target", "tiltmeter_serving_capacity_requests_per_second"
    counter = "tiltmeter_http_requests_total"
    series = [
        {"series": f'{counter}{{model="{model}",model_version="{version}",route="r"}}', "values": step}
        for model, version, step in (
            ("m", "14", "0+60x60"), ("two", "14", "0+60x60"), ("two", "15", "0+60x60"), ("idle", "14", "9+0x60"),
        )
    ] + [
        {"series": f'{share}{{model="{model}",model_version="{version}",{live}}}', "values": f"{value}+0x60"}
        for model, version, value in (
            ("m", "", 0.875), ("two", "", 0.75), ("two", "14", 0.5), ("two", "15", 1.0), ("idle", "", 0.25),
        )
    ] + [
        {"series": f'{name}{{model="m",model_version="",{live}}}', "values": "8+0x60"}
        for name in (capacity, "tiltmeter_model_newest_row_age_seconds", "tiltmeter_monitor_window_lag_seconds")
    ]  # fmt: skip
    boards = [panel for board in BOARDS.values() for panel in panels_of(board)]
    found = {target["expr"] for panel in boards for target in panel["targets"]}

    def of(name, version):
        expression = next(one for one in sorted(found) if (name in one and "rate(" in one) or one.startswith(name))
        return _substituted(expression.replace("$version", version))

    def number(model, version, value, name=share):
        labels = f'{name}{{model="{model}",model_version="{version}",{live}}}'
        return {"labels": labels, "value": value}

    asked = [
        {
            "expr": of(share, "14"),
            "eval_time": "30m",
            "exp_samples": [number("m", "", 0.875), number("two", "14", 0.5)],
        },
        {"expr": of(share, "15"), "eval_time": "30m", "exp_samples": [number("two", "15", 1.0)]},
    ]
    asked += [
        {"expr": of(name, "14"), "eval_time": "30m", "exp_samples": [number("m", "", 8.0, name)]}
        for name in ("tiltmeter_model_newest_row_age_seconds", "tiltmeter_monitor_window_lag_seconds")
    ]
    _promtool(tmp_path, series, asked)
    assert not any(capacity in one and f'{capacity}{{model=~"$model",{live}}}' not in one for one in found)


_RATES = {
    "Throughput", "Requests by class of answer", "Requests by version", "Latency heatmap", "Rate beside capacity"
}  # fmt: skip


def _substituted(expression):
    for name in ("$model", "$version", "$route", "$instance"):
        expression = expression.replace(name, ".*")
    return expression.replace("$__rate_interval", "4m").replace("$__range", "6h")


def _promtool(folder, series, asked):
    test = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}],
    }
    path = folder / "panels.yml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
