"""Acknowledge and Silence against a service that runs: with keys, with a trusted header, with both, with neither."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tiltmeter.config.load import load_settings
from tiltmeter.domain.alert import Alert, AlertState, Incident, IncidentState
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.run import Run
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.service.running import Service
from tiltmeter.views.dashboard.access import Right, Visitor, visitor_of
from tiltmeter.views.dashboard.actions import acknowledge, silence
from tiltmeter.wiring import build_world

KEYS = "keys: {read: 'env:READ', operate: 'env:OPERATE'}"
HEADER = "trusted_header: X-User"
MODES = {"keys": KEYS, "header": HEADER, "both": f"{KEYS}, {HEADER}", "neither": ""}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Path of a configuration with a `server` section of one's choice, and an open incident."""
    monkeypatch.setenv("READ", "look")
    monkeypatch.setenv("OPERATE", "act")

    def made(server):
        path = tmp_path / "home" / "tiltmeter.yaml"
        path.parent.mkdir()
        text = f"version: 1\nhome: .\nchannels: {{}}\nmodels: {{churn: {{}}}}\nserver: {{{server}}}\n"
        path.write_text(text, encoding="utf-8")
        world = build_world(load_settings(path), with_channels=False)
        now = datetime.now(UTC)
        incident = Incident(
            "inc_1",
            "churn",
            IncidentState.OPEN,
            Severity.WARNING,
            now,
            now,
            title="age drifts",
            alerts=("alr_1",),
            told=Severity.WARNING,  # the first turn of the service has nothing to tell, and puts nothing on a ladder
        )
        alert = Alert(
            "alr_1", "f", "feature_psi", Subject("churn", "", "age"), AlertState.FIRING, Severity.WARNING,
            since=now, fired_at=now, updated_at=now, incident="inc_1",
        )  # fmt: skip
        day = Window(now - timedelta(days=1), now, Grain.DAY)
        world.state.commit(Run("drift", "churn", day, now, alerts=(alert,), incidents=(incident,)))
        world.state.close()
        return path

    return made


@contextmanager
def running(path):
    """The state of a home on which a service runs."""
    configuration = load_settings(path)
    service = Service(configuration, port=0)
    service.start()
    world = build_world(configuration, with_channels=False)
    try:
        yield configuration, world.state
    finally:
        world.state.close()
        service.stop()


def visitor(configuration, *, headers=None, given=""):
    return visitor_of(configuration, address="127.0.0.1", headers=headers or {}, given=given)


def recorded(state):
    """Who acknowledged the incident, and who silenced it."""
    silences = state.silences(datetime.now(UTC))
    return state.incident("inc_1").acknowledged_by, [one.created_by for one in silences]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "who", "typed", "said"),
    [
        ("keys", {"given": "act"}, "", "dashboard"),
        ("keys", {"given": "act"}, "Ada", "Ada"),
        ("header", {"headers": {"X-User": "anna"}}, "", "anna"),
        ("header", {"headers": {"X-User": "anna"}}, "Anna B.", "Anna B."),
        ("header", {"headers": {"X-User": "José".encode().decode("latin-1")}}, "", "José"),
        ("both", {"headers": {"X-User": "anna"}}, "", "anna"),
        ("both", {"given": "act"}, "", "dashboard"),
        ("neither", {}, "", "dashboard"),
    ],
)
def test_whoever_may_act_acts_and_is_named(home, mode, who, typed, said):
    with running(home(MODES[mode])) as (configuration, state):
        somebody = visitor(configuration, **who)
        for answer in (
            acknowledge(configuration, somebody, "inc_1", by=typed, note=""),
            silence(configuration, somebody, "inc_1", minutes=60, by=typed, reason="known"),
        ):
            assert answer.is_done, answer.words
        assert recorded(state) == (said, [said])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "who"),
    [
        ("keys", {"given": "look"}),
        ("keys", {"headers": {"X-User": "anna"}}),  # nobody configured that header
        ("header", {}),
        ("header", {"headers": {"X-Other": "anna"}, "given": "X-User: anna"}),
        ("both", {"given": "look"}),
    ],
)
def test_whoever_may_not_act_gains_nothing_by_what_is_typed(home, mode, who):
    with running(home(MODES[mode])) as (configuration, state):
        somebody = visitor(configuration, **who)
        typed = "anna\r\nX-User: anna"
        for asking in (somebody, Visitor(Right.NONE, "anna"), Visitor(Right.READ)):
            assert not acknowledge(configuration, asking, "inc_1", by=typed, note=typed).is_done
            assert not silence(configuration, asking, "inc_1", minutes=60, by=typed, reason=typed).is_done
        assert recorded(state) == ("", [])


class TwiceGiven(dict):
    """Headers of a request as Streamlit has them."""

    def get_all(self, name):
        return self.get(name, [])


def test_a_header_that_came_twice_is_not_believed(home):
    configuration = load_settings(home(HEADER))
    assert visitor(configuration, headers=TwiceGiven({"X-User": ["anna"]})).name == "anna"
    for headers in ({"X-User": ["mallory", "anna"]}, {}):
        assert visitor(configuration, headers=TwiceGiven(headers)) == Visitor(Right.NONE)


class Listening(BaseHTTPRequestHandler):
    """Somebody else's server; keeps the names of the headers it was sent."""

    heard: list = []  # noqa: RUF012 - one server a test

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).heard.append({name.lower() for name in self.headers})
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_header_goes_to_this_machine_only(home):
    path = home(HEADER)
    configuration = load_settings(path)
    Listening.heard = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        anna = visitor(configuration, headers={"X-User": "anna"})
        # Another name of this machine, which is none of those that the service listens on by itself.
        for host in ("127.0.0.1", "127.0.0.2"):
            ports = path.parent / "run" / "ports.json"
            ports.write_text(json.dumps({"serve": f"http://{host}:{server.server_port}"}), encoding="utf-8")
            assert not acknowledge(configuration, anna, "inc_1", by="", note="").is_done
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert ["x-user" in names for names in Listening.heard] in ([True], [True, False])
