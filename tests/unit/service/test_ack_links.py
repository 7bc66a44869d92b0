"""Signed links of messages: opening one does nothing, a click acknowledges once, a forged or old one opens nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient

from tiltmeter.channels.null import NullChannel
from tiltmeter.config.load import load_settings
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.alert import IncidentState
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.message import MessageKind
from tiltmeter.domain.model import Model
from tiltmeter.ports import World
from tiltmeter.service.access import Access, Role
from tiltmeter.service.ack_links import VALID_FOR, AckLinks, link_key
from tiltmeter.service.http import create_app
from tiltmeter.service.operations import RunningOperations
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import MODEL, SteppedClock, sample_incident, sample_message

BASE = "https://tiltmeter.example.com"


class Slack(NullChannel):
    kind = "slack"


class Hook(NullChannel):
    kind = "webhook"


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def world(clock, tmp_path):
    state = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    state.save_incident(sample_incident(title="<script>1</script>", cause="deploy & more"), ())
    yield World(
        clock=clock, zone=ZoneInfo("UTC"), engine=None, log=None, states=None, baselines=None, state=state,
        models={MODEL: Model(MODEL)}, rules=load_rules(None),
    )  # fmt: skip
    state.close()


@pytest.fixture
def links(clock):
    return AckLinks(b"key of this test", BASE, clock)


@pytest.fixture
def client(world, links):
    operations = RunningOperations(world, None, lambda _: None, dict)
    return TestClient(create_app(world, operations, Access({Role.OPERATE: "w"}), links))


def acknowledged_by(world):
    return world.state.incident("inc_a").acknowledged_by


def test_30_opening_a_link_changes_nothing_and_the_click_acknowledges(client, world, links):
    page = client.get("/ack", params={"t": links.token("inc_a")})
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "deploy &amp; more" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.head("/ack", params={"t": links.token("inc_a")}).status_code in (200, 405)
    assert acknowledged_by(world) == ""
    done = client.post("/ack", data={"t": links.token("inc_a"), "by": "Anna", "note": "rolling back"})
    assert "<b>Anna</b> takes care of it" in done.text
    assert world.state.incident("inc_a").note == "rolling back"


def test_30_a_second_click_by_somebody_else_changes_nothing(client, world, links):
    for name in ("Anna", "Ben"):
        client.post("/ack", data={"t": links.token("inc_a"), "by": name})
    assert acknowledged_by(world) == "Anna"
    assert "<form" not in client.get("/ack", params={"t": links.token("inc_a")}).text


def test_30_link_page_and_api_at_once_are_one_acknowledgement(client, world, links):
    client.post("/api/v1/ack", json={"token": links.token("inc_a"), "by": "Anna"})
    client.post("/api/v1/incidents/inc_a/ack", json={"by": "Ben"}, headers={"authorization": "Bearer w"})
    events = [e for e in world.state.events(incident="inc_a") if e.kind == "alert_acknowledged"]
    assert [e.detail["by"] for e in events] == ["Anna"]


def test_a_name_is_needed(client, world, links):
    answer = client.post("/ack", data={"t": links.token("inc_a"), "by": "  "})
    assert answer.status_code == 422
    assert "who you are" in answer.text
    assert acknowledged_by(world) == ""


def _forged(token: str) -> list[str]:
    incident, ends, signature = token.split(".")
    return [
        "", ".", "..", "inc_a", f"inc_b.{ends}.{signature}", f"{incident}.{int(ends) + 1}.{signature}",
        f"{incident}.{ends}.{signature[:-1]}", f"{incident}.{ends}.", f"{incident}.{ends}", f"{token}x", "\ud800.1.x",
        f"{incident}.nan.{signature}", "é.9.é", token.swapcase(),
    ]  # fmt: skip


def test_30_a_forged_or_old_link_opens_nothing(client, world, links, clock):
    token = links.token("inc_a")
    for forged in _forged(token):
        with pytest.raises(UsageError, match="not made here"):
            links.incident_of(forged)
        if forged.isprintable():
            assert client.post("/ack", data={"t": forged, "by": "Eve"}).status_code == 403
            assert client.get("/api/v1/ack", params={"t": forged}).status_code == 403
    other = AckLinks(b"another key", BASE, clock)
    assert client.post("/api/v1/ack", json={"token": other.token("inc_a"), "by": "Eve"}).status_code == 403
    clock.advance(VALID_FOR + timedelta(seconds=1))
    assert client.post("/ack", data={"t": token, "by": "Eve"}).status_code == 403
    assert "older than 7 days" in client.get("/ack", params={"t": token}).text
    assert acknowledged_by(world) == ""


def test_what_is_over_cannot_be_acknowledged(client, world, links):
    stored = world.state.incident("inc_a")
    world.state.save_incident(replace(stored, state=IncidentState.RESOLVED), ())
    assert "It is over" in client.post("/ack", data={"t": links.token("inc_a"), "by": "Anna"}).text
    assert acknowledged_by(world) == ""


@pytest.mark.parametrize(
    ("kind", "channel", "has_link"),
    [
        (MessageKind.FIRED, Slack, True),
        (MessageKind.ESCALATED, Slack, True),
        (MessageKind.FIRED, Hook, False),
        (MessageKind.RESOLVED, Slack, False),
        (MessageKind.ACKNOWLEDGED, Slack, False),
        (MessageKind.DIGEST, Slack, False),
        (MessageKind.META, Slack, False),
    ],
)
def test_links_go_to_people_who_can_use_them(links, kind, channel, has_link):
    made = links.attach(sample_message(kind), channel("x"))
    found = made.content.links.get("Acknowledge", "")
    assert bool(found) is has_link
    if has_link:
        assert found.startswith(f"{BASE}/ack?t=inc_a.")
        assert links.incident_of(found.partition("t=")[2]) == "inc_a"


def test_a_home_keeps_its_key_to_itself(tmp_path):
    configuration = load_settings(None, environ={"TILTMETER_HOME": str(tmp_path)})
    first = link_key(configuration)
    assert link_key(configuration) == first
    assert len(first) == 64
    assert (configuration.home / "run/links.key").stat().st_mode & 0o777 == 0o600
