"""The whole sentence on one machine: a company, its past, its incidents, and what Tiltmeter said about them."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tiltmeter.config.load import load_settings
from tiltmeter.demo.features import PLANS
from tiltmeter.demo.world import MODEL_NAME
from tiltmeter.domain.window import Grain
from tiltmeter.ports import MetricQuery
from tiltmeter.wiring import build_world

REQUIRED = {"unit-change", "new-level", "missing-jump", "slow-deploy", "error-burst", "score-shift", "job-absent"}
CHANNELS = {"info": {"dashboard"}, "warning": {"slack"}, "critical": {"slack", "email", "pagerduty"}}


def _command(*arguments):
    return [sys.executable, "-m", "tiltmeter.cli.app", "demo", *arguments]


def _play(folder, seed, *, timeout):
    done = subprocess.run(
        _command("--dir", str(folder), "--seed", str(seed), "--no-serve", "--json"),
        capture_output=True, timeout=timeout, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


def _check(found, folder):
    seed, summary = found["seed"], found["summary"]
    loud = [alert for alert in found["alerts"] if alert["severity"] in ("warning", "critical")]
    strays = [alert for alert in loud if alert["planted"] is None]
    assert not strays, f"seed {seed}: {strays}"
    matched = {alert["planted"] for alert in loud}
    assert matched >= REQUIRED, f"seed {seed}: missed {REQUIRED - matched}"
    assert (summary["planted"], summary["matched"], summary["missed"], summary["unexplained"]) == (7, 7, 0, 0)
    assert summary["quiet_share"] >= 0.6
    assert summary["features"] >= 20
    assert 270_000 <= found["rows"]["predictions"] <= 330_000
    planted = {incident["id"]: incident for incident in found["planted"]}
    for alert in found["alerts"]:
        told = {delivery["channel"] for delivery in alert["deliveries"]}
        assert told == CHANNELS[alert["severity"]], f"seed {seed}: {alert}"
        assert {delivery["status"] for delivery in alert["deliveries"]} == {"sent"}, f"seed {seed}: {alert}"
        if alert["planted"]:
            incident = planted[alert["planted"]]
            assert alert["subject"] in incident["may_move"]
            assert datetime.fromisoformat(alert["since"]) >= datetime.fromisoformat(incident["from"])
            assert alert["delay_windows"] <= 2
    for name, incident in planted.items():
        if incident["required"]:
            worst = {alert["severity"] for alert in loud if alert["planted"] == name}
            assert incident["severity"] in worst, f"seed {seed}: {name} reached {worst}"
    assert not _said_twice(found["alerts"], planted["score-shift"]), f"seed {seed}"
    _check_segments(folder)
    for channel in CHANNELS["critical"]:
        inbox = folder / "inbox" / channel
        assert any(inbox.glob("*.json"))
        assert any(inbox.glob("*.html"))


def _check_segments(folder):
    """Every plan that leads ask for has outcomes and drift of its own."""
    world = build_world(load_settings(folder / "tiltmeter.yaml", environ={}), with_channels=False)
    try:
        for metric in ("outcomes.conversion_rate", "outcomes.top_decile_lift", "drift.score_psi"):
            found = world.state.metrics(MetricQuery(model=MODEL_NAME, metric=metric, grain=Grain.DAY, feature=""))
            named = {m.subject.segment_value for m in found if m.subject.segment_key == "plan_interest" and m.value}
            assert named >= set(PLANS), metric
    finally:
        world.state.close()


def _said_twice(alerts, shift):
    """Alerts of one rule and subject that began together, but for the days on which two versions scored."""
    begins = datetime.fromisoformat(shift["from"])
    ends = datetime.fromisoformat(shift["to"]) + timedelta(days=1)
    named = [
        (alert["rule"], alert["subject"], alert["since"])
        for alert in alerts
        if not begins <= datetime.fromisoformat(alert["since"]) <= ends
    ]
    return [name for name, times in Counter(named).items() if times > 1]


def _drawn(folder, *, timeout):
    """A world that nobody has seen; repeated by `tiltmeter demo --no-serve --json --seed …`."""
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    _check(_play(folder, seed, timeout=timeout), folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("draw", range(2))
def test_every_planted_incident_is_found_and_nothing_else(tmp_path, draw):
    _drawn(tmp_path, timeout=850)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("draw", range(30))
def test_thirty_seeds_drawn_now(tmp_path, draw):
    _drawn(tmp_path, timeout=3500)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_live_requests_reach_the_service_and_ctrl_c_ends_everything(tmp_path):
    demo = subprocess.Popen(
        _command("--dir", str(tmp_path), "--days", "8", "--seed", "5"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if line.startswith("Open the dashboard"):
                break
        assert demo.poll() is None, "".join(lines)
        named = dict(line.split(None, 2)[:2] for line in lines if line.startswith(("dashboard", "service", "app")))
        assert httpx.get(named["dashboard"], timeout=20).is_success
        until = time.monotonic() + 60
        while not (counted := _live_requests(named["service"])) and time.monotonic() < until:
            time.sleep(0.5)
        assert counted > 0
    finally:
        os.kill(demo.pid, signal.SIGINT)
        ended = demo.wait(timeout=60)
        demo.stdout.close()
        assert ended == 0
    for address in named.values():
        with pytest.raises(httpx.HTTPError):
            httpx.get(address, timeout=5)


def _live_requests(service):
    live = httpx.get(f"{service}/live", timeout=10).json()
    return sum(state["requests"] for state in live["states"])


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(_command("--dir", str(tmp_path)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "holds files that are not a demo's" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("days", ["7", "121"])
def test_a_history_that_holds_no_incidents_is_refused_in_one_sentence(tmp_path, days):
    done = subprocess.run(
        _command("--dir", str(tmp_path), "--days", days), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"a history of {days} days" in done.stderr


def test_a_folder_that_cannot_be_made_is_one_sentence():
    done = subprocess.run(_command("--dir", "/proc/demo"), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert Path("/proc/demo").exists() is False
