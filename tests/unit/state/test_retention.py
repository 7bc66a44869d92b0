from __future__ import annotations

from datetime import timedelta

from tiltmeter.domain.window import Grain
from tiltmeter.ports import MetricQuery
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import HOUR, T0, SteppedClock, sample_alert, sample_metric, sample_run, sample_window

DAY = timedelta(days=1)


def test_old_hours_and_live_numbers_go_and_days_stay():
    store = SqlStateStore("sqlite:", SteppedClock())
    for grain in (Grain.LIVE, Grain.HOUR, Grain.DAY):
        for start in (T0 - 100 * DAY, T0 - 3 * DAY, T0 - HOUR):
            window = sample_window(start, grain)
            store.commit(sample_run(at=window, metrics=(sample_metric(at=window),)))
    assert store.retain(T0, keep_hourly=90 * DAY) == 3
    left = sorted((m.window.grain.value, (T0 - m.window.start).days) for m in store.metrics(MetricQuery()))
    assert left == [("day", 0), ("day", 3), ("day", 100), ("hour", 0), ("hour", 3), ("live", 0)]
    assert store.retain(T0, keep_hourly=90 * DAY) == 0
    store.close()


def test_every_episode_of_an_alert_is_kept():
    store = SqlStateStore("sqlite:", SteppedClock())
    store.commit(sample_run(alerts=(sample_alert(episode=1), sample_alert(episode=2))))
    assert [a.episode for a in store.episodes()] == [1, 2]
    assert store.episodes("other") == []
    assert store.episodes(since=T0 + HOUR) == []
    store.close()


def test_positions_are_listed_by_their_beginning():
    store = SqlStateStore("sqlite:", SteppedClock())
    for name in ("drift.a", "drift.b", "drift_c", "jobs"):
        store.set_watermark(name, "1")
    assert list(store.watermarks("drift.")) == ["drift.a", "drift.b"]
    store.close()
