"""Hostile text that means nothing to any receiver, and certificates that are not believed."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product

import pytest

from tiltmeter.channels import build_channel
from tiltmeter.channels.email_body import build_mail
from tiltmeter.channels.pagerduty import event_body
from tiltmeter.channels.slack_blocks import fallback_text, note_blocks, rest_blocks, root_blocks
from tiltmeter.config.rules import check_rules
from tiltmeter.config.yaml_source import parse_yaml
from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import Content, Row
from tiltmeter.domain.severity import Severity
from tiltmeter.testing.receivers import SmtpReceiver
from tiltmeter.testing.samples import SteppedClock, sample_message

MARKS = (
    "<!channel>", "<!here>", "<!everyone>", "<!subteam^S1>", "<@U012>", "<#C012>", "<https://evil.example|Acknowledge>",
    "<mailto:a@evil.example|x>", "[x](https://evil.example)", "![x](https://evil.example/x.png)", "*b* _i_ ~s~ `c`",
    "> quote", "&lt;!channel&gt;", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</td></table>",
    "javascript:alert(1)", "{{7*7}} ${7*7} <%= 7 %>", "\r\nBcc: eve@evil.example", "\nX-Injected: 1\n\nbody",
)  # fmt: skip
WRAPS = ("{}", " {} ", "name{}", "{}name", "a\u202e{}", "\x00{}", "{}\u200b", "x" * 90 + "{}", "é{}é", "{0}{0}")
PAYLOADS = [wrap.format(mark) for mark, wrap in product(MARKS, WRAPS)]


def message(payload):
    row = Row(payload, Severity.CRITICAL, payload, "0.6", payload, "javascript:alert(1)")
    links = {payload: "javascript:alert(1)", "Incident": "https://tiltmeter.example.com/incident?id=inc_a"}
    content = Content(payload, payload, {payload: payload}, (row,) * 7, 0, (payload,), links, payload)
    made = sample_message(content=content)
    return type(made)(**{name: getattr(made, name) for name in made.__slots__} | {"model": payload})


def slack_texts(blocks):
    for block in blocks:
        yield from [block["text"]] if "text" in block else block.get("fields", []) + block.get("elements", [])


def test_s4_two_hundred_payloads_are_no_markup_for_slack():
    assert len(PAYLOADS) == 200
    for payload in PAYLOADS:
        said = message(payload)
        blocks = [*root_blocks(said), *note_blocks(said, short=False), *rest_blocks(said.content.rows, 0)]
        for part in slack_texts(blocks):
            if part["type"] == "plain_text":
                assert len(part["text"]) <= 900
                continue
            assert part["verbatim"], "Slack must not look for links and names by itself"
            own = part["text"].replace("<https://tiltmeter.example.com/incident?id=inc_a|Incident>", "")
            assert "<" not in own, payload
        assert "<" not in fallback_text(said)


def test_s4_two_hundred_payloads_add_no_header_and_no_element_to_a_mail():
    for payload in PAYLOADS:
        mail, _ = build_mail(message(payload), sender="t@example.com", to=["a@example.com"], domain="example.com")
        raw = mail.as_bytes().decode()
        headers = raw.partition("\r\n\r\n")[0]
        names = {line.partition(":")[0] for line in headers.split("\r\n") if not line.startswith((" ", "\t"))}
        assert names <= {
            "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Id", "X-Tiltmeter-Incident",
            "X-Priority", "MIME-Version", "Content-Type",
        }, payload  # fmt: skip
        html = mail.get_body(("html",)).get_content()
        assert set(re.findall(r"<(\w+)", html)) <= {
            "html", "head", "meta", "title", "body", "div", "p", "h1", "h2", "table", "tr", "td", "b", "a", "ol", "li",
            "span", "br",
        }, payload  # fmt: skip
        assert set(re.findall(r'href="([^"]*)"', html)) == {"https://tiltmeter.example.com/incident?id=inc_a"}


def test_s4_two_hundred_payloads_are_single_lines_within_pagerdutys_limits():
    for payload in PAYLOADS:
        event = json.loads(event_body(message(payload), routing_key="K" * 32, dedup_key="inc_a"))
        payload_sent = event["payload"]
        assert 0 < len(payload_sent["summary"]) <= 1024
        assert [link["href"] for link in event["links"]] == ["https://tiltmeter.example.com/incident?id=inc_a"]
        for text in (payload_sent["summary"], payload_sent["source"], payload_sent["component"]):
            assert text.isprintable(), payload


@pytest.mark.parametrize(
    "limit",
    ["__import__('os').system('id')", "9**9**9", "().__class__", "!!python/name:os.system", "${value}", "1e999"],
)
def test_s6_a_limit_is_a_number_and_never_run(limit):
    started = time.process_time()
    text = f'rules:\n  - {{id: a, metric: drift.psi, levels: {{warning: {{above: "{limit}"}}}}}}\n'
    _, problems = check_rules(parse_yaml(text, name="rules.yaml"))
    assert str(problems[0]).startswith("rules.yaml:2")
    assert time.process_time() - started < 0.5


def test_s6_an_alias_bomb_is_refused_at_once():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))  # 9^10 words
    started = time.process_time()
    with pytest.raises(Exception, match="expand to too much"):
        parse_yaml(bomb, name="rules.yaml")
    assert time.process_time() - started < 0.1


# -- certificates -------------------------------------------------------------------------------------------------


def _certificate(folder, *, host, days):
    """A certificate for one host, signed by an authority of this test."""
    run = lambda *words: subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)  # noqa: E731 - short
    name = f"{host}{days}"
    (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
    run(
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.csr",
        "-subj",
        f"/CN={host}",
    )
    run(
        "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.pem",
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Folder with an authority's certificate `ca.pem`."""
    folder = tmp_path_factory.mktemp("authority")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
         "-days", "2", "-subj", "/CN=authority"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("host", "days", "is_sent"), [("localhost", 2, True), ("mail.example.com", 2, False), ("localhost", -1, False)]
)
def test_s13_mail_goes_only_to_the_host_of_a_valid_certificate(authority, host, days, is_sent):
    context = _certificate(authority, host=host, days=days)
    with SmtpReceiver(tls=context, tls_only=True) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        settings = {
            "kind": "smtp", "to": ["a@example.com"], "from": "t@example.com", "url": url, "timeout_s": 5,
            "tls": "required", "ca_file": str(authority / "ca.pem"),
        }  # fmt: skip
        channel = build_channel("mail", settings, clock=SteppedClock())
        if is_sent:
            channel.send(sample_message())
        else:
            with pytest.raises(DeliveryError, match="certificate") as caught:
                channel.send(sample_message())
            assert not caught.value.retryable
        assert len(receiver.mails) == is_sent


