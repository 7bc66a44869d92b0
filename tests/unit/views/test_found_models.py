"""A model that nobody configured is known to everybody who reads its home; rules taken up by the service too."""

import os
from datetime import UTC, datetime

import pytest

from command_line import tiltmeter
from spools import fill, request
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.model import Model
from tiltmeter.domain.rule import RULES_IN_FORCE
from tiltmeter.ingest.found_models import LOOK_SECONDS, KnownModels, found_models, keep_found_models
from tiltmeter.service.running import Service
from tiltmeter.views.dashboard.installed import Installation
from tiltmeter.wiring import build_world
from waiting import until


@pytest.fixture
def bare(tmp_path):
    """A configuration that names no model, as the one in deploy/ does."""
    path = tmp_path / "home" / "tiltmeter.yaml"
    path.parent.mkdir()
    path.write_text("version: 1\nhome: .\nchannels: {}\n", encoding="utf-8")
    return path


def opened(path, clock):
    return build_world(load_settings(path, environ={}), clock=clock, with_channels=False)


@pytest.mark.slow
def test_what_the_service_finds_the_dashboard_and_the_commands_know(page, bare):
    configuration = load_settings(bare, environ={})
    fill(bare.parent / "spool", [request(n, at=datetime.now(UTC), model="churn") for n in range(20)])
    service = Service(configuration, port=0)
    service.start()
    world = build_world(configuration, with_channels=False)
    try:
        until(lambda: found_models(world.state) == ["churn"])
        until(lambda: (world.log.new_rows(Model("churn"), None).count() or 0) == 20)
    finally:
        service.stop()
        world.state.close()
    shown = page("overview", bare)
    assert [choice.options for choice in shown.selectbox if choice.label == "Model"] == [["churn"]]
    assert "Learning a baseline" in " ".join(info.value for info in shown.info)
    here = {"cwd": bare.parent}
    doctor = tiltmeter("doctor", "--json", **here).document
    assert "churn: 20 predictions" in str(doctor)
    assert "churn: learning" in str(doctor)
    report = tiltmeter("report", "daily", "--json", **here)
    assert [one["model"] for one in report.document["models"]] == ["churn"], report.err
    for command in (
        ("report", "weekly", "--model", "churn"),
        ("export", "metrics", bare.parent / "out", "--model", "churn"),
        (
            "run",
            "--monitor",
            "traffic",
            "--window",
            "2026-03-10T09:00+00:00/2026-03-10T10:00+00:00",
            "--model",
            "churn",
        ),
    ):
        ran = tiltmeter(*command, **here)
        assert ran.code == 0, ran.err
    unknown = tiltmeter("report", "weekly", "--model", "chrun", **here)
    assert 'did you mean "churn"' in unknown.err
    made = tiltmeter(
        "baseline", "create", "--model", "churn", "--from", "2020-01-01", "--until", "2099-01-01", "--out",
        bare.parent / "churn.tmb", **here,
    )  # fmt: skip
    assert made.code == 0, made.err


def test_a_found_model_comes_to_a_process_that_runs_already(bare):
    clock = FakeClock()
    reader, writer = opened(bare, clock), opened(bare, clock)
    assert list(reader.models) == []
    keep_found_models(writer.state, ["churn"])
    assert list(reader.models) == ["churn"]  # while none is known, every look asks
    keep_found_models(writer.state, ["churn", "upsell"])
    assert list(reader.models) == ["churn"]
    clock.pass_(LOOK_SECONDS)
    assert list(reader.models) == ["churn", "upsell"]
    assert reader.models["upsell"] == Model("upsell")
    for world in (reader, writer):
        world.state.close()


def test_a_configured_model_wins_over_a_found_one_of_its_name(bare):
    world = opened(bare, FakeClock())
    keep_found_models(world.state, ["churn"])
    known = KnownModels({"churn": Model("churn", threshold=0.9)}, world.state, FakeClock())
    assert [model.threshold for model in known.values()] == [0.9]
    world.state.close()


def test_a_running_dashboard_takes_up_models_and_the_rules_in_force(bare):
    clock = FakeClock()
    shown = Installation(load_settings(bare, environ={}), opened(bare, clock))
    usual = [rule.id for rule in shown.world.rules.rules]

    def edited(text):
        bare.write_text(f"version: 1\nhome: .\nchannels: {{}}\n{text}\n", encoding="utf-8")
        os.utime(bare, ns=(clock.pass_(LOOK_SECONDS) or int(clock.seconds * 1e9),) * 2)

    one = "rules: [{id: only_psi, metric: drift.psi, by: [feature], every: day, levels: {warning: {above: 0.1}}}]"
    edited("models: {churn: {}}\n" + one)
    assert list(shown.world.models) == ["churn"]
    shown.world.state.set_watermark(RULES_IN_FORCE, "these")  # the service was told to read its rules again
    clock.pass_(LOOK_SECONDS)
    assert [rule.id for rule in shown.world.rules.rules] == ["only_psi"]
    edited("models: {churn: {}}")
    assert [rule.id for rule in shown.world.rules.rules] == ["only_psi"]  # saved, and not in force yet
    edited("no such key")
    assert list(shown.world.models) == ["churn"]
    shown.world.state.set_watermark(RULES_IN_FORCE, "those")
    edited("models: {churn: {}}")
    assert [rule.id for rule in shown.world.rules.rules] == usual
    shown.world.state.close()
