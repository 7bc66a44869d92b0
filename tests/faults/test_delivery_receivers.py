"""Receivers that misbehave the way the real ones do; the numbers are those of the table of failure tests."""

from __future__ import annotations

import gc
import json
import ssl
import subprocess
import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tiltmeter.channels import build_channel, build_channels
from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import Content, DeliveryStatus, MessageKind, Row
from tiltmeter.domain.severity import Severity
from tiltmeter.service.sender import Sender
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.receivers import Fault, PagerDutyReceiver, Reply, SlackReceiver, SmtpFault, SmtpReceiver
from tiltmeter.testing.samples import sample_content, sample_message

HOUR = timedelta(hours=1)
TOKEN, KEY, PASSWORD = "xoxb-canary-token", "K3YCANARY00000000000000000000000", "canary-p4ss/word"
OK_FALSE = '{{"ok":false,"error":"{}"}}'


class MovedClock:
    """The machine's clock, pushed ahead by hand: receivers see real time, pauses pass at once."""

    def __init__(self):
        self.ahead = timedelta(0)

    def now(self):
        return datetime.now(UTC) + self.ahead

    def monotonic(self):
        return time.monotonic() + self.ahead.total_seconds()


class Post:
    """A sender with Slack, mail and PagerDuty, all local."""

    def __init__(self, slack, mail, pager):
        self.slack, self.mail, self.pager = slack, mail, pager
        self.clock = MovedClock()
        self.said = []
        self.store = SqlStateStore("sqlite:", self.clock)
        self.settings = {
            "slack": {
                "kind": "slack", "channel": "#ml-alerts", "token": TOKEN, "api_url": slack.api_url, "timeout_s": 3,
            },
            "mail": {
                "kind": "smtp", "to": ["a@example.com", "b@example.com"], "from": "t@example.com", "url": mail.url,
                "timeout_s": 3,
            },
            "pager": {"kind": "pagerduty", "routing_key": KEY, "api_url": pager.url, "timeout_s": 3},
        }  # fmt: skip
        self.sender = self.new_sender()

    def new_sender(self, **changed):
        settings = {name: part | changed.get(name, {}) for name, part in self.settings.items()}
        channels = build_channels(settings, clock=self.clock)
        report = lambda event, fields: self.said.append((event, dict(fields)))  # noqa: E731 - short
        return Sender(self.store, channels, self.clock, rng=Random(1), report=report, paced=False)

    def tell(self, kind=MessageKind.FIRED, *, channel="slack", **more):
        self.store.enqueue([sample_message(kind, channel=channel, at=self.clock.now(), **more)])
        self.sender.drain_once()

    def later(self, span=HOUR):
        self.clock.ahead += span
        self.sender.drain_once()

    def statuses(self, channel):
        return [d.status for d in self.store.deliveries() if d.message.channel == channel]

    def roots(self, kind="30 features"):
        return [m for m in self.slack.roots() if kind in m["text"]]


@pytest.fixture
def post():
    with SlackReceiver() as slack, SmtpReceiver() as mail, PagerDutyReceiver() as pager:
        made = Post(slack, mail, pager)
        yield made
        made.store.close()


def test_12_slack_429_waits_as_told_and_pages_go_out(post):
    post.slack.script(Fault(Reply(429, b"", {"Retry-After": "600"})))
    post.store.enqueue([sample_message(channel=name, at=post.clock.now()) for name in ("slack", "mail", "pager")])
    started = time.monotonic()
    post.sender.drain_once()
    assert time.monotonic() - started < 10
    assert (len(post.mail.mails), len(post.pager.pages)) == (1, 1)
    post.later(timedelta(seconds=590))
    assert post.roots() == []
    post.later(timedelta(seconds=11))
    assert len(post.roots()) == 1


def test_13_a_429_and_a_recovery_meanwhile_give_one_message(post):
    post.slack.script(Fault(Reply(429, b"", {"Retry-After": "600"})))
    post.tell(incident="inc_other")
    post.tell()
    post.tell(MessageKind.RESOLVED, sequence=2)
    post.later()
    found = [m for m in post.roots() if "RESOLVED" in m["text"]]
    assert len(found) == 1
    assert "Fired and recovered" in json.dumps(found[0]["blocks"])


