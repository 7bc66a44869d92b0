"""`tiltmeter alerts` on an installation with an open and a resolved incident."""

import pytest

from command_line import tiltmeter
from small_home import build
from tiltmeter.config.load import load_settings
from tiltmeter.wiring import build_world


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return build(tmp_path_factory.mktemp("alerts") / "home")


def _ids(home):
    world = build_world(load_settings(home, environ={}), with_channels=False)
    found = {incident.id: incident for incident in world.state.incidents(open_only=False)}
    world.state.close()
    return found


def test_a_piped_list_has_whole_ids_and_one_incident_a_line(home):
    ran = tiltmeter("alerts", "list", "--all", "--config", home, COLUMNS="40")
    assert ran.code == 0, ran.err
    header, *lines = ran.out.splitlines()
    assert header.split()[:3] == ["incident", "severity", "state"]
    assert {line.split()[0] for line in lines} == set(_ids(home))


def test_an_unknown_id_says_where_the_ids_are(home):
    for command in ("show", "ack"):
        ran = tiltmeter("alerts", command, "inc_nope", "--config", home)
        assert ran.code == 2
        assert ran.error_lines == [
            'tiltmeter: there is no incident that begins with "inc_nope"; `tiltmeter alerts list --all` names them'
        ]


def test_acknowledging_names_who_has_it_and_says_when_there_is_nothing_to_do(home):
    known = _ids(home)
    standing = next(name for name, incident in known.items() if incident.resolved_at is None)
    ran = tiltmeter("alerts", "ack", standing, "--by", "anna", "--config", home)
    assert (ran.code, ran.out) == (0, f"{standing} is acknowledged by anna\n")
    again = tiltmeter("alerts", "ack", standing, "--by", "ben", "--config", home)
    assert (again.code, again.out) == (0, f"{standing} is acknowledged by anna\n")
    over = [name for name, incident in known.items() if incident.resolved_at is not None]
    for name in over[:1]:
        ran = tiltmeter("alerts", "ack", name, "--config", home)
        assert ran.code == 0
        assert "is over since" in ran.out
