"""The files under `deploy/` fit together: paths exist, secrets are asked for, nothing is open to others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import ConfigError
from tiltmeter.service.checkup import access_of

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SECRETS = {
    "TILTMETER_STATE_URL": "sqlite:state.db",
    "TILTMETER_READ_KEY": "r" * 24,
    "TILTMETER_OPERATE_KEY": "o" * 24,
    "TILTMETER_OUTCOMES_KEY": "c" * 24,
}


def test_every_service_of_the_specification_is_there():
    assert set(COMPOSE["services"]) == {
        "tiltmeter", "prometheus", "node-exporter", "grafana", "mlflow", "postgres",
    }  # fmt: skip


def test_what_is_mounted_from_here_exists():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source


def test_every_published_port_is_on_loopback_and_every_image_names_its_version():
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert "build" in service or ":" in service["image"]


def test_the_mlflow_server_is_pinned_to_a_release_that_knows_its_flags():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    major, minor, _ = re.search(r'"mlflow==(\d+)\.(\d+)\.(\d+)"', text).groups()
    assert (int(major), int(minor)) >= (3, 5)  # --allowed-hosts


def test_every_secret_that_is_asked_for_stands_empty_in_the_example():
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    asked = {part.split(":?")[0] for part in text.split("${")[1:]}
    example = (DEPLOY / "example.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in example if "=" in line and not line.startswith("#"))
    assert set(given) == asked
    assert set(given.values()) == {""}


def test_the_configuration_in_the_container_is_valid_and_protected():
    configuration = load_settings(DEPLOY / "tiltmeter.yaml", environ=SECRETS)
    assert not access_of_with(configuration).is_open
    assert configuration.settings.dashboard.host == "0.0.0.0"


def access_of_with(configuration):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        return access_of(configuration)


def test_pages_open_to_others_without_a_key_are_refused(tmp_path):
    path = tmp_path / "tiltmeter.yaml"
    path.write_text("version: 1\ndashboard: {host: 0.0.0.0}\nchannels: {}\nroutes: []\n", encoding="utf-8")
    access = access_of(load_settings(path, environ={}))
    with pytest.raises(ConfigError, match=r"dashboard\.host is 0\.0\.0\.0 and nothing protects"):
        access.check_address("0.0.0.0", setting="dashboard.host")