@pytest.mark.parametrize("code", ["ratelimited", "internal_error", "fatal_error", "service_unavailable"])
def test_14_slack_errors_that_pass_are_tried_again(post, code):
    post.slack.script(Fault(Reply(200, OK_FALSE.format(code).encode())))
    post.tell()
    assert post.statuses("slack") == [DeliveryStatus.QUEUED]
    post.later()
    assert len(post.roots()) == 1


@pytest.mark.parametrize("code", ["channel_not_found", "invalid_auth", "token_revoked", "is_archived", "msg_too_long"])
def test_14_slack_errors_that_stay_go_to_mail_with_a_word_to_everybody(post, code):
    post.slack.script(Fault(Reply(200, OK_FALSE.format(code).encode())))
    post.tell()
    assert post.statuses("slack") == [DeliveryStatus.DEAD]
    subjects = [str(mail["Subject"]) for mail in post.mail.mails]
    assert any("30 features" in subject for subject in subjects)
    assert any("slack refuses messages" in subject for subject in subjects)
    assert "slack refuses" in post.pager.pages[0].events[0]["payload"]["summary"]
    assert code in str(post.store.deliveries(status=DeliveryStatus.DEAD)[0].last_error)


@pytest.mark.parametrize(
    ("status", "body", "final"),
    [(404, b"no_service", True), (410, b"channel_is_archived", True), (500, b"rollup_error", False)],
)
def test_15_webhook_errors(post, status, body, final):
    channel = build_channel("hook", {"kind": "slack", "webhook_url": post.slack.webhook_url}, clock=post.clock)
    post.slack.script(Fault(Reply(status, body)))
    with pytest.raises(DeliveryError) as caught:
        channel.send(sample_message())
    assert caught.value.retryable != final


@pytest.mark.parametrize(
    "fault", [Fault(accept=True, drop=True), Fault(accept=True, hang_s=20), Fault(accept=True, half=True)]
)
def test_16_what_slack_took_in_before_the_line_broke_is_not_posted_again(post, fault):
    post.slack.script(fault)
    post.tell(content=sample_content(rows=3))
    assert post.statuses("slack") == [DeliveryStatus.QUEUED]
    post.later(timedelta(minutes=1))
    assert post.statuses("slack") == [DeliveryStatus.SENT]
    assert len(post.roots()) == 1
    post.tell(MessageKind.RESOLVED, sequence=2)
    assert len(post.slack.replies(post.roots()[0]["ts"])) == 1, "the thread found by looking is used"


def test_16_a_reply_in_a_thread_is_not_posted_again_either(post):
    post.tell(content=sample_content(rows=3))
    post.slack.script(Fault(accept=True, drop=True, path="chat.postMessage"))
    post.tell(MessageKind.WORSENED, sequence=2, content=sample_content(rows=3))
    post.later(timedelta(minutes=1))
    assert len(post.slack.replies(post.roots()[0]["ts"])) == 1


def test_16_what_slack_did_not_take_in_is_posted(post):
    post.slack.script(Fault(drop=True))
    post.tell(content=sample_content(rows=3))
    post.later(timedelta(minutes=1))
    assert len(post.roots()) == 1


def test_16_a_repeated_webhook_message_says_so(post):
    channel = build_channel("hook", {"kind": "slack", "webhook_url": post.slack.webhook_url}, clock=post.clock)
    channel.send(replace(sample_message(), reconcile=True))
    assert "(repeated)" in post.roots()[0]["blocks"][0]["text"]["text"]