class _Counting(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.heard.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class _Quiet(HTTPServer):
    def handle_error(self, *_):
        pass


@pytest.mark.parametrize("kind", ["slack", "slack-webhook", "pagerduty", "webhook"])
def test_s13_an_unknown_certificate_gets_no_message_and_no_secret(authority, kind):
    server = _Quiet(("127.0.0.1", 0), _Counting)
    server.heard = []
    context = _certificate(authority, host="localhost", days=2)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    runner = threading.Thread(target=server.serve_forever, daemon=True)
    runner.start()
    url = f"https://localhost:{server.server_address[1]}"
    settings = {
        "slack": {"kind": "slack", "channel": "#a", "token": "xoxb-canary", "api_url": f"{url}/api/"},
        "slack-webhook": {"kind": "slack", "webhook_url": f"{url}/services/canary"},
        "pagerduty": {"kind": "pagerduty", "routing_key": "K" * 32, "api_url": url},
        "webhook": {"kind": "webhook", "url": f"{url}/hook", "secret": "whsec_" + "QUJD" * 10, "allow_private": True},
    }[kind]
    try:
        with pytest.raises(DeliveryError) as caught:
            build_channel("x", settings | {"timeout_s": 5}, clock=SteppedClock()).send(sample_message())
    finally:
        server.shutdown()
        server.server_close()
        runner.join(10)
    assert "certificate" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert not caught.value.retryable
    assert server.heard == []
