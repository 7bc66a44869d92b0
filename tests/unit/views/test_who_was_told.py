"""Incidents are told whole: since when, how long, and who really heard of them."""

import html
import re
from dataclasses import replace
from datetime import timedelta

import pytest

import small_home
from page_reading import charts, words
from small_home import END
from tables import FakeClock
from tiltmeter.alerting.hearing import heard_words, who_heard
from tiltmeter.api.period import period_of
from tiltmeter.api.period_story import period_sentence
from tiltmeter.config.load import load_settings
from tiltmeter.domain.alert import Silence
from tiltmeter.domain.message import Delivery, DeliveryStatus
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.testing.samples import sample_incident, sample_message
from tiltmeter.views.dashboard.incident_story import incident_table
from tiltmeter.views.dashboard.queries import ALL, Scope
from tiltmeter.wiring import build_world

DAY = Window(END - timedelta(days=1), END, Grain.DAY)
SENT, DEAD, QUEUED = DeliveryStatus.SENT, DeliveryStatus.DEAD, DeliveryStatus.QUEUED


def deliveries(**statuses):
    return [
        Delivery(sample_message(channel=channel, sequence=place), status, END)
        for channel, some in statuses.items()
        for place, status in enumerate(some, start=1)
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slack": [SENT], "email": [SENT, DEAD]}, "email, slack"),
        ({"slack": [DEAD], "email": [SENT]}, "email; not delivered: slack"),
        ({"slack": [DEAD, QUEUED], "pager": [DEAD]}, "not delivered: pager; waiting: slack"),
        ({"slack": [DeliveryStatus.DROPPED], "email": [DeliveryStatus.SENDING]}, "being sent: email; not sent: slack"),
        ({"dashboard": [SENT]}, ""),
        ({}, ""),
    ],
)
def test_who_heard_is_who_took_a_message(given, said):
    assert heard_words(*who_heard(deliveries(**given))) == said


@pytest.fixture
def home(tmp_path):
    """A small home whose incident was opened long before the shown span."""
    path = small_home.build(tmp_path / "home")
    world = build_world(load_settings(path, environ={}), clock=FakeClock(END), with_channels=False)
    yield path, world
    world.state.close()


def settle(world, incident, **statuses):
    """Messages about an incident, and what became of them."""
    messages = [sample_message(incident=incident, channel=channel, at=END) for channel in statuses]
    world.state.enqueue(messages)
    for channel, status in statuses.items():
        if status is QUEUED:
            continue
        claimed = world.state.claim(END, holder="h", channels=[channel], lease=timedelta(minutes=1))
        assert world.state.settle(claimed, status, holder="h", now=END, error="" if status is SENT else "410 gone")


@pytest.mark.slow
def test_a_report_counts_what_arrived_and_names_what_did_not(home):
    _, world = home
    model = world.models["lead-scoring"]
    (incident,) = [i for i in world.state.incidents(model.name, open_only=True) if i.severity >= Severity.WARNING]
    page = period_of(world, model, DAY).to_html()
    assert "<b>0 of 1</b>" in page  # the dashboard alone tells nobody
    settle(world, incident.id, slack=DEAD, pager=QUEUED)
    found = period_of(world, model, DAY)
    assert found.told[incident.id] == []
    assert "1 critical incident that reached nobody" in period_sentence(found)
    page = found.to_html()
    assert "waiting: pager; not delivered: slack" in html.unescape(page)
    assert "<b>0 of 1</b>" in page
    settle(world, incident.id, email=SENT)
    found = period_of(world, model, DAY)
    assert found.told[incident.id] == ["email"]
    assert "reached nobody" not in period_sentence(found)
    page = found.to_html()
    assert "<b>1 of 1</b>" in page
    assert re.search(r"email; (waiting|not delivered): ", page)


@pytest.mark.slow
def test_the_incident_page_says_who_heard(page, home):
    path, world = home
    (incident,) = [i for i in world.state.incidents(open_only=True) if i.severity >= Severity.WARNING]
    settle(world, incident.id, slack=DEAD)
    said = html.unescape(words(page("incident", path, id=incident.id)))
    assert "Nobody so far; not delivered: slack" in said.replace("\u2060", "")
    settle(world, incident.id, email=SENT)
    shown = page("incident", path, id=incident.id)
    assert "email; not delivered: slack" in html.unescape(words(shown)).replace("\u2060", "")
    told = next(d.value for d in shown.dataframe if "channel" in d.value)
    assert dict(zip(told["channel"], told["status"], strict=True))["slack"] == "not delivered"


def test_an_open_incident_lasts_until_now_and_began_when_it_did():
    opened = END - timedelta(days=40)
    scope = Scope("x", None, "", ALL, END - timedelta(days=30), END)
    still, over = sample_incident(opened_at=opened), sample_incident("inc_b", opened_at=opened)
    over = replace(over, resolved_at=END - timedelta(days=20))
    table = incident_table([still, over], scope, now=END + timedelta(days=3, hours=2))
    assert list(table["opened"]) == [opened] * 2
    assert list(table["time"]) == [scope.start] * 2  # the bar is cut to the span
    assert list(table["until"]) == [END, over.resolved_at]
    assert list(table["lasted"]) == ["43 d 2 h", "20 d 0 h"]


@pytest.mark.slow
def test_the_incidents_page_tells_incidents_whole(page, home):
    path, world = home
    opened = {i.id: i.opened_at for i in world.state.incidents(open_only=False)}
    shown = page("incidents", path, span="24 h")
    table = shown.dataframe[0].value
    assert {row.id: row.opened.to_pydatetime() for row in table.itertuples()} == opened
    bars = [row for _, tables in charts(shown) for table in tables for row in table if "lasted" in row]
    assert {row["since"] for row in bars} == {f"{at:%a %d %b %H:%M} UTC" for at in opened.values()}


@pytest.mark.slow
def test_silences_in_force_stand_on_the_page_with_who_and_why(page, home):
    path, world = home
    assert len(page("incidents", path).dataframe) == 1
    until = world.clock.now().replace(year=2100)
    world.state.save_silence(Silence("sil_1", {"feature": "source"}, END, until, "ada", "known campaign"))
    over = Silence("sil_0", {"feature": "old"}, END - timedelta(days=2), END - timedelta(days=1), "bob", "over")
    world.state.save_silence(over)
    shown = page("incidents", path)
    assert "**Silences**" in words(shown)
    (row,) = shown.dataframe[1].value.to_dict("records")
    assert (row["id"], row["what"], row["by"], row["reason"]) == ("sil_1", "feature = source", "ada", "known campaign")
    assert row["until"].to_pydatetime() == until