def test_17_two_hundred_features_with_hostile_names_fit_slack(post):
    rows = tuple(
        Row(f"<!channel>{n}🔥" + "x" * 5000, Severity.CRITICAL, "PSI", f"{n / 100}", "</td>\r\nX: y" * 400)
        for n in range(200)
    )
    facts = {f"fact {n}": "<@U1> " * 2000 for n in range(30)}
    post.tell(content=Content("t" * 4000, "e" * 9000, facts, rows, 50, ("a" * 3000,) * 20, {}, "f" * 4000))
    assert post.statuses("slack") == [DeliveryStatus.SENT]
    for message in post.slack.messages.values():
        assert len(message["blocks"]) <= 40
        texts = json.dumps(message["blocks"], ensure_ascii=False)
        assert sum(len(t) for t in _texts(message["blocks"])) <= 10_000
        assert "<!channel>" not in texts.replace(json.dumps(message["blocks"][0], ensure_ascii=False), "")
        assert "<@U1>" not in texts


def _texts(blocks):
    for block in blocks:
        for part in [block["text"]] if "text" in block else block.get("fields", []) + block.get("elements", []):
            yield part["text"]


def test_18_pagerduty_429_without_retry_after_waits_half_a_minute(post):
    post.pager.script(Fault(Reply(429)))
    post.tell(channel="pager")
    assert post.store.deliveries()[0].due_at - post.clock.now() > timedelta(seconds=28)
    post.later()
    assert len(post.pager.pages) == 1


def test_18_pagerduty_400_is_final_and_people_hear_of_it_elsewhere(post):
    post.pager.script(Fault(Reply(400, b'{"status":"invalid event","errors":["bad"]}')))
    post.tell(channel="pager")
    assert post.statuses("pager") == [DeliveryStatus.DEAD]
    assert any("30 features" in str(mail["Subject"]) for mail in post.mail.mails)
    assert any("paging failed" in m["text"] for m in post.slack.roots())
    assert post.roots()


def test_18_pagerduty_202_without_a_key_is_success_and_503_is_tried_again(post):
    post.pager.script(Fault(Reply(503)), Fault(Reply(202, b'{"status":"success"}'), accept=True))
    post.tell(channel="pager")
    post.later()
    assert post.statuses("pager") == [DeliveryStatus.SENT]
    post.tell(MessageKind.RESOLVED, channel="pager", sequence=2)
    assert post.pager.pages[0].state == "resolved"


def test_18_a_body_of_600_kb_is_cut_and_keeps_the_key_facts(post):
    rows = tuple(Row(f"feature {n}", Severity.CRITICAL, "PSI", "0.6", "change " * 20) for n in range(6000))
    post.tell(channel="pager", content=replace(sample_content(), rows=rows))
    event = post.pager.pages[0].events[0]
    assert len(post.pager.requests[0].body) <= 512_000
    assert event["payload"]["custom_details"]["Since"].startswith("Mon 23 Nov")
    assert event["payload"]["custom_details"]["Worst first"]


def test_19_no_ghost_incident_when_the_trigger_never_left(post):
    post.pager.script(Fault(Reply(429)))
    post.tell(channel="pager", incident="inc_other")
    post.tell(channel="pager")
    post.tell(MessageKind.RESOLVED, channel="pager", sequence=2)
    post.later()
    assert [page.key for page in post.pager.pages] == ["inc_other"]
    assert post.statuses("pager") == [DeliveryStatus.SENT, DeliveryStatus.DROPPED, DeliveryStatus.DROPPED]


def test_19_a_trigger_that_is_tried_again_goes_before_its_resolve(post):
    post.pager.script(Fault(accept=True, drop=True))
    post.tell(channel="pager")
    post.tell(MessageKind.RESOLVED, channel="pager", sequence=2)
    assert post.pager.pages[0].state == "triggered"
    post.later()
    assert len(post.pager.pages) == 1
    assert post.pager.pages[0].state == "resolved"


def test_20_an_open_incident_is_resolved_through_the_key_that_opened_it(post):
    post.tell(channel="pager")
    post.sender = post.new_sender(pager={"routing_key": "N" * 32})
    post.tell(channel="pager", incident="inc_new")
    post.tell(MessageKind.RESOLVED, channel="pager", sequence=2)
    assert [(p.key, p.routing_key, p.state) for p in post.pager.pages] == [
        ("inc_a", KEY, "resolved"),
        ("inc_new", "N" * 32, "triggered"),
    ]


