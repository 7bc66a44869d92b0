"""Rules are read again while the service runs: a bad file changes nothing and is told."""

from __future__ import annotations

import pytest

from tiltmeter.config.load import load_settings
from tiltmeter.service.reloading import Reloading
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import SteppedClock

RULES = "home: .\nrules:\n  - {{id: psi, metric: {metric}, by: [feature], levels: {{warning: {{above: {above}}}}}}}\n"


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "tiltmeter.yaml"
    path.write_text(RULES.format(metric="drift.psi", above=0.25))
    clock = SteppedClock()
    store = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    said, applied = [], []
    made = Reloading(
        load_settings(path, environ={}), applied.append, state=store, clock=clock, people=["slack"],
        report=lambda event, fields: said.append((event, dict(fields))),
    )  # fmt: skip
    yield path, made, store, applied, said
    store.close()


def test_41_a_good_file_takes_effect(site):
    path, reloading, store, applied, said = site
    path.write_text(RULES.format(metric="drift.psi", above=0.2))
    assert reloading.reload()
    [limit] = applied[0].rules[0].levels.values()
    assert limit.above == 0.2
    assert said[0][0] == "rules_loaded"
    assert store.deliveries() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RULES.format(metric="drift.psy", above=0.2), 'tiltmeter.yaml:3: there is no metric "drift.psy"; did you mean'),
        ("home: .\nrules: [\n", "no YAML"),
        ("home: .\nchannels: {other: {kind: 'null'}}\n", "the channels have changed"),
    ],
)
def test_41_a_bad_file_leaves_the_old_rules_and_is_told(site, text, words):
    path, reloading, store, applied, said = site
    path.write_text(text)
    assert not reloading.reload()
    assert applied == []
    assert said[0][0] == "rules_refused"
    [delivery] = store.deliveries()
    assert words in delivery.message.content.effect
    assert "the old ones stay" in delivery.message.content.title
