"""What every channel must do. Derive a class, give it the fixture `trial`, and let pytest run it.

class TestMyChannel(ChannelContract):
    @pytest.fixture
    def trial(self): yield ChannelTrial(channel, received=..., refuse=..., ...)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import Content, MessageKind, Row
from tiltmeter.domain.severity import Severity
from tiltmeter.ports import Channel
from tiltmeter.testing.samples import sample_content, sample_message

HOSTILE = (
    "<!channel> <@U123> <https://evil.example|click> *bold* `code`",
    "</td></tr></table><script>alert(1)</script>",
    "line\r\nBcc: victim@example.com\r\n\r\nbody",
    "emoji 🔥🔥 right\u202eleft zero\u200bwidth \x00 \x1b[31m",
    "{{7*7}} ${jndi:ldap://x} %s %n {0}",
    "x" * 5000,
    "",
)


@dataclass(frozen=True, slots=True)
class ChannelTrial:
    """A channel and its receiver, with a switch for every way of failing.

    Args:
        channel: under test; its timeout must be short.
        received: what reached people so far, each message as the text that their reader interprets as markup.
        secrets: texts that may appear in no error and no receipt.
        refuse: the next message is refused for good.
        limit: the next message is answered with "too many, wait 7 s"; None where the protocol knows no such answer.
        fail: the next message meets a failure that passes.
        drop: the next message is accepted, and the connection cut before the answer.
        hang: the next message is accepted and never answered.
        stop: the receiver is gone.
        markup: parts of `HOSTILE` that the reader would act upon.
    """

    channel: Channel
    received: Callable[[], Sequence[str]]
    secrets: Sequence[str]
    refuse: Callable[[], None]
    limit: Callable[[], None] | None
    fail: Callable[[], None]
    drop: Callable[[], None]
    hang: Callable[[], None]
    stop: Callable[[], None]
    markup: Sequence[str] = ()


class ChannelContract:
    """The promises of `tiltmeter.ports.Channel`, runnable."""

    @pytest.fixture
    def trial(self) -> ChannelTrial:
        raise NotImplementedError("give a `trial` fixture")

    def _error(self, trial: ChannelTrial) -> DeliveryError:
        with pytest.raises(DeliveryError) as caught:
            trial.channel.send(sample_message())
        text = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caught.value.hint}"
        assert not [secret for secret in trial.secrets if secret in text], "a secret stands in the error"
        assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a traceback would show the cause"
        return caught.value

    def test_a_message_reaches_people_once_with_its_headline(self, trial: ChannelTrial) -> None:
        receipt = trial.channel.send(sample_message())
        assert not receipt.dropped
        assert len(trial.received()) == 1
        assert "30 features drifted" in trial.received()[0]
        assert receipt.thread, "later messages of the incident have nothing to hang on"
        assert not [secret for secret in trial.secrets if secret in receipt.reference + receipt.note]

    @pytest.mark.parametrize("kind", list(MessageKind))
    def test_every_kind_is_sent_or_dropped_with_a_reason(self, trial: ChannelTrial, kind: MessageKind) -> None:
        receipt = trial.channel.send(sample_message(kind))
        assert len(trial.received()) == (0 if receipt.dropped else 1)
        assert not receipt.dropped or receipt.note

    @pytest.mark.parametrize("kind", list(MessageKind))
    def test_every_kind_can_follow_an_alarm(self, trial: ChannelTrial, kind: MessageKind) -> None:
        thread = trial.channel.send(sample_message()).thread
        follow = trial.channel.send(sample_message(kind, sequence=2, thread=thread))
        assert follow.dropped == (kind is MessageKind.REPORT and trial.channel.kind == "pagerduty")

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_text_is_delivered_and_does_nothing(self, trial: ChannelTrial, text: str) -> None:
        row = Row(text, Severity.CRITICAL, text[:60], text[:60], text)
        content = Content(
            text or "t", text, {text or "Fact": text}, (row,) * 12, 3, (text,), {text: "javascript:alert(1)"}, text
        )
        trial.channel.send(replace(sample_message(content=content), model=text or "m"))
        received = trial.received()[0]
        for danger in ("javascript:", "\x00", "\u202e", *trial.markup):
            assert danger not in received, danger

    def test_a_message_of_200_features_stays_within_the_receivers_limits(self, trial: ChannelTrial) -> None:
        content = sample_content(rows=200)
        rows = tuple(replace(row, subject=f"{'é' * 300}{n}", change="z" * 5000) for n, row in enumerate(content.rows))
        facts = {f"Fact {n}": "long " * 1000 for n in range(40)}
        trial.channel.send(
            sample_message(content=replace(content, rows=rows, facts=facts, actions=("do " * 500,) * 30))
        )
        assert trial.received()

    def test_a_refusal_is_final(self, trial: ChannelTrial) -> None:
        trial.refuse()
        error = self._error(trial)
        assert not error.retryable
        assert not error.unknown

    def test_a_limit_says_how_long_to_wait(self, trial: ChannelTrial) -> None:
        if trial.limit is None:
            pytest.skip("this protocol has no such answer")
        trial.limit()
        error = self._error(trial)
        assert error.retryable
        assert not error.unknown
        assert (error.retry_after or 0) >= 7

    def test_a_passing_failure_may_be_tried_again(self, trial: ChannelTrial) -> None:
        trial.fail()
        assert self._error(trial).retryable
        trial.channel.send(sample_message())
        assert trial.received()

    def test_a_cut_connection_is_an_unknown_outcome(self, trial: ChannelTrial) -> None:
        trial.drop()
        error = self._error(trial)
        assert error.retryable
        assert error.unknown

    def test_a_receiver_that_never_answers_is_left_in_time(self, trial: ChannelTrial) -> None:
        trial.hang()
        error = self._error(trial)
        assert error.retryable
        assert error.unknown

    def test_a_receiver_that_is_gone_got_nothing(self, trial: ChannelTrial) -> None:
        trial.stop()
        error = self._error(trial)
        assert error.retryable
        assert not error.unknown
