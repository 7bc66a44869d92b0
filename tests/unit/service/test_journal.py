"""The log of the service: one line an event, whatever names hold."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
import structlog

from tiltmeter.service.journal import write_journal


@pytest.fixture
def journal():
    before = structlog.get_config()
    stream = io.StringIO()
    write_journal(stream)
    yield stream
    structlog.configure(**before)


def test_a_hostile_name_begins_no_line_of_its_own(journal):
    structlog.get_logger().warning("model_failed", model='x\n{"event": "alert_resolved"}', error="\x1b[2Jgone")
    (line,) = journal.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"]) == ("model_failed", "warning")
    assert said["model"] == 'x {"event": "alert_resolved"}'
    assert "\x1b" not in said["error"]
    assert said["timestamp"].endswith("Z")


def test_an_error_brings_its_trace_in_the_same_line(journal):
    try:
        int("no\nway")
    except ValueError:
        structlog.get_logger().warning("turn_failed", exc_info=True)
    (line,) = journal.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["exception"]


def test_events_follow_the_error_stream_whoever_replaces_it(capsys):
    before = structlog.get_config()
    try:
        write_journal()
        structlog.get_logger().info("first")
        assert json.loads(capsys.readouterr().err)["event"] == "first"
        with contextlib.redirect_stderr(io.StringIO()) as later:
            structlog.get_logger().info("second")
        assert json.loads(later.getvalue())["event"] == "second"
    finally:
        structlog.configure(**before)
