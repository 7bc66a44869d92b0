"""Every kind of message, as the rules word it and the receivers of people take it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from message_gallery import SCENES, deliver
from tiltmeter.channels.wording import headline, plain_text
from tiltmeter.domain.message import TAKEN, MessageKind
from tiltmeter.testing.samples import sample_content, sample_message


@pytest.mark.slow  # thirteen scenes, three servers each
@pytest.mark.parametrize("name", list(SCENES))
def test_every_scene_is_worded_and_taken(name):
    messages = SCENES[name]()
    assert messages
    receivers = deliver(messages, None)
    assert any(len(receiver.inbox) for receiver in receivers.values())
    for message in messages:
        content = message.content
        assert content.title
        assert content.effect
        assert "None" not in plain_text(message)
        assert "{" not in plain_text(message)
        assert len(plain_text(message).splitlines()) <= 40


def test_an_update_of_an_incident_somebody_takes_care_of_says_so_in_its_first_line():
    news = replace(sample_content(), facts={TAKEN: "Anna, 09:12 UTC"})
    for kind in (MessageKind.UPDATED, MessageKind.REMINDED):
        assert headline(sample_message(kind, content=news)).startswith("ACKNOWLEDGED ")
        assert headline(sample_message(kind)).startswith("CRITICAL ")
    assert headline(sample_message(MessageKind.WORSENED, content=news)).startswith("CRITICAL ")
    assert headline(sample_message(MessageKind.RESOLVED, content=news)).startswith("RESOLVED ")


def test_the_first_message_says_what_happens_next_and_nothing_is_new_in_it():
    for name in ("drift-warning", "drift-critical", "error-burst", "slow-answers", "job-late", "conversion-fall"):
        first = next(m for m in SCENES[name]() if m.channel == "slack")
        assert set(first.content.facts) >= {"Since", "How bad", "Next"}
        assert "Now" not in first.content.facts
        assert first.content.actions
