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


@pytest.fixture(scope="module")
def moved_home(tmp_path_factory):
    """On the last day a quarter of the leads comes from a new source that scores 0.9 instead of 0.3."""
    return build(tmp_path_factory.mktemp("moved") / "home", level_score=0.9)


def test_explain_says_which_features_mix_moved_the_score(moved_home):
    name = next(n for n, incident in _ids(moved_home).items() if incident.resolved_at is None)
    ran = tiltmeter("alerts", "explain", name, "--config", moved_home)
    assert ran.code == 0, ran.err
    assert "What moved the score" in ran.out
    # 0.3 before, 0.75·0.3 + 0.25·0.9 = 0.45 on the last day; every old source scores as it did.
    assert "The mean score went 0.300 → 0.450 (+0.150); the mix of source explains 100 % of it" in ran.out
    assert "07 Mar 00:00 to 08 Mar 00:00 against 08 Mar 00:00 to 09 Mar 00:00" in ran.out
    assert "partner-x: 0.0 % → 25.0 % of the rows, scores 0.900" in ran.out
    found = tiltmeter("alerts", "explain", name, "--config", moved_home, "--json").document["score_shift"]
    assert found["shift"] == pytest.approx(0.15, abs=1e-12)
    assert (found["features"][0]["feature"], found["features"][0]["mix"]) == ("source", pytest.approx(0.15, abs=1e-12))
    assert found["windows"]["now"]["end"] == "2026-03-09T00:00:00+00:00"


def test_explain_reads_no_rows_where_the_score_is_not_what_fired(home):
    name = next(n for n, incident in _ids(home).items() if incident.resolved_at is None)
    ran = tiltmeter("alerts", "explain", name, "--config", home)
    assert ran.code == 0, ran.err
    assert "What moved the score" not in ran.out
    assert tiltmeter("alerts", "explain", name, "--config", home, "--json").document["score_shift"] is None