def test_21_a_recipient_that_must_wait_gets_it_alone_later(post):
    post.mail.script(SmtpFault("RCPT", "451 4.3.0 greylisted", recipient="b@example.com"))
    post.tell(channel="mail")
    assert post.statuses("mail") == [DeliveryStatus.QUEUED]
    post.later()
    assert post.mail.recipients == [("a@example.com",), ("b@example.com",)]
    assert len({str(mail["Message-ID"]) for mail in post.mail.mails}) == 1
    assert post.statuses("mail") == [DeliveryStatus.SENT]


def test_21_a_recipient_that_is_refused_is_reported(post):
    post.mail.script(SmtpFault("RCPT", "550 5.1.1 no such user", recipient="b@example.com"))
    post.tell(channel="mail")
    assert post.mail.recipients == [("a@example.com",)]
    receipt = post.store.deliveries(status=DeliveryStatus.SENT)[0].receipt
    assert "b@example.com refused: 550" in receipt.note


def test_21_when_every_recipient_is_refused_the_message_goes_elsewhere(post):
    post.mail.script(*[SmtpFault("RCPT", "550 5.1.1 no such user") for _ in range(2)])
    post.tell(channel="mail")
    assert post.statuses("mail") == [DeliveryStatus.DEAD]
    assert post.roots()


@pytest.mark.parametrize(("answer", "status"), [("452 4.3.1 full", "queued"), ("554 5.7.1 spam", "dead")])
def test_21_answers_to_the_whole_mail(post, answer, status):
    post.mail.script(SmtpFault("DATA", answer))
    post.tell(channel="mail")
    assert post.statuses("mail")[0] == status


def test_21_a_mail_cut_off_after_its_end_is_repeated_as_the_same_mail(post):
    post.mail.script(SmtpFault("DATA", accept=True, drop=True))
    post.tell(channel="mail")
    post.later()
    ids = [str(mail["Message-ID"]) for mail in post.mail.mails]
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def _mailer(receiver, clock, user="", **more):
    url = receiver.url.replace("127.0.0.1", "localhost").replace("smtp://", f"smtp://{user}")
    settings = {"kind": "smtp", "to": ["a@example.com"], "from": "t@example.com", "url": url, "timeout_s": 3} | more
    return build_channel("mail", settings, clock=clock)


def test_21_mail_goes_encrypted_with_login(certificate):
    context, cert = certificate
    with SmtpReceiver(tls=context, tls_only=True, login=("u", PASSWORD)) as receiver:
        channel = _mailer(receiver, MovedClock(), user="u:canary-p4ss%2Fword@", ca_file=str(cert))
        channel.connect()
        channel.send(sample_message())
        assert len(receiver.mails) == 1


def test_21_a_wrong_password_is_final_and_not_told(certificate):
    context, cert = certificate
    with SmtpReceiver(tls=context, tls_only=True, login=("u", "right")) as receiver:
        channel = _mailer(receiver, MovedClock(), user="u:canary-p4ss%2Fword@", ca_file=str(cert))
        with pytest.raises(DeliveryError, match="login") as caught:
            channel.send(sample_message())
        assert not caught.value.retryable
        assert "canary" not in f"{caught.value!r}{caught.value}{caught.value.hint}"


