"""What a page asks of the service: the answer is read no further than it is shown, whatever listens there."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tiltmeter.config.load import load_settings
from tiltmeter.views.dashboard.access import Right, Visitor
from tiltmeter.views.dashboard.actions import acknowledge, service_address, silence

LOCAL = Visitor(Right.OPERATE)


class Endless(BaseHTTPRequestHandler):
    """Refuses with a page that never ends, and counts what was taken of it."""

    taken = 0
    status = 500

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(type(self).status)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"<script>alert(1)</script>" * 400)
                type(self).taken += 10_000
        except OSError:
            return

    def log_message(self, *_):
        pass


@pytest.fixture
def endless():
    Endless.taken, Endless.status = 0, 500
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def configuration(tmp_path):
    path = tmp_path / "tiltmeter.yaml"
    path.write_text("version: 1\nhome: .\n", encoding="utf-8")
    return load_settings(path, environ={})


def runs_at(configuration, address):
    folder = configuration.home / "run"
    folder.mkdir()
    (folder / "ports.json").write_text(json.dumps({"serve": address}), encoding="utf-8")


def test_an_endless_refusal_is_cut(configuration, endless):
    runs_at(configuration, endless)
    answer = acknowledge(configuration, LOCAL, "inc_1", by="ada", note="")
    assert not answer.is_done
    assert answer.words.startswith("The service refused (500): <script>")
    assert len(answer.words) < 300
    assert Endless.taken < 20_000_000  # what the sockets' buffers hold, not what the page would be


def test_an_endless_consent_is_a_consent(configuration, endless):
    Endless.status = 200
    runs_at(configuration, endless)
    assert silence(configuration, LOCAL, "inc_1", minutes=60, by="", reason="known").words == "Silent for 60 minutes."


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"serve": "file:///etc/passwd"}', '{"serve": 7}', "\x00"])
def test_an_address_that_is_none_is_not_asked(configuration, written):
    folder = configuration.home / "run"
    folder.mkdir()
    (folder / "ports.json").write_text(written, encoding="utf-8")
    assert service_address(configuration) == ""
    assert not acknowledge(configuration, LOCAL, "inc_1", by="ada", note="").is_done


def test_a_service_that_is_gone_is_said(configuration):
    runs_at(configuration, "http://127.0.0.1:9")
    assert "does not answer (ConnectError)" in acknowledge(configuration, LOCAL, "inc_1", by="ada", note="").words
