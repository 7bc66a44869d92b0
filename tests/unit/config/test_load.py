"""The configuration as people get it wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tiltmeter.config.load import load_settings
from tiltmeter.config.settings import Secret
from tiltmeter.config.template import Found, configuration_text
from tiltmeter.domain.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "tiltmeter.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("version: 1\nstoree: {path: x}\n", 2, ["storee", 'did you mean "store"']),
        ("version: 1\nserver:\n  hosst: 127.0.0.1\n", 3, ["server.hosst", 'did you mean "host"']),
        ("models:\n  lead:\n    latency_targett: 1s\n", 3, ["latency_targett", 'did you mean "latency_target"']),
        ("models:\n  lead:\n    source: {table: x, columns: {tim: a}}\n", 3, ["tim"]),
        ("timezone: Europe/Berlinn\n", 1, ["Europe/Berlinn"]),
        ("schedule:\n  realtime: soon\n", 2, ["soon", "10s"]),
        (
            "models:\n  m:\n    baselines: {a: {rolling: 28d, previous: true}}\n",
            None,
            ["exactly one", "rolling, previous"],
        ),
        ("version: 2\n", 1, ["version"]),
        ("server: {keys: {read: hunter2-in-clear}}\n", 1, ["clear text", "env:NAME"]),
    ],
)
def test_a_mistake_is_named_with_its_line_and_a_way_out(tmp_path, text, line, words):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ={})
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert line is None or f"{path}:{line}" in said
    assert "hunter2" not in said


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configuration = load_settings(environ={})
    assert configuration.path is None
    assert configuration.settings.server.host == "127.0.0.1"
    assert len(configuration.rules.rules) >= 19


def test_the_environment_overrides_one_setting(tmp_path):
    path = written(tmp_path, "server: {port: 8780, host: 127.0.0.1}\n")
    configuration = load_settings(path, environ={"TILTMETER_SERVER__PORT": "9999"})
    assert configuration.settings.server.port == 9999
    assert configuration.settings.server.host == "127.0.0.1"


def test_a_mistyped_variable_is_an_error_and_one_that_the_file_names_is_not(tmp_path):
    path = written(tmp_path, 'server: {keys: {read: "env:TILTMETER_READ_KEY"}}\n')
    load_settings(path, environ={"TILTMETER_READ_KEY": "x", "TILTMETER_SPOOL": "/tmp/s", "HOME": "/"})
    with pytest.raises(ConfigError, match="TILTMETER_SERVR__PORT"):
        load_settings(path, environ={"TILTMETER_SERVR__PORT": "1"})


def test_a_named_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="tiltmeter init"):
        load_settings(tmp_path / "none.yaml", environ={})


def test_relative_places_lie_in_home_and_home_beside_the_file(tmp_path):
    path = written(tmp_path, "home: here\nmodels: {m: {baselines: {t: {data: d/train.parquet}}}}\n")
    configuration = load_settings(path, environ={})
    assert configuration.home == tmp_path / "here"
    assert configuration.models["m"].baselines[0].data == str(tmp_path / "here" / "d" / "train.parquet")


def test_a_secret_is_read_from_where_it_lies_and_never_shown(tmp_path):
    (tmp_path / "token").write_text("xoxb-1\n", encoding="utf-8")
    secret = Secret("file:token")
    assert secret.value(tmp_path) == "xoxb-1"
    assert "xoxb" not in repr(secret)
    with pytest.raises(ConfigError, match="TILTMETER_TEST_ABSENT is not set"):
        Secret("env:TILTMETER_TEST_ABSENT").value()


@pytest.mark.parametrize(
    "found",
    [
        None,
        Found(
            "./scores",
            {"time": "scored_at", "entity_id": 'odd: "name"', "prediction": "no"},
            {"a b": "numeric", "yes": "boolean"},
        ),
    ],
)
def test_what_init_writes_can_be_read_and_shows_the_defaults(tmp_path, found):
    path = written(tmp_path, configuration_text(model="lead-scoring", timezone="Europe/Berlin", found=found))
    configuration = load_settings(path, environ={})
    model = configuration.models["lead-scoring"]
    assert model.latency_target == timedelta(milliseconds=200)
    if found is not None:
        assert model.source is not None
        assert dict(model.source.columns) == dict(found.columns)
        assert set(model.kinds) == {"a b", "yes"}
