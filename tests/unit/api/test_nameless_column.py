"""A column named "", as pandas writes an index: judged as any other, and never by what is said of the whole."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

import tiltmeter
from tiltmeter import Baseline
from tiltmeter.api.replaying import replays
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.prediction_rows import column_name

START = datetime(2026, 9, 1, tzinfo=UTC)


def frame(seed, *, nameless=0.0, score=0.0, rows=600):
    rng = np.random.default_rng(seed)
    return pa.table(
        {"": rng.normal(nameless, 1, rows), "a": rng.normal(0, 1, rows), "score": rng.normal(score, 1, rows)}
    )


def test_its_own_drift_is_judged():
    found = tiltmeter.compare(frame(1), frame(2, nameless=2.0), score="score")
    assert found[""].severity is Severity.CRITICAL
    assert (found.drifted, found.overall.severity, found.overall.features_critical) == ([""], Severity.NONE, 1)


def test_the_drift_of_the_whole_is_not_its_own():
    found = tiltmeter.compare(frame(1), frame(2, score=2.0), score="score")
    assert found[""].severity is Severity.NONE
    assert (found.drifted, found.overall.severity) == ([], Severity.CRITICAL)


def test_its_alert_lasts_as_long_as_its_drift():
    baseline = Baseline.fit(frame(1, rows=3_000), score="score")
    shifts = [0.0, 2.0, 2.0, 0.0, 0.0, 0.0]
    history = [
        (Window(START + timedelta(days=day), START + timedelta(days=day + 1), Grain.DAY),
         baseline.profile(frame(10 + day, nameless=shift)))
        for day, shift in enumerate(shifts)
    ]  # fmt: skip
    (found,) = replays(baseline.reference, history, [load_rules(None)], zone=ZoneInfo("UTC"))
    episode = next(one for one in found.episodes if one.rule == "feature_psi")
    assert (episode.feature, episode.windows) == ('""', 2)
    assert episode.until == START + timedelta(days=5)
    assert [one.features[""].severity for one in found.windows] == [0, 3, 3, 0, 0, 0]


def test_columns_of_quotes_keep_apart_in_the_log():
    names = ["", '""', '"""', '""""', "a", ' ""', "score"]
    called = [column_name(name) for name in names]
    assert len(set(called)) == len(names)
    assert "" not in called
    assert called[-3:] == names[-3:]
