"""Addresses that may not be reached, signatures, settings that are wrong, secrets that may not be told."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest

from tiltmeter.channels import CHANNELS, build_channel, check_channel
from tiltmeter.channels._http import Answer, _is_public, pinned, retry_after
from tiltmeter.channels.redaction import redact
from tiltmeter.channels.webhook import signature
from tiltmeter.domain.errors import ConfigError, DeliveryError
from tiltmeter.testing.receivers import Fault, Reply, WebhookReceiver
from tiltmeter.testing.samples import SteppedClock, sample_message

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


class RealClock:
    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic()


PRIVATE_HOSTS = (
    "127.0.0.1", "127.1", "127.0.0.2", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "017700000001", "localhost",
    "localhost.", "LOCALHOST", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fc00::1]", "[fd12::1]",
    "169.254.169.254", "[::ffff:169.254.169.254]", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "100.64.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "[ff02::1]",
)  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_s1_a_private_address_is_never_reached(host):
    with WebhookReceiver(SECRET) as receiver:
        port = receiver.url.rpartition(":")[2]
        settings = {"kind": "webhook", "api_url": f"http://{host}:{port}/hook", "secret": SECRET, "timeout_s": 1}
        channel = build_channel("hook", settings, clock=RealClock())
        with pytest.raises(DeliveryError, match=r"private network|cannot be resolved"):
            channel.send(sample_message())
        with pytest.raises(DeliveryError, match=r"private network|cannot be resolved"):
            channel.connect()
        assert receiver.requests == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "gopher://127.0.0.1:70/_", "ftp://127.0.0.1/", "//x", ""])
def test_s1_only_web_addresses_are_taken(address):
    with pytest.raises(ConfigError):
        check_channel("hook", {"kind": "webhook", "url": address, "secret": SECRET})


def answers(*looks):
    """A name server whose answer changes from look to look."""
    left = list(looks)

    def resolve(host, port, **asked):
        return [(0, asked["type"], 0, "", (address, port)) for address in left.pop(0)]

    return resolve


def test_s1_a_name_that_is_bound_anew_between_check_and_connection_leads_nowhere_else():
    resolve = answers(["93.184.216.34"], ["127.0.0.1"])
    target, name = pinned("https://rebound.example:8443/hook?a=1", "rebound.example", resolve=resolve)
    assert target == "https://93.184.216.34:8443/hook?a=1"
    assert name == "rebound.example:8443"
    with pytest.raises(DeliveryError, match="private network"):  # the next delivery looks again
        pinned("https://rebound.example:8443/hook?a=1", "rebound.example", resolve=resolve)


def test_s1_a_name_with_a_private_address_among_public_ones_is_refused():
    resolve = answers(["93.184.216.34", "169.254.169.254"])
    with pytest.raises(DeliveryError, match="private network"):
        pinned("https://mixed.example/hook", "mixed.example", resolve=resolve)


def test_s1_redirects_are_not_followed():
    with WebhookReceiver(SECRET) as inside, WebhookReceiver(SECRET) as outside:
        outside.script(Fault(Reply(307, b"", {"Location": inside.hook_url})))
        settings = {"kind": "webhook", "url": outside.hook_url, "secret": SECRET, "allow_private": True}
        with pytest.raises(DeliveryError, match="307") as caught:
            build_channel("hook", settings, clock=RealClock()).send(sample_message())
        assert not caught.value.retryable
        assert inside.requests == []


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address):
    assert _is_public(address)


def test_signatures_are_those_of_the_specification():
    # Example of the Standard Webhooks libraries' own tests: secret, id, timestamp, body, signature.
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    given = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_both_secrets_sign_while_keys_are_changed():
    old = "whsec_" + base64.b64encode(b"x" * 24).decode()
    with WebhookReceiver(old) as receiver:
        settings = {"kind": "webhook", "url": receiver.hook_url, "secret": SECRET, "secret_before": old}
        build_channel("hook", settings | {"allow_private": True}, clock=RealClock()).send(sample_message())
        assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "slak"}, 'did you mean "slack"'),
        ({}, "no kind"),
        ({"kind": "slack", "token": "t", "chanel": "#a"}, 'did you mean "channel"'),
        ({"kind": "slack", "token": "t"}, "needs the channel"),
        ({"kind": "slack"}, "either a token"),
        ({"kind": "slack", "token": "t", "channel": "#a", "webhook_url": "https://x/y"}, "either a token"),
        ({"kind": "pagerduty"}, '"routing_key" is missing'),
        ({"kind": "pagerduty", "routing_key": "canary key"}, "one word"),
        ({"kind": "smtp", "to": [], "from": "t@example.com", "url": "smtp://h"}, "to"),
        ({"kind": "smtp", "to": ["a@x.y\nBcc: b@x.y"], "from": "t@example.com", "url": "smtp://h"}, "address"),
        ({"kind": "smtp", "to": ["a@x.y"], "from": "t@example.com", "url": "http://canary@h"}, "smtp://"),
        ({"kind": "webhook", "url": "https://x.y/canary", "secret": "whsec_canary!"}, "base64"),
        ({"kind": "webhook", "url": "https://x.y/canary", "secret": "whsec_YWJj"}, "24 bytes"),
    ],
)
def test_wrong_settings_are_said_in_one_sentence_without_the_secret(settings, words):
    with pytest.raises(ConfigError) as caught:
        check_channel("mine", settings)
    assert words in str(caught.value)
    assert "channels.mine" in str(caught.value) or "kind" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_the_dashboard_is_no_channel():
    with pytest.raises(ConfigError, match="reserved"):
        check_channel("dashboard", {"kind": "slack"})


def test_secrets_are_resolved_and_clear_text_is_refused():
    asked = []

    def resolve(reference):
        asked.append(reference)
        return "smtp://u:canary@h:25" if "SMTP" in reference else "K" * 32

    mail = {"kind": "smtp", "to": ["a@x.y"], "from": "t@x.y", "url": "env:SMTP_URL"}
    build_channel("mail", mail, clock=SteppedClock(), resolve=resolve)
    build_channel("pager", {"kind": "pagerduty", "routing_key": "file:key"}, clock=SteppedClock(), resolve=resolve)
    assert asked == ["env:SMTP_URL", "file:key"]
    build_channel("mail", mail | {"url": "smtp://localhost:1025"}, clock=SteppedClock(), resolve=resolve)
    for settings in (
        mail | {"url": "smtp://u:canary@h:25"},
        {"kind": "pagerduty", "routing_key": "canary0000"},
        {"kind": "slack", "webhook_url": "https://hooks.slack.com/services/canary"},
    ):
        with pytest.raises(ConfigError, match="clear text") as caught:
            build_channel("x", settings, clock=SteppedClock(), resolve=resolve)
        assert "canary" not in str(caught.value)


def test_every_kind_can_be_loaded_and_names_its_settings():
    for name in CHANNELS.names():
        assert CHANNELS.load(name).kind == name
        assert CHANNELS.load(name).settings_model.model_config["hide_input_in_errors"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("1e99", 86_400.0), ("nan", None), ("soon", None), ("", None),
     ("Mon, 23 Nov 2026 06:10:00 GMT", 600.0), ("Mon, 23 Nov 2020 06:10:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert retry_after(Answer(429, "", {"retry-after": header}), SteppedClock()) == seconds


def test_redaction_finds_secrets_in_every_spelling():
    url = "smtp://user:p%40ss-canary@mail.example.com:587"
    for text in (url, "p%40ss-canary", "login p@ss-canary failed"):
        assert "canary" not in redact(text, [url, "p@ss-canary"])
    assert (
        redact(
            "https://hooks.slack.com/services/T0/B0/SECRETPATH", ["https://hooks.slack.com/services/T0/B0/SECRETPATH"]
        )
        == "***"
    )
    assert "SECRETPATH" not in redact("POST /services/T0/B0/SECRETPATH", ["https://h/services/T0/B0/SECRETPATH"])
    assert len(redact("x" * 9000, [])) == 500