def test_21_a_refused_login_leaves_no_connection_open(certificate):
    context, cert = certificate
    with (
        SmtpReceiver(tls=context, tls_only=True, login=("u", "right")) as receiver,
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always", ResourceWarning)
        channel = _mailer(receiver, MovedClock(), user="u:wrong@", ca_file=str(cert))
        for _ in range(20):
            with pytest.raises(DeliveryError, match="login"):
                channel.send(sample_message())
        gc.collect()
    assert [str(one.message) for one in said] == []


def test_s13_an_unknown_certificate_is_refused(certificate):
    context, _ = certificate
    with SmtpReceiver(tls=context, tls_only=True) as receiver:
        channel = _mailer(receiver, MovedClock(), tls="required")
        with pytest.raises(DeliveryError, match="certificate") as caught:
            channel.send(sample_message())
        assert not caught.value.retryable
        assert receiver.mails == []


def test_21_without_starttls_nothing_is_sent():
    with SmtpReceiver() as receiver:
        channel = _mailer(receiver, MovedClock(), tls="required")
        with pytest.raises(DeliveryError, match="STARTTLS") as caught:
            channel.send(sample_message())
        assert not caught.value.retryable
        assert receiver.mails == []
        _mailer(receiver, MovedClock(), tls="none").send(sample_message())
        assert len(receiver.mails) == 1


def test_22_all_mails_of_an_incident_are_one_thread(post):
    kinds = (MessageKind.FIRED, MessageKind.WORSENED, MessageKind.ACKNOWLEDGED, MessageKind.RESOLVED)
    for sequence, kind in enumerate(kinds, 1):
        post.tell(kind, channel="mail", sequence=sequence)
    first, *others = post.mail.mails
    root = str(first["Message-ID"])
    assert [str(mail["References"]) for mail in others] == [root] * 3
    assert [str(mail["In-Reply-To"]) for mail in others] == [root] * 3
    assert {str(mail["Subject"]) for mail in others} == {f"Re: {first['Subject']}"}
    assert len({str(mail["Message-ID"]) for mail in post.mail.mails}) == 4
    assert first["Auto-Submitted"] == "auto-generated"


def test_44_a_channel_that_never_answers_is_left_after_its_timeout(post):
    post.slack.script(Fault(hang_s=60, times=None))
    started = time.monotonic()
    post.tell()
    assert time.monotonic() - started < 10
    post.slack.heal()
    post.later()
    assert len(post.roots()) == 1


def _faults(secret):
    """Every way of failing, the receiver quoting the secret it was given."""
    return [
        Fault(Reply(400, f"bad {secret}".encode())), Fault(Reply(500, secret.encode())), Fault(drop=True),
        Fault(hang_s=20), Fault(half=True), Fault(Reply(200, b"[]")), Fault(Reply(302, b"", {"Location": "http://x/"})),
        Fault(Reply(200, b"\xff\xfe{")),
    ]  # fmt: skip


def test_46_no_failure_tells_a_secret(post, caplog, capfd):
    caplog.set_level("DEBUG")
    for number in range(8):
        post.slack.script(_faults(TOKEN)[number])
        post.pager.script(_faults(KEY)[number])
        for channel in ("slack", "pager"):
            post.tell(channel=channel, incident=f"inc_{number}")
    post.slack.heal()
    post.pager.heal()
    deliveries = [(d.last_error, d.receipt, d.message.content, d.status) for d in post.store.deliveries()]
    captured = capfd.readouterr()
    seen = f"{post.said}{deliveries}{caplog.text}{captured.out}{captured.err}{post.store.channel_states()}"
    seen += str(post.store.events(incident="inc_0"))
    where = seen.find(TOKEN)
    assert where < 0, seen[max(0, where - 150) : where]
    where = seen.find(KEY)
    assert where < 0, seen[max(0, where - 150) : where]
    assert len(post.said) >= 16


def test_47_a_test_message_to_a_dead_channel_fails_loudly(post):
    from tiltmeter.service.proof import prove_channel

    channels = build_channels(post.settings, clock=post.clock)
    found = prove_channel("slack", state=post.store, channels=channels, clock=post.clock, user="anna")
    assert found.status is DeliveryStatus.SENT
    assert "TEST" in post.slack.roots()[0]["text"]
    post.slack.script(Fault(Reply(200, OK_FALSE.format("invalid_auth").encode())))
    with pytest.raises(DeliveryError, match="invalid_auth"):
        prove_channel("slack", state=post.store, channels=channels, clock=post.clock, user="anna")
    post.slack.stop()
    with pytest.raises(DeliveryError, match="no answer"):
        prove_channel("slack", state=post.store, channels=channels, clock=post.clock, user="anna")
    post.slack.stop = lambda: None
