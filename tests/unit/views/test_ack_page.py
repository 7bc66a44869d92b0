"""The page behind a message's signed link: it asks the service, and a name and a click are needed."""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from tiltmeter.config.load import load_settings
from tiltmeter.service.access import Access, Role
from tiltmeter.service.ack_links import AckLinks
from tiltmeter.service.home import write_ports
from tiltmeter.service.http import create_app
from tiltmeter.service.operations import RunningOperations
from tiltmeter.wiring import SystemClock, build_world

pytestmark = pytest.mark.slow


@contextmanager
def running_service(path):
    """The HTTP face over the home of a configuration; its state and its links."""
    configuration = load_settings(path, environ={})
    world = build_world(configuration, with_channels=False)
    links = AckLinks(b"key of this test", "https://tiltmeter.example.com", SystemClock())
    operations = RunningOperations(world, None, lambda _: None, dict)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    app = create_app(world, operations, Access({Role.OPERATE: "w"}), links)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    runner = threading.Thread(target=server.run, args=([listening],))
    runner.start()
    write_ports(configuration.home, serve=f"http://127.0.0.1:{listening.getsockname()[1]}")
    try:
        yield world.state, links
    finally:
        server.should_exit = True
        runner.join(20)
        listening.close()
        world.state.close()


def test_a_link_is_read_by_the_service_alone(page, small):
    shown = page("ack", small, address="0.0.0.0", t="inc_1.99.x")
    assert "No service runs on this home" in shown.error[0].value.replace("&#39;", "'")
    assert not shown.button


def test_a_link_acknowledges_with_a_name_and_a_click(page, small, tmp_path):
    shutil.copytree(small.parent, tmp_path / "home")
    path = tmp_path / "home" / small.name
    with running_service(path) as (state, links):
        incident = state.incidents()[0]
        shown = page("ack", path, address="0.0.0.0", t=links.token(incident.id))
        assert "critical" in shown.markdown[0].value
        shown.button[0].click().run()
        assert "who you are" in shown.warning[0].value
        assert state.incident(incident.id).acknowledged_by == ""
        shown.text_input[0].input("Anna")
        shown.button[0].click().run()
        assert "Anna takes care of it" in shown.success[0].value
        assert state.incident(incident.id).acknowledged_by == "Anna"
        forged = page("ack", path, address="0.0.0.0", t=links.token(incident.id) + "x")
        assert "not made here" in forged.error[0].value
